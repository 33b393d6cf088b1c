"""Builds `robot.pyz`: the whole agent in one file that any Python from 3.9 on can run.

Uses nothing but its own place on the disk, so that a program that may not import `workers` can load this file
by its path. The same sources give the same bytes: entries are sorted, stored uncompressed (deflate differs
between versions of zlib) and dated 1980.
"""

import os
import tempfile
import zipfile
from pathlib import Path

_SOURCE = Path(__file__).resolve().parent
_PACKAGE = "botswain_robot"
_MAIN = f"import sys\n\nfrom {_PACKAGE}.__main__ import main\n\nsys.exit(main())\n"
_SHEBANG = b"#!/usr/bin/env python3\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def build_pyz(target: Path) -> None:
    """Write the agent to `target`, whole or not at all. Raises OSError when that place cannot be written."""
    target = Path(target)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(_SHEBANG)
            with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
                for path, content in _entries():
                    archive.writestr(_entry(path), content)
        os.chmod(name, 0o755)  # noqa: S103 - a program that everyone may run; it holds no secret
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def _entries() -> "list[tuple[str, bytes]]":
    """Path in the archive and content, in the order of the archive."""
    entries = [("__main__.py", _MAIN.encode())]
    for source in sorted(_SOURCE.rglob("*.py")):
        relative = source.relative_to(_SOURCE)
        if relative != Path("build.py") and "__pycache__" not in relative.parts:
            entries.append((f"{_PACKAGE}/{relative.as_posix()}", source.read_bytes()))
    return entries


def _entry(path: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(path, _EPOCH)
    entry.create_system = 3  # else the bytes would tell on which system it was built
    entry.external_attr = 0o644 << 16
    return entry
