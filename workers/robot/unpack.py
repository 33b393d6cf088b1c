"""Unpacking of a .zip that may mean harm: paths that leave the folder, links, bombs, colliding names."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_CHUNK = 64 * 1024
_ENCRYPTED = 0x1


class PackageError(Exception):
    """The package cannot be used; the text says why, for the person who published it."""


@dataclass(frozen=True)
class Limits:
    """In bytes, and in number of files."""

    download: int = 512 * 1024 * 1024
    unpacked: int = 1024 * 1024 * 1024
    files: int = 20_000


def unpack(archive: Path, target: Path, limits: Limits) -> None:
    """Write the files of `archive` under `target`. Raises PackageError before anything outside is touched."""
    try:
        with zipfile.ZipFile(archive) as source:
            entries = source.infolist()
            _check(entries, limits)
            left = limits.unpacked
            for entry in entries:
                left -= _extract(source, entry, target, left)
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError) as broken:
        raise PackageError(f"the package is not a readable zip archive: {broken}") from broken


def safe_name(name: str) -> str:
    """`name`, if it stays inside the folder on every system; else PackageError."""
    if not name or "\\" in name or ":" in name or any(ord(letter) < 32 for letter in name):
        raise PackageError(f"the package has a path that is not allowed: {name!r}")
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or any(part in ("", ".", "..") for part in parts):
        raise PackageError(f"the package has a path that leaves its folder: {name!r}")
    if any(part != part.rstrip(" .") for part in parts):  # Windows drops them, and two names become one
        raise PackageError(f"the package has a path that is not allowed: {name!r}")
    return name


def _check(entries: "list[zipfile.ZipInfo]", limits: Limits) -> None:
    if len(entries) > limits.files:
        raise PackageError(f"the package has {len(entries)} files; the limit is {limits.files}")
    seen = set()
    for entry in entries:
        # Both names: zipfile cuts one at NUL, turns its backslashes, or takes it from an extra field.
        safe_name(entry.orig_filename)
        name = safe_name(entry.filename)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise PackageError(f"the package has a link or a special file: {name!r}")
        if entry.flag_bits & _ENCRYPTED:
            raise PackageError(f"the package has an encrypted file: {name!r}")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise PackageError(f"the package has a file packed in a way that is not read here: {name!r}")
        if name.rstrip("/").casefold() in seen:
            raise PackageError(f"the package has the same path twice: {name!r}")
        seen.add(name.rstrip("/").casefold())


def _extract(source: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, most: int) -> int:
    """Bytes written. They are counted as they come: the size in the header is the archive's own claim."""
    path = target / entry.filename
    try:
        if entry.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            return 0
        path.parent.mkdir(parents=True, exist_ok=True)
        with source.open(entry) as packed, open(path, "xb") as plain:
            return _copy(packed, plain, most)
    except (FileExistsError, NotADirectoryError) as clash:
        raise PackageError(f"the package has a file and a folder of one name: {entry.filename!r}") from clash


def _copy(packed: IO[bytes], plain: IO[bytes], most: int) -> int:
    written = 0
    while True:
        piece = packed.read(_CHUNK)
        if not piece:
            return written
        written += len(piece)
        if written > most:
            raise PackageError("the package unpacks to more than the limit; it may be a bomb")
        plain.write(piece)
