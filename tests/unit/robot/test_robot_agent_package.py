"""Packages: what is refused, what is trusted, what is fetched again."""

import hashlib
import io
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from workers.robot.package import KEPT, Cancelled, PackageCache
from workers.robot.protocol import Server
from workers.robot.transport import Unreachable
from workers.robot.unpack import Limits, PackageError, safe_name, unpack


def archive(
    *entries: tuple[str | zipfile.ZipInfo, str | bytes], compression: int = zipfile.ZIP_DEFLATED
) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as out:
        for entry, content in entries:
            out.writestr(entry, content)
    return packed.getvalue()


def special(name: str, kind: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (kind | 0o777) << 16
    return entry


def refused(tmp_path: Path, content: bytes, limits: Limits = Limits()) -> str:  # noqa: B008
    (tmp_path / "in.zip").write_bytes(content)
    (tmp_path / "out").mkdir()
    with pytest.raises(PackageError) as caught:
        unpack(tmp_path / "in.zip", tmp_path / "out", limits)
    assert {path.name for path in tmp_path.iterdir()} == {"in.zip", "out"}
    return str(caught.value)


NAMES = [
    "/etc/x",
    "../x",
    "a/../../x",
    "C:/x",
    "C:x",
    "a\\..\\x",
    "\\\\host\\x",
    "a//b",
    "./a",
    "a\nb",
    "",
    "a./b",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_path_that_leaves_the_folder_is_refused(name: str) -> None:
    with pytest.raises(PackageError):
        safe_name(name)


@pytest.mark.parametrize("name", ["a.py", "a/b.py", "a/", "счёт/Ñ.py", "..a", "a..b", ".hidden"])
def test_an_ordinary_path_is_not(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "C:x", "a\\..\\..\\x"])
def test_an_archive_with_such_a_path_writes_nothing(tmp_path: Path, name: str) -> None:
    entry = zipfile.ZipInfo("x")
    entry.filename = name  # ZipInfo itself would tidy some of them
    content = archive(("good.py", "1"), (entry, "2"))
    assert "path" in refused(tmp_path, content)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_a_link_or_a_special_file_is_refused(tmp_path: Path, kind: int) -> None:
    assert "link or a special file" in refused(tmp_path, archive((special("x", kind), "/etc/passwd")))


def test_a_bomb_is_stopped_at_the_limit(tmp_path: Path) -> None:
    content = archive(("zeros", b"\0" * 5_000_000))
    assert len(content) < 10_000
    assert "bomb" in refused(tmp_path, content, Limits(unpacked=1_000_000))


def test_many_files_count_together(tmp_path: Path) -> None:
    content = archive(*((f"f{n}", b"\0" * 300) for n in range(4)))
    assert "bomb" in refused(tmp_path, content, Limits(unpacked=1_000))


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    assert "the limit is 3" in refused(tmp_path, archive(*((f"f{n}", "") for n in range(4))), Limits(files=3))


def test_a_size_in_the_header_is_not_believed(tmp_path: Path) -> None:
    content = bytearray(archive(("zeros", b"\0" * 5_000_000)))
    central = content.rindex(b"PK\x01\x02")
    content[central + 24 : central + 28] = struct.pack("<I", 10)
    assert refused(tmp_path, bytes(content), Limits(unpacked=1_000_000))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("a", "a"), ("a", "A"), ("a", "a/b"), ("a/b", "a")])
def test_colliding_names_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert refused(tmp_path, archive(*((name, "1") for name in names)))


def test_an_encrypted_file_is_refused(tmp_path: Path) -> None:
    content = bytearray(archive(("x", "1")))
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    assert "encrypted" in refused(tmp_path, bytes(content))


def test_an_unusual_compression_is_refused(tmp_path: Path) -> None:
    assert "packed in a way" in refused(tmp_path, archive(("x", "1"), compression=zipfile.ZIP_LZMA))


@pytest.mark.parametrize("cut", [10, -10, -30])
def test_a_cut_archive_is_refused(tmp_path: Path, cut: int) -> None:
    assert "not a readable zip" in refused(tmp_path, archive(("x", "1" * 100))[:cut])


def test_spoiled_content_is_refused(tmp_path: Path) -> None:
    content = bytearray(archive(("x", "a" * 100), compression=zipfile.ZIP_STORED))
    content[60] ^= 255
    assert "not a readable zip" in refused(tmp_path, bytes(content))


class Served(Server):
    """What a cache asks of the server; counts the downloads."""

    def __init__(self, content: bytes, *troubles: Exception) -> None:
        self.content, self.troubles, self.count = content, list(troubles), 0

    def download(self, url: str, write: Callable[[bytes], object]) -> int:
        self.count += 1
        if self.troubles:
            raise self.troubles.pop(0)
        write(self.content)
        return 200


def version(content: bytes, name: str = "job.py") -> dict[str, str]:
    return {"Name": name, "PackageURL": "/p", "Sha256": hashlib.sha256(content).hexdigest().upper()}


def going_on(seconds: float) -> bool:
    return False


def test_a_package_is_fetched_once(tmp_path: Path) -> None:
    served = Served(b"print(1)")
    cache = PackageCache(tmp_path, served)
    entry = cache.entry_of(version(b"print(1)"), going_on)
    assert entry == cache.entry_of(version(b"print(1)"), going_on) and served.count == 1
    assert entry.read_bytes() == b"print(1)"


def change(path: Path) -> None:
    path.write_bytes(b"print(2)")


def remove(path: Path) -> None:
    path.unlink()


def add(path: Path) -> None:
    path.with_name("botswain.py").write_bytes(b"evil")


def link(path: Path) -> None:
    path.with_name("other.py").symlink_to("/etc/passwd")


def forget(path: Path) -> None:
    path.parent.with_name("manifest.json").write_text("{")


@pytest.mark.parametrize("spoil", [change, remove, add, link, forget])
def test_a_spoiled_cache_is_fetched_again(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    served = Served(b"print(1)")
    cache = PackageCache(tmp_path, served)
    spoil(cache.entry_of(version(b"print(1)"), going_on))
    entry = cache.entry_of(version(b"print(1)"), going_on)
    assert served.count == 2 and entry.read_bytes() == b"print(1)" and len(list(entry.parent.iterdir())) == 1


def test_bytecode_of_python_itself_does_not_spoil_it(tmp_path: Path) -> None:
    served = Served(b"print(1)")
    cache = PackageCache(tmp_path, served)
    entry = cache.entry_of(version(b"print(1)"), going_on)
    (entry.parent / "__pycache__").mkdir()
    (entry.parent / "__pycache__" / "x.pyc").write_bytes(b"")
    cache.entry_of(version(b"print(1)"), going_on)
    assert served.count == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"Sha256": ""}, "no SHA-256"),
        ({"Sha256": "../../etc"}, "no SHA-256"),
        ({"Sha256": "0" * 64}, "not the published one"),
        ({"PackageURL": ""}, "no address"),
        ({"Name": "../job.py"}, "leaves its folder"),
    ],
)
def test_what_cannot_be_trusted_leaves_nothing(tmp_path: Path, given: dict[str, str], words: str) -> None:
    cache = PackageCache(tmp_path, Served(b"print(1)"))
    with pytest.raises(PackageError, match=words):
        cache.entry_of({**version(b"print(1)"), **given}, going_on)
    assert not list(tmp_path.iterdir())


def test_an_entry_that_the_archive_lacks_is_named(tmp_path: Path) -> None:
    content = archive(("main.py", "1"))
    with pytest.raises(PackageError, match=r"no file '__main__.py'"):
        PackageCache(tmp_path, Served(content)).entry_of(version(content, "__main__.py"), going_on)


def test_a_package_over_the_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="larger than 3 bytes"):
        PackageCache(tmp_path, Served(b"print(1)"), Limits(download=3)).entry_of(
            version(b"print(1)"), going_on
        )


def test_a_server_that_is_away_is_tried_again(tmp_path: Path) -> None:
    served = Served(b"1", Unreachable("away", 7.0), Unreachable("away"))
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return False

    PackageCache(tmp_path, served).entry_of(version(b"1"), wait)
    assert served.count == 3 and max(waits) >= 7.0


def test_a_server_that_stays_away_fails_the_run(tmp_path: Path) -> None:
    served = Served(b"1", *(Unreachable("no route") for _ in range(99)))
    with pytest.raises(PackageError, match="could not be fetched: no route"):
        PackageCache(tmp_path, served).entry_of(version(b"1"), going_on)
    assert served.count == 6


def test_a_stop_ends_the_fetching(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        PackageCache(tmp_path, Served(b"1")).entry_of(version(b"1"), lambda seconds: True)
    assert not list(tmp_path.iterdir())


def test_only_the_packages_last_used_are_kept(tmp_path: Path) -> None:
    caches = PackageCache(tmp_path, Served(b""))
    for number in range(KEPT + 5):
        content = str(number).encode()
        PackageCache(tmp_path, Served(content)).entry_of(version(content), going_on)
    (tmp_path / "tmpleft").mkdir()
    caches.prune()
    assert len(list(tmp_path.iterdir())) == KEPT and not (tmp_path / "tmpleft").exists()
    assert (tmp_path / hashlib.sha256(content).hexdigest()).exists()
