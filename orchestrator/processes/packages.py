"""Packages: a `.py` file or a `.zip`, checked before it is accepted, kept by digest, never extracted here."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select

from orchestrator.errors import Invalid
from orchestrator.processes import archive, script
from orchestrator.processes.model import Package, PackageChunk
from orchestrator.transaction import Transaction

CHUNK_BYTES = 1024 * 1024
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
    """Accept a package or raise `Invalid` naming the field."""
    name = posixpath.basename(file_name.replace("\\", "/"))
    if not name or any(ord(character) < 32 for character in name) or len(name) > 255:
        raise Invalid.field("package", "the file needs a name of 1 to 255 printable characters")
    if not data:
        raise Invalid.field("package", "the file is empty")
    if name.lower().endswith(".py"):
        script.check(data)
        if entry not in (None, "", name):
            raise Invalid.field("entry", "a single .py file is its own entry; leave it out")
        return CheckedPackage(name, name, data)
    if name.lower().endswith(".zip"):
        entry = entry or DEFAULT_ENTRY
        archive.check(data, entry)
        return CheckedPackage(name, entry, data)
    raise Invalid.field("package", f"{name!r} is neither a .py file nor a .zip")


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
