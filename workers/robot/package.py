"""The package of a process version on this machine: fetched once, verified always, cached by its digest.

A cached package is a folder named by the SHA-256 of what was downloaded: `files/`, and `manifest.json` with
the size and digest of each file. It is renamed into place whole, and checked against its manifest before each
run, so neither a power cut nor a script that wrote into its own package changes what the next run executes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, Callable, Mapping

from .backoff import Backoff
from .protocol import Server
from .transport import Unreachable
from .unpack import Limits, PackageError, safe_name, unpack

KEPT = 20  # packages; the least recently used go first
TRIES = 6
_ZIP = b"PK\x03\x04", b"PK\x05\x06"  # no Python source begins like this


class Cancelled(Exception):  # noqa: N818 - nothing is wrong
    """The run was stopped while its package was still on the way."""


class PackageCache:
    """Packages by digest in `folder`, fetched from `server`."""

    def __init__(self, folder: Path, server: Server, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        self._folder, self._server, self._limits = folder, server, limits

    def entry_of(self, version: Mapping[str, Any], wait: Callable[[float], bool]) -> Path:
        """The script to run, with its whole package beside it.

        `wait(seconds)` pauses between tries and says whether the run was stopped. Raises PackageError when
        the package cannot be had or trusted, Cancelled when `wait` said so, OSError when the disk fails.
        """
        digest, name = _digest_of(version), safe_name(str(version.get("Name") or "__main__.py"))
        home = self._folder / digest
        entry = home / "files" / name
        if not (_intact(home) and entry.is_file()):
            self._fetch(version, digest, name, home, wait)
        if not entry.is_file():
            raise PackageError(f"the package has no file {name!r} to start")
        os.utime(home)
        return entry

    def prune(self) -> None:
        """Forget what was not used for long, and what an earlier life left half done."""
        homes = sorted(self._folder.iterdir(), key=lambda home: home.stat().st_mtime, reverse=True)
        whole = [home for home in homes if not home.name.startswith("tmp")]
        for home in [home for home in homes if home.name.startswith("tmp")] + whole[KEPT:]:
            shutil.rmtree(home, ignore_errors=True)

    def _fetch(
        self, version: Mapping[str, Any], digest: str, name: str, home: Path, wait: Callable[[float], bool]
    ) -> None:
        staging = Path(tempfile.mkdtemp(dir=self._folder, prefix="tmp"))
        try:
            download = staging / "download"
            self._download(str(version.get("PackageURL") or ""), digest, download, wait)
            files = staging / "home" / "files"
            files.mkdir(parents=True)
            _place(download, files, name, self._limits)
            manifest = json.dumps(_manifest(files))
            (staging / "home" / "manifest.json").write_text(manifest, encoding="utf-8")
            shutil.rmtree(home, ignore_errors=True)
            os.replace(staging / "home", home)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _download(self, url: str, digest: str, target: Path, wait: Callable[[float], bool]) -> None:
        if not url:
            raise PackageError("the server named no address for the package")
        backoff = Backoff()
        for attempt in range(1, TRIES + 1):
            if wait(0):
                raise Cancelled
            try:
                return self._download_once(url, digest, target, wait)
            except Unreachable as away:
                if attempt == TRIES:
                    raise PackageError(f"the package could not be fetched: {away}") from away
                if wait(backoff.next(away.retry_after)):
                    raise Cancelled from away
        return None

    def _download_once(self, url: str, digest: str, target: Path, wait: Callable[[float], bool]) -> None:
        seen, size = hashlib.sha256(), 0
        with open(target, "wb") as out:

            def write(piece: bytes) -> None:
                nonlocal size
                size += len(piece)
                if size > self._limits.download:
                    raise PackageError(f"the package is larger than {self._limits.download} bytes")
                if wait(0):
                    raise Cancelled
                seen.update(piece)
                _write_all(out, piece)

            status = self._server.download(url, write)
        if status != 200:
            raise PackageError(f"the package could not be fetched: {self._refusal(url, status)}")
        if seen.hexdigest() != digest:
            raise PackageError(f"the package is not the published one: its SHA-256 is {seen.hexdigest()}")

    def _refusal(self, url: str, status: int) -> str:
        if self._server.transport.owns(url):
            return f"the server answered {status}"
        return f"{url} answered {status}; it is not at --server, so the robot's identity was not sent"


def _write_all(out: Any, piece: bytes) -> None:
    """A full disk is a fact about this machine; as OSError it would look like a network that failed."""
    try:
        out.write(piece)
    except OSError as full:
        raise PackageError(f"the package cannot be kept on this machine: {full}") from full


def _digest_of(version: Mapping[str, Any]) -> str:
    digest = str(version.get("Sha256") or "").strip().lower()
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise PackageError("the server named no SHA-256 for the package")
    return digest


def _place(download: Path, files: Path, name: str, limits: Limits) -> None:
    with open(download, "rb") as head:
        zipped = head.read(4) in _ZIP
    if zipped:
        unpack(download, files, limits)
    else:
        target = files / name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(download, target)


def _intact(home: Path) -> bool:
    try:
        expected = json.loads((home / "manifest.json").read_text(encoding="utf-8"))
        return bool(expected == _manifest(home / "files"))
    except (OSError, ValueError):
        return False


def _manifest(files: Path) -> "dict[str, list[Any]]":
    """Size and SHA-256 of each file. Bytecode that Python itself keeps beside the sources does not count."""
    found = {}
    for path in sorted(files.rglob("*")):
        relative = path.relative_to(files)
        if path.is_symlink() or (path.is_file() and "__pycache__" not in relative.parts):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[relative.as_posix()] = [path.stat().st_size, digest]
    return found
