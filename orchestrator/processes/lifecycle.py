"""The verbs of processes: create, publish a version, and finding them."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import bindparam, insert, or_, select, update

from orchestrator import audit
from orchestrator.database import new_guid
from orchestrator.errors import Conflict, Invalid, NotFound
from orchestrator.named import Named
from orchestrator.processes import packages
from orchestrator.processes.model import Process, ProcessVersion
from orchestrator.processes.packages import CheckedPackage
from orchestrator.transaction import Transaction

_PROCESSES = Named(Process, "process")
existing = _PROCESSES.existing


def create(tx: Transaction, name: str, description: str = "", **watched: Any) -> str:
    """Create a process; return its public id. `watched`: stalled_after_seconds, on_stalled."""
    _PROCESSES.refuse_double(tx, name)
    public_id = new_guid()
    row = {
        "tenant_id": tx.tenant_id,
        "public_id": public_id,
        "name": name,
        "description": description,
        "newest_version": 0,
        "created_at": tx.now,
        **watched,
    }
    tx.execute(insert(Process), row)
    audit.record(tx, "process.create", name)
    return public_id


def change(tx: Transaction, key: str, **changes: Any) -> str:
    """Change `description`, `stalled_after_seconds` or `on_stalled`; return the public id.

    Jobs that were created before keep what held for them then.
    """
    process = existing(tx, key)
    guarded = update(Process).where(Process.id == process.id, Process.tenant_id == tx.tenant_id)
    tx.execute(guarded.values(**changes))
    audit.record(tx, "process.change", process.name, **changes)
    return str(process.public_id)


def publish(tx: Transaction, key: str, package: CheckedPackage) -> int:
    """Add an immutable version, numbered from 1; return its number. The newest of two that come at once
    is decided by the guarded UPDATE of the process's row."""
    process = existing(tx, key)
    number: int = process.newest_version + 1
    guarded = (
        update(Process)
        .where(Process.id == process.id, Process.tenant_id == tx.tenant_id)
        .where(Process.newest_version == process.newest_version)
        .values(newest_version=number)
    )
    if tx.execute(guarded).rowcount != 1:
        raise Conflict("Another version was published at the same moment; publish again.")
    row = {
        "tenant_id": tx.tenant_id,
        "public_id": new_guid(),
        "process_id": process.id,
        "version": number,
        "file_name": package.file_name,
        "entry": package.entry,
        "package_id": packages.store(tx, package),
        "sha256": package.sha256,
        "size": len(package.data),
        "created_by": str(tx.actor)[:200],
        "created_at": tx.now,
    }
    tx.execute(insert(ProcessVersion), row)
    audit.record(tx, "process.publish", process.name, version=number, sha256=package.sha256)
    return number


class FoundVersion(NamedTuple):
    process_id: int
    version_id: int
    process: str
    number: int
    stalled_after_seconds: int | None
    on_stalled: str


_ANY_VERSION = (
    select(
        Process.id,
        ProcessVersion.id,
        Process.name,
        ProcessVersion.version,
        Process.stalled_after_seconds,
        Process.on_stalled,
    )
    .join(ProcessVersion, ProcessVersion.process_id == Process.id)
    .where(
        Process.tenant_id == bindparam("p_tenant_id"),
        ProcessVersion.tenant_id == bindparam("p_tenant_id"),
        or_(Process.name == bindparam("p_name"), Process.public_id == bindparam("p_public_id")),
    )
)
_NEWEST_VERSION = _ANY_VERSION.where(ProcessVersion.version == Process.newest_version)
_NUMBERED_VERSION = _ANY_VERSION.where(ProcessVersion.version == bindparam("p_number"))


def find_version(tx: Transaction, key: str, number: int | None) -> FoundVersion:
    """The process and its version for a job; the newest version where no number is given.

    Raises `Invalid` naming the job's field, `process` or `version`.
    """
    asked = {"p_tenant_id": tx.tenant_id, "p_name": key, "p_public_id": key.lower(), "p_number": number}
    found = tx.execute(_NUMBERED_VERSION if number else _NEWEST_VERSION, asked).first()
    if found is not None:
        return FoundVersion(*found)
    process = _PROCESSES.find(tx, key)
    if process is None:
        raise Invalid.field("process", f"there is no process {key!r}")
    if process.newest_version == 0:
        raise Invalid.field("process", f"process {key!r} has no version yet; publish one first")
    raise Invalid.field("version", f"process {key!r} has no version {number}")


def _version_row(tx: Transaction, process_id: int, number: int) -> Any | None:
    query = select(*ProcessVersion.__table__.columns).where(
        ProcessVersion.tenant_id == tx.tenant_id,
        ProcessVersion.process_id == process_id,
        ProcessVersion.version == number,
    )
    return tx.execute(query).one_or_none()


def existing_version(tx: Transaction, key: str, number: int) -> Any:
    version = _version_row(tx, existing(tx, key).id, number)
    if version is None:
        raise NotFound(f"Process {key!r} has no version {number}.")
    return version


def name_of(tx: Transaction, process_id: int) -> str:
    query = select(Process.name).where(Process.id == process_id, Process.tenant_id == tx.tenant_id)
    return str(tx.execute(query).scalar_one())


def version_number(tx: Transaction, version_id: int) -> int:
    query = select(ProcessVersion.version).where(
        ProcessVersion.id == version_id, ProcessVersion.tenant_id == tx.tenant_id
    )
    return int(tx.execute(query).scalar_one())


_FOR_ROBOT = select(
    ProcessVersion.public_id,
    ProcessVersion.version,
    ProcessVersion.entry,
    ProcessVersion.file_name,
    ProcessVersion.sha256,
    Process.name.label("process_name"),
).where(
    ProcessVersion.id == bindparam("p_id"),
    ProcessVersion.tenant_id == bindparam("p_tenant_id"),
    Process.id == ProcessVersion.process_id,
)


def version_for_robot(tx: Transaction, version_id: int) -> Any:
    """What a robot must know to run it: GUID, number, entry, sha256, and the process's name."""
    return tx.execute(_FOR_ROBOT, {"p_id": version_id, "p_tenant_id": tx.tenant_id}).one()


def package_of(tx: Transaction, key: str, number: int) -> tuple[str, bytes]:
    """(file name, bytes) of a version."""
    version = existing_version(tx, key, number)
    return version.file_name, packages.read(tx, version.package_id)
