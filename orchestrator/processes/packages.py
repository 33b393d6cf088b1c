"""Packages: a `.py` file or a `.zip`, checked before it is accepted, kept by digest, never extracted here."""

from __future__ import annotations

import hashlib
import io
import posixpath
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select

from orchestrator.errors import Invalid
from orchestrator.processes.model import Package, PackageChunk
from orchestrator.transaction import Transaction

CHUNK_BYTES = 1024 * 1024
ENTRIES_LIMIT = 10_000
UNPACKED_LIMIT = 512 * 1024 * 1024
RATIO_LIMIT = 100
DEFAULT_ENTRY = "__main__.py"


@dataclass(frozen=True)
class CheckedPackage:
    file_name: str
    entry: str
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def check(file_name: str, data: bytes, entry: str | None = None) -> CheckedPackage:
    """Accept a package or raise `Invalid` naming the field. Nothing is unpacked: sizes are the archive's
    own word, which the robot's agent checks again while it extracts."""
    name = posixpath.basename(file_name.replace("\\", "/"))
    if not name or any(ord(character) < 32 for character in name) or len(name) > 255:
        raise Invalid.field("package", "the file needs a name of 1 to 255 printable characters")
    if not data:
        raise Invalid.field("package", "the file is empty")
    if name.lower().endswith(".py"):
        _check_script(data)
        if entry not in (None, "", name):
            raise Invalid.field("entry", "a single .py file is its own entry; leave it out")
        return CheckedPackage(name, name, data)
    if name.lower().endswith(".zip"):
        return CheckedPackage(name, _check_archive(data, entry or DEFAULT_ENTRY), data)
    raise Invalid.field("package", f"{name!r} is neither a .py file nor a .zip")


def _check_script(data: bytes) -> None:
    try:
        compile(data, "package", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise Invalid.field("package", f"the script cannot be parsed as Python: {error}") from None
    except (RecursionError, MemoryError):
        raise Invalid.field("package", "the script is nested too deeply to be parsed") from None


def _check_archive(data: bytes, entry: str) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError) as error:
        raise Invalid.field("package", f"the file cannot be read as a .zip: {error}") from None
    if len(members) > ENTRIES_LIMIT:
        raise Invalid.field("package", f"it holds {len(members)} entries; the limit is {ENTRIES_LIMIT}")
    names = [_checked_name(member) for member in members]
    files = [name.casefold() for name in names if not name.endswith("/")]
    if len(set(files)) != len(files):
        raise Invalid.field("package", "two entries have the same name (letter case aside)")
    _check_size(members)
    if entry not in names:
        raise Invalid.field("entry", f"the archive has no {entry!r} to run")
    return entry


def _checked_name(member: zipfile.ZipInfo) -> str:
    name = member.filename
    parts = name.replace("\\", "/").split("/")
    absolute = name.startswith(("/", "\\")) or (len(name) > 1 and name[1] == ":")
    if absolute or ".." in parts or "\x00" in name or "\\" in name:
        raise Invalid.field("package", f"entry {name!r} would be written outside the folder")
    mode = member.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise Invalid.field("package", f"entry {name!r} is a link or a device; only files and folders")
    if member.flag_bits & 0x1:
        raise Invalid.field("package", f"entry {name!r} is encrypted")
    return name


def _check_size(members: list[zipfile.ZipInfo]) -> None:
    unpacked = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if unpacked > UNPACKED_LIMIT:
        raise Invalid.field("package", f"it unpacks to {unpacked} bytes; the limit is {UNPACKED_LIMIT}")
    if unpacked > 1024 * 1024 and unpacked > RATIO_LIMIT * max(packed, 1):
        raise Invalid.field("package", f"it unpacks to more than {RATIO_LIMIT} times its size")


def store(tx: Transaction, package: CheckedPackage) -> int:
    """Keep the bytes, once for each digest; return the package's id."""
    same = select(Package.id).where(Package.tenant_id == tx.tenant_id, Package.sha256 == package.sha256)
    found = tx.execute(same).scalar_one_or_none()
    if found is not None:
        return int(found)
    row = {"tenant_id": tx.tenant_id, "sha256": package.sha256, "size": len(package.data)}
    tx.execute(insert(Package), row)
    package_id = int(tx.execute(same).scalar_one())
    tx.execute(delete(PackageChunk).where(PackageChunk.package_id == package_id))
    for number, start in enumerate(range(0, len(package.data), CHUNK_BYTES)):
        tx.execute(
            insert(PackageChunk),
            {
                "tenant_id": tx.tenant_id,
                "package_id": package_id,
                "number": number,
                "data": package.data[start : start + CHUNK_BYTES],
            },
        )
    return package_id


def read(tx: Transaction, package_id: int) -> bytes:
    return b"".join(_chunks(tx, package_id))


def _chunks(tx: Transaction, package_id: int) -> Iterator[Any]:
    query = (
        select(PackageChunk.data)
        .where(PackageChunk.package_id == package_id, PackageChunk.tenant_id == tx.tenant_id)
        .order_by(PackageChunk.number)
    )
    yield from tx.execute(query).scalars()
