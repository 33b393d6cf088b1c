"""Archives of packages, held to what a robot's agent unpacks: what every agent would refuse is not published.

The agent (workers/robot/unpack.py) has the same rules of its own, as it imports nothing of the server and
trusts none. A test holds the two together.
"""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Sequence
from itertools import pairwise

from orchestrator.errors import Invalid

ENTRIES_LIMIT = 10_000
UNPACKED_LIMIT = 512 * 1024 * 1024
RATIO_LIMIT = 100
READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1


def check(data: bytes, entry: str) -> None:
    """Raise `Invalid` where this is no archive with `entry` in it that an agent would unpack. Nothing is
    unpacked here: sizes are the archive's own word, which the agent checks again while it extracts."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError) as error:
        raise Invalid.field("package", f"the file cannot be read as a .zip: {error}") from None
    if len(members) > ENTRIES_LIMIT:
        raise Invalid.field("package", f"it holds {len(members)} entries; the limit is {ENTRIES_LIMIT}")
    for member in members:
        fault = _fault(member)
        if fault is not None:
            raise Invalid.field("package", f"entry {member.orig_filename!r} {fault}")
    _check_clashes(members)
    _check_size(members)
    if entry not in [member.filename for member in members]:
        raise Invalid.field("entry", f"the archive has no {entry!r} to run")


def name_fault(name: str) -> str | None:
    """What is wrong with the name of an entry, as the end of a sentence; None: every system can write it."""
    parts = name.rstrip("/").split("/")
    if name.startswith(("/", "\\")) or name[1:2] == ":" or ".." in parts or ".." in name.split("\\"):
        return "would be written outside the folder"
    if any(ord(letter) < 32 for letter in name):
        return "has a control character in its name"
    if "\\" in name or ":" in name:
        return "has a backslash or a colon in its name, which not every system can write"
    if "" in parts or "." in parts:
        return "has a part in its path that is empty or a single dot"
    if any(part != part.rstrip(" .") for part in parts):
        return "has a dot or a space at the end of a name, which Windows drops"
    return None


def _fault(member: zipfile.ZipInfo) -> str | None:
    # Both names: zipfile cuts one at NUL, turns its backslashes, or takes it from an extra field.
    fault = name_fault(member.orig_filename) or name_fault(member.filename)
    if fault is not None:
        return fault
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device; only files and folders"
    if member.flag_bits & ENCRYPTED:
        return "is encrypted"
    if member.compress_type not in READABLE:
        return "is packed in a way that agents do not read; pack it with deflate, or not at all"
    return None


def _check_clashes(members: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse two entries of one path, letter case aside, and a file that another takes for its folder."""
    paths = sorted(
        (member.filename.rstrip("/").casefold().split("/"), member.filename, member.is_dir())
        for member in members
    )
    for (path, name, is_folder), (next_path, next_name, _) in pairwise(paths):
        if next_path == path:
            said = f"entries {name!r} and {next_name!r} are one path (letter case aside)"
            raise Invalid.field("package", said)
        if not is_folder and next_path[: len(path)] == path:
            said = f"entry {name!r} is a file, and entry {next_name!r} takes it for a folder"
            raise Invalid.field("package", said)


def _check_size(members: Sequence[zipfile.ZipInfo]) -> None:
    unpacked = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if unpacked > UNPACKED_LIMIT:
        raise Invalid.field("package", f"it unpacks to {unpacked} bytes; the limit is {UNPACKED_LIMIT}")
    if unpacked > 1024 * 1024 and unpacked > RATIO_LIMIT * max(packed, 1):
        raise Invalid.field("package", f"it unpacks to more than {RATIO_LIMIT} times its size")
