"""Carry presence to SQL in batches: when each robot was last seen, and the leases of their runs."""

from __future__ import annotations

from datetime import timedelta
from math import ceil

from redis import RedisError
from sqlalchemy import bindparam, select, update

from orchestrator.database import among, database_time
from orchestrator.jobs.model import Job
from orchestrator.jobs.states import LIVE
from orchestrator.robots.model import Robot, RobotStatus
from orchestrator.robots.presence import Seen
from orchestrator.transaction import Transaction
from scheduler.term import Term

_SEEN = (
    update(Robot)
    .where(Robot.id == bindparam("p_id"))
    .values(last_seen=bindparam("p_seen"), status=bindparam("p_status"))
)
_LIVE = [status.value for status in sorted(LIVE)]
_LEASE = (
    update(Job)
    .where(Job.guid == bindparam("p_guid"), Job.robot_id == bindparam("p_robot"), among(Job.status, _LIVE))
    .where(Job.lease_until < bindparam("p_until"))
    .values(lease_until=bindparam("p_until"))
)


PORTION = 500  # robots in one transaction
PORTIONS = 40  # in a round: the other duties wait meanwhile


def run(term: Term) -> dict[str, int]:
    """What waits now is carried in this round: with as many robots as there may be, a fixed number would
    fall behind their beats, and living ones would seem to be silent."""
    try:
        waiting = term.parts.presence.waiting_beats()
        for _ in range(min(ceil(waiting / PORTION), PORTIONS)):
            _carry_portion(term)
    except RedisError:
        return {}
    lease = term.parts.run_lease
    silent = term.run(lambda tx: _disconnect(tx, lease))
    return {"disconnected": silent} if silent else {}


def _carry_portion(term: Term) -> None:
    presence, lease = term.parts.presence, term.parts.run_lease
    beats = presence.take_beats(PORTION)
    if not beats:
        return
    try:
        idle_but_busy = term.run(lambda tx: _carry(tx, beats, lease))
        presence.forget(idle_but_busy)
    except Exception:
        presence.return_beats(beats)
        raise


def _carry(tx: Transaction, beats: list[Seen], lease: timedelta) -> list[int]:
    """Returns robots whom presence believes idle while SQL knows a run of theirs: they must be asked."""
    ordered = sorted(beats, key=lambda beat: beat.robot_id)  # one order of locking
    tx.execute(
        _SEEN,
        [
            {"p_id": b.robot_id, "p_seen": tx.now - timedelta(seconds=b.seconds_ago), "p_status": b.status}
            for b in ordered
        ],
    )
    working = [
        {
            "p_guid": b.job_guid,
            "p_robot": b.robot_id,
            "p_until": tx.now - timedelta(seconds=b.seconds_ago) + lease,
        }
        for b in ordered
        if b.job_guid
    ]
    if working:
        tx.execute(_LEASE, working)
    idle = [b.robot_id for b in ordered if not b.job_guid]
    query = select(Job.robot_id).where(Job.robot_id.in_(idle or [0]), among(Job.status, _LIVE))
    return list(tx.execute(query).scalars())


def _disconnect(tx: Transaction, lease: timedelta) -> int:
    """Robots not seen for the time of a lease are Disconnected."""
    silent = (
        select(Robot.id)
        .where(Robot.status != RobotStatus.DISCONNECTED.value, Robot.last_seen < tx.now - lease)
        .where(Robot.last_seen < database_time())
        .limit(500)
    )
    ids = list(tx.execute(silent).scalars())
    if ids:
        gone = update(Robot).where(Robot.id.in_(ids), Robot.last_seen < tx.now - lease)
        tx.execute(gone.values(status=RobotStatus.DISCONNECTED.value))
    return len(ids)
