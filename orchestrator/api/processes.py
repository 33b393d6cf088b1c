"""REST v1: processes, and the publishing and reading of their versions."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal
from urllib.parse import quote

from flask import Response, request
from pydantic import Field
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from orchestrator.api.auth import Policy
from orchestrator.api.call import Call
from orchestrator.api.fields import Input, Integer, Line, Name
from orchestrator.api.operation import Content, Upload
from orchestrator.api.queries import Pages, Text
from orchestrator.api.routes import Routes
from orchestrator.errors import Invalid, TooLarge
from orchestrator.insights import processes as seen
from orchestrator.insights.paging import Page
from orchestrator.insights.processes import ProcessView, VersionView
from orchestrator.processes import lifecycle as verbs
from orchestrator.processes import packages
from orchestrator.processes.packages import CheckedPackage
from orchestrator.transaction import Transaction

routes = Routes("processes")

FORM_ROOM = 64 * 1024  # for what a multipart body holds beside the file
OnStalled = Literal["tell", "abort"]
Seconds = Annotated[Integer, Field(ge=1, le=366 * 24 * 3600)]
NUMBER = "<int(min=1, max=2147483647):number>"


class ProcessIn(Input):
    """A run that makes no progress for `stalled_after_seconds` is shown as stalled, and aborted where
    `on_stalled` is `abort`."""

    name: Name
    description: Annotated[Line, Field(max_length=1000)] = ""
    stalled_after_seconds: Seconds | None = None
    on_stalled: OnStalled = "tell"


class ProcessChange(Input):
    """What is left out stays; `stalled_after_seconds` null ends the watch. Later jobs follow it."""

    description: Annotated[Line, Field(max_length=1000)] | None = None
    stalled_after_seconds: Seconds | None = None
    on_stalled: OnStalled | None = None

    def changes(self) -> dict[str, Any]:
        given = {name: getattr(self, name) for name in self.model_fields_set}
        for name, value in given.items():
            if value is None and name != "stalled_after_seconds":
                raise Invalid.field(name, "it must not be null; leave it out to keep it")
        if not given:
            raise Invalid.field("body", "it changes nothing; name at least one field")
        return given


class ProcessFilters(Pages):
    name: Text | None = None


@routes.post("/processes", Policy.OPERATOR, body=ProcessIn, answer=ProcessView, status=201)
def create_process(call: Call, body: ProcessIn) -> Response:
    """Create a process, as yet without a version."""

    def work(tx: Transaction) -> ProcessView:
        return seen.named(tx, verbs.create(tx, **body.model_dump()))

    return call.write(work)


@routes.get("/processes", Policy.VIEWER, query=ProcessFilters, answer=Page[ProcessView])
def list_processes(call: Call, query: ProcessFilters) -> Response:
    """List processes, newest first."""
    return call.read(lambda tx: seen.listed(tx, query.name, query.limit, query.cursor))


@routes.get("/processes/<process>", Policy.VIEWER, answer=ProcessView)
def get_process(call: Call, process: str) -> Response:
    """Get one process by id or name."""
    return call.read(lambda tx: seen.named(tx, process))


@routes.patch("/processes/<process>", Policy.OPERATOR, body=ProcessChange, answer=ProcessView)
def change_process(call: Call, process: str, body: ProcessChange) -> Response:
    """Change a process's description, or when its runs count as stalled."""
    changes = body.changes()

    def work(tx: Transaction) -> ProcessView:
        return seen.named(tx, verbs.change(tx, process, **changes))

    return call.write(work)


@routes.post(
    "/processes/<process>/versions",
    Policy.OPERATOR,
    body=Upload("package", ("entry",)),
    answer=VersionView,
    status=201,
)
def publish_version(call: Call, process: str) -> Response:
    """Publish a version: a .py file, or a .zip with the script to run.

    `entry` names that script in a .zip; it is `__main__.py` where it is left out. A version never changes.
    """
    package, fingerprint = _uploaded(call.parts.config.max_package_bytes)

    def work(tx: Transaction) -> VersionView:
        return seen.version(tx, process, verbs.publish(tx, process, package))

    return call.write(work, fingerprint=fingerprint)


@routes.get("/processes/<process>/versions", Policy.VIEWER, query=Pages, answer=Page[VersionView])
def list_versions(call: Call, process: str, query: Pages) -> Response:
    """List a process's versions, newest first."""
    return call.read(lambda tx: seen.versions(tx, process, query.limit, query.cursor))


@routes.get(f"/processes/<process>/versions/{NUMBER}", Policy.VIEWER, answer=VersionView)
def get_version(call: Call, process: str, number: int) -> Response:
    """Get one version by its number."""
    return call.read(lambda tx: seen.version(tx, process, number))


@routes.get(
    f"/processes/<process>/versions/{NUMBER}/package",
    Policy.VIEWER_OR_ROBOT,
    answer=Content("application/octet-stream", binary=True),
)
def get_package(call: Call, process: str, number: int) -> Response:
    """Download a version's package, as people or as a robot."""
    name, data = call.fetch(lambda tx: verbs.package_of(tx, process, number))
    response = Response(data, content_type="application/octet-stream")
    response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    response.set_etag(hashlib.sha256(data).hexdigest())
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.make_conditional(request)
    return response


def _uploaded(limit: int) -> tuple[CheckedPackage, str]:
    """The checked package, and what stands for the body: its boundary differs each time it is sent."""
    if request.mimetype != "multipart/form-data":
        raise UnsupportedMediaType("Send the package as multipart/form-data, in the field «package».")
    request.max_content_length = limit + FORM_ROOM
    try:
        files, texts = request.files, request.form
    except RequestEntityTooLarge:
        raise TooLarge(_too_large(limit)) from None
    for name in [*files, *texts]:
        if name not in ("package", "entry"):
            raise Invalid.field(name[:200], "there is no such field")
    file = files.get("package")
    if file is None:
        raise Invalid.field("package", "it is missing; send a .py file or a .zip")
    entry = texts.get("entry")
    data = _read(file, limit)
    fingerprint = "\n".join((hashlib.sha256(data).hexdigest(), file.filename or "", entry or ""))
    return packages.check(file.filename or "", data, entry), fingerprint


def _read(file: FileStorage, limit: int) -> bytes:
    data = file.stream.read(limit + 1)
    if len(data) > limit:
        raise TooLarge(_too_large(limit))
    return data


def _too_large(limit: int) -> str:
    return f"package: it is larger than {limit} bytes, the limit of this server."
