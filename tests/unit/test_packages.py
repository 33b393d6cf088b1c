"""What is published: all that a robot's agent would unpack, and nothing that it would refuse."""

from __future__ import annotations

import io
import sys
import zipfile
from itertools import product
from pathlib import Path

import pytest

from orchestrator.errors import Invalid
from orchestrator.processes import packages
from orchestrator.processes.archive import name_fault
from workers.robot.unpack import Limits, PackageError, safe_name, unpack

MAIN = "__main__.py"


def archive(*names: str, packed: int = zipfile.ZIP_DEFLATED, encrypted: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packed) as made:
        for name in (MAIN, *names):
            entry = zipfile.ZipInfo("x")
            entry.filename, entry.compress_type = name, packed  # ZipInfo itself would tidy some names
            made.writestr(entry, "")
    data = bytearray(out.getvalue())
    if encrypted:
        data[data.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def refusal(data: bytes) -> str | None:
    try:
        packages.check("p.zip", data)
    except Invalid as refused:
        return refused.errors[0].message
    return None


def is_unpacked(data: bytes, folder: Path) -> bool:
    (folder / "in.zip").write_bytes(data)
    try:
        unpack(folder / "in.zip", folder / "out", Limits())
    except PackageError:
        return False
    return True


BAD = {
    "colon": (archive("aa:b"), "'aa:b' has a backslash or a colon in its name"),
    "drive": (archive("C:b"), "outside"),
    "backslash": (archive("a\\b"), "'a\\\\b' has a backslash"),
    "above": (archive("a/../../b"), "outside"),
    "trailing dot": (archive("a./b"), "'a./b' has a dot or a space at the end"),
    "trailing space": (archive("a /b"), "'a /b' has a dot or a space at the end"),
    "single dot": (archive("./a"), "'./a' has a part in its path"),
    "empty part": (archive("a//b"), "'a//b' has a part in its path"),
    "control": (archive("a\x07b"), "'a\\x07b' has a control character"),
    "lzma": (archive("a", packed=zipfile.ZIP_LZMA), "is packed in a way"),
    "bzip2": (archive("a", packed=zipfile.ZIP_BZIP2), "is packed in a way"),
    "encrypted": (archive("a", encrypted=True), "'a' is encrypted"),
    "twice": (archive("a", "A"), "'A' and 'a' are one path"),
    "folder twice": (archive("a/", "A/"), "are one path"),
    "file and folder": (archive("a", "a/"), "'a' and 'a/' are one path"),
    "file as folder": (archive("a", "a-b", "a/b"), "'a' is a file, and entry 'a/b' takes it"),
    "folder as file": (archive("a/b/c", "a/b"), "'a/b' is a file, and entry 'a/b/c' takes it"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_agents_refuse_is_refused_when_it_is_published(case: str, tmp_path: Path) -> None:
    data, sentence = BAD[case]
    assert not is_unpacked(data, tmp_path)
    assert sentence in (refusal(data) or "")


@pytest.mark.parametrize(
    "names", [("a", "b/", "b/a", "b/c/d"), ("счёт/Ñ.py", "..a", "a..b", ".hidden", "a b")]
)
def test_what_agents_unpack_is_published(names: tuple[str, ...], tmp_path: Path) -> None:
    assert refusal(archive(*names)) is None
    assert is_unpacked(archive(*names), tmp_path)


def test_both_have_the_same_rules_for_names() -> None:
    letters = ["a", ".", "/", "\\", ":", " ", "\x1f"]
    for name in map("".join, (parts for length in range(6) for parts in product(letters, repeat=length))):
        try:
            safe_name(name)
        except PackageError:
            assert name_fault(name), f"only agents refuse {name!r}"
        else:
            assert name_fault(name) is None, f"agents take {name!r}"


NEWER = [
    "type X = int\n",
    "type Pair[T] = tuple[T, T]\n",
    "def first[T](of: list[T]) -> T:\n    return of[0]\n",
    "class Box[T = int]:\n    pass\n",
    'd = {}\nprint(f"{d["a"]}")\n',
    "print(f'{\n1}')\n",
    'print(rf"\\d{"\\n"}")\n',
    'page = t"<p>{1}</p>"\n',
    "try:\n    pass\nexcept ValueError, TypeError:\n    pass\n",
    "lazy import json\n",
    "flat = [*one for one in ([1], [2])]\n",
]
WRONG = ["def (:\n", "if True:\nprint(1)\n", "print 'x'\n", "x = (1\n", "type = = 1\n", "print('a\n", "a\0b"]


@pytest.mark.parametrize("script", NEWER)
def test_a_script_in_a_newer_python_than_the_servers_is_accepted(script: str) -> None:
    assert packages.check("main.py", script.encode()).entry == "main.py"


@pytest.mark.parametrize("script", WRONG)
def test_a_script_that_no_python_reads_is_refused(script: str) -> None:
    with pytest.raises(Invalid, match="cannot be parsed"):
        packages.check("main.py", script.encode())


def test_what_was_new_once_is_no_excuse_for_a_server_that_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 99))
    with pytest.raises(Invalid, match="cannot be parsed"):
        packages.check("main.py", b"type = = 1\nlazy import json json\n")
