"""Presence held against SQL: whom Redis knows otherwise than SQL does."""

from __future__ import annotations

import hmac
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from orchestrator.database import among
from orchestrator.jobs.model import Job
from orchestrator.jobs.states import LIVE, Status
from orchestrator.robots.model import Robot
from orchestrator.robots.presence import Known, auth_of
from orchestrator.transaction import Transaction

CHUNK = 500


def mistaken(tx: Transaction, known: Mapping[int, Known]) -> list[int]:
    """Of robots of all tenants, by their ids: those that are deleted, paused, busy or let in (by their GUID
    and secret) otherwise than presence says."""
    ids, wrong = sorted(known), []
    for begin in range(0, len(ids), CHUNK):
        wrong += _mistaken(tx, {key: known[key] for key in ids[begin : begin + CHUNK]})
    return wrong


def _mistaken(tx: Transaction, known: Mapping[int, Known]) -> list[int]:
    present = select(Robot.id, Robot.paused_at, Robot.guid_digest, Robot.secret_digest).where(
        Robot.id.in_(known), Robot.deleted_at.is_(None)
    )
    robots = {row.id: row for row in tx.execute(present)}
    held = select(Job.robot_id, Job.guid, Job.status).where(
        Job.robot_id.in_(known), among(Job.status, [Status.PENDING, *LIVE])
    )
    jobs: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for row in tx.execute(held):
        jobs[row.robot_id][row.guid] = row.status
    return [
        key
        for key, one in known.items()
        if not _is_this(one, robots.get(key)) or not _is_so(one.job_guid, jobs[key])
    ]


def _is_this(one: Known, robot: Any | None) -> bool:
    """Whether the robot is there, pauses or not, and is let in, as presence says."""
    if robot is None or (robot.paused_at is not None) is not one.is_paused:
        return False
    return hmac.compare_digest(one.auth, auth_of(robot))


def _is_so(told: str, jobs: Mapping[str, int]) -> bool:
    """A robot may know of no job while one is handed to it, and not while it runs one."""
    return told in jobs if told else not any(Status(status) in LIVE for status in jobs.values())
