"""botswain publish: a script, or a folder as a .zip, becomes a process's newest version."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import click

from orchestrator.cli.client import Client
from orchestrator.cli.display import as_json, console, print_json
from orchestrator.cli.refusal import Refusal

LEFT_OUT = {"__pycache__", "node_modules"}


@click.command()
@click.argument("source", metavar="FILE_OR_FOLDER", type=click.Path(exists=True, path_type=Path))
@click.option("--process", metavar="NAME", required=True, help="made when it does not exist")
@click.option("--entry", metavar="SCRIPT", help="what to run in a folder or .zip [default: __main__.py]")
@as_json
def publish(source: Path, process: str, entry: str | None, json_: bool) -> None:
    """Publish a .py file, a .zip or a folder as the newest version of a process.

    A version never changes; publishing the same bytes again is the version that there is. Hidden files and
    caches of a folder stay behind.
    """
    name, package = pack(source)
    refuse(name, package, entry)
    with Client.from_environment() as client:
        newest = newest_version(client, process)
        digest = hashlib.sha256(package).hexdigest()
        is_new = newest is None or newest["sha256"] != digest or entry not in (None, newest["entry"])
        if is_new:
            newest = _upload(client, process, name, package, entry)
    if json_:
        print_json(newest)
    elif newest is not None:
        verb = "published" if is_new else "is already published"
        click.echo(f"{process} version {newest['version']} {verb}: {newest['size']} bytes, sha256 {digest}")


def refuse(name: str, package: bytes, entry: str | None) -> None:
    """By the server's own rules, before a process is made that would then have no version."""
    from orchestrator.errors import Invalid
    from orchestrator.processes import packages

    try:
        packages.check(name, package, entry)
    except Invalid as error:
        raise Refusal("; ".join(f"{one.field}: {one.message}" for one in error.errors)) from None


def newest_version(client: Client, process: str) -> dict[str, object] | None:
    """Its newest version; the process is made when it does not exist."""
    if client.find("processes", process) is None:
        client.post("processes", json={"name": process})
        return None
    return next(client.items("processes", process, "versions", limit=1), None)


def _upload(client: Client, process: str, name: str, package: bytes, entry: str | None) -> dict[str, object]:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console(err=True), transient=True) as bar:
        file = Watched(package, bar, bar.add_task("publishing", total=len(package)))
        data = {} if entry is None else {"entry": entry}
        return client.post("processes", process, "versions", files={"package": (name, file)}, data=data)


class Watched(io.BytesIO):
    """Bytes that tell a progress bar how far they have been read."""

    def __init__(self, content: bytes, bar: object, task: object) -> None:
        super().__init__(content)
        self._bar, self._task = bar, task

    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        self._bar.update(self._task, completed=self.tell())  # type: ignore[attr-defined]
        return found


def pack(source: Path) -> tuple[str, bytes]:
    """File name and bytes of the package; the same files give the same bytes."""
    if source.is_file():
        if source.suffix.lower() not in (".py", ".zip"):
            raise Refusal(f"{source} is neither a .py file nor a .zip nor a folder")
        return source.name, source.read_bytes()
    buffer = io.BytesIO()
    count = 0
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in _files(source):
            entry = zipfile.ZipInfo(path.relative_to(source).as_posix(), (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # otherwise Windows and Unix write different bytes
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
            count += 1
    if not count:
        raise Refusal(f"{source} has no files to publish")
    return f"{source.resolve().name or 'package'}.zip", buffer.getvalue()


def _files(folder: Path) -> Iterator[Path]:
    """The folder's files in a steady order. Raises `Refusal` for a link: its target may be anything."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT and not name.startswith("."))
        for name in [*folders, *sorted(names)]:
            path = Path(parent, name)
            if name.startswith(".") or name.endswith(".pyc"):
                continue
            if path.is_symlink():
                raise Refusal(f"{path} is a link; packages hold plain files only")
            if path.is_file():
                yield path
