"""What people see of processes and their versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from orchestrator.insights.paging import Page, page
from orchestrator.processes import lifecycle
from orchestrator.processes.model import Process, ProcessVersion
from orchestrator.transaction import Transaction


@dataclass(frozen=True)
class ProcessView:
    """`newest_version` is null until a version has been published."""

    id: str
    name: str
    description: str
    newest_version: int | None
    stalled_after_seconds: int | None
    on_stalled: str
    created_at: datetime


@dataclass(frozen=True)
class VersionView:
    """`entry` is the script that a robot runs: the .py itself, or a name in the .zip."""

    id: str
    process: str
    version: int
    file_name: str
    entry: str
    sha256: str
    size: int
    created_by: str
    created_at: datetime


def listed(tx: Transaction, name: str | None, limit: int, cursor: str | None) -> Page[ProcessView]:
    query = select(*Process.__table__.columns).where(Process.tenant_id == tx.tenant_id)
    if name is not None:
        query = query.where(Process.name == name)
    return page(tx, query, Process.id, limit, cursor, lambda rows: [_process(row) for row in rows])


def named(tx: Transaction, key: str) -> ProcessView:
    return _process(lifecycle.existing(tx, key))


def versions(tx: Transaction, key: str, limit: int, cursor: str | None) -> Page[VersionView]:
    process = lifecycle.existing(tx, key)
    query = _versions(tx, process.id)

    def render(rows: Sequence[Any]) -> list[VersionView]:
        return [_version(row, process.name) for row in rows]

    return page(tx, query, ProcessVersion.id, limit, cursor, render)


def version(tx: Transaction, key: str, number: int) -> VersionView:
    found = lifecycle.existing_version(tx, key, number)
    return _version(found, lifecycle.name_of(tx, found.process_id))


def _versions(tx: Transaction, process_id: int) -> Any:
    return select(*ProcessVersion.__table__.columns).where(
        ProcessVersion.tenant_id == tx.tenant_id, ProcessVersion.process_id == process_id
    )


def _process(row: Any) -> ProcessView:
    return ProcessView(
        id=row.public_id,
        name=row.name,
        description=row.description,
        newest_version=row.newest_version or None,
        stalled_after_seconds=row.stalled_after_seconds,
        on_stalled=row.on_stalled,
        created_at=row.created_at,
    )


def _version(row: Any, process: str) -> VersionView:
    return VersionView(
        id=row.public_id,
        process=process,
        version=row.version,
        file_name=row.file_name,
        entry=row.entry,
        sha256=row.sha256,
        size=row.size,
        created_by=row.created_by,
        created_at=row.created_at,
    )
