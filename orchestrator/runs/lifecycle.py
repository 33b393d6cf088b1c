"""The verbs of runs: begin, end, and naming the one on whose behalf a robot speaks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, insert, select, update

from orchestrator.database import BY_KEY, kept_guid
from orchestrator.errors import Conflict
from orchestrator.past import live_of
from orchestrator.runs.model import PAST_RUNS, Run
from orchestrator.transaction import Transaction

_INSERT = insert(Run)
_LIVE_OF_JOB = select(Run.id, Run.uses_resources, Run.limited_process_id).where(
    Run.job_id == bindparam("p_job_id"), Run.tenant_id == bindparam("p_tenant_id"), Run.ended_at.is_(None)
)
_END = (
    update(Run)
    .where(Run.id == bindparam("p_id"), Run.tenant_id == bindparam("p_tenant_id"), Run.ended_at.is_(None))
    .values(ended_at=bindparam("p_now"))
)
_LIVE_OF_ROBOT = select(Run.id, Run.job_guid).where(
    Run.robot_id == bindparam("p_robot_id"),
    Run.tenant_id == bindparam("p_tenant_id"),
    Run.ended_at.is_(None),
)
# The end of the run, which changes the row, comes before or after a grant and never between. Not shared: of
# two that hold the row together and both mark it, each would wait for the other.
_HOLD = (
    select(Run.id, Run.uses_resources, Run.touched_at)
    .where(Run.id == bindparam("p_id"), Run.tenant_id == bindparam("p_tenant_id"), Run.ended_at.is_(None))
    .with_for_update()
)
# By the index, as `BY_KEY` says of keys.
_HOLD_OF_ROBOTS = (
    select(Run.id, Run.robot_id, Run.job_guid, Run.uses_resources, Run.touched_at)
    .with_hint(Run, "FORCE INDEX (ix_runs_robot_id_ended_at)", "mysql")
    .where(
        Run.robot_id.in_(bindparam("p_robot_ids", expanding=True)),
        Run.tenant_id == bindparam("p_tenant_id"),
        Run.ended_at.is_(None),
    )
    .order_by(Run.robot_id, Run.id)  # as the index has them, in whose order MariaDB locks them
    .with_for_update()
)
_MARK = (
    update(Run)
    .with_hint(BY_KEY, dialect_name="mysql")
    .where(Run.id.in_(bindparam("p_ids", expanding=True)), Run.tenant_id == bindparam("p_tenant_id"))
    .values(uses_resources=True, touched_at=bindparam("p_now"))
)
TOUCHED_EVERY = timedelta(seconds=1)  # as often as its progress is noted, however much a run does


def begin(
    tx: Transaction, job: Any, robot_id: int, fence: int, limited_process_id: int | None = None
) -> None:
    """`limited_process_id`: the job's process, where something limits its runs."""
    row = {
        "tenant_id": tx.tenant_id,
        "job_id": job.id,
        "job_guid": job.guid,
        "robot_id": robot_id,
        "attempt": job.attempt,
        "fence": fence,
        "uses_resources": False,
        "limited_process_id": limited_process_id,
        "consumed_at": tx.now,
    }
    tx.execute(_INSERT, row)


def end(tx: Transaction, job_id: int) -> list[Any]:
    """End the live run of a job. Returns those ended, with what their end must look after:
    `uses_resources`, `limited_process_id`."""
    live = tx.execute(_LIVE_OF_JOB, {"p_job_id": job_id, "p_tenant_id": tx.tenant_id}).all()
    return [run for run in live if _is_ended(tx, run.id)]


def _is_ended(tx: Transaction, run_id: int) -> bool:
    """Whether it was this that ended the run, and nobody before."""
    asked = {"p_id": run_id, "p_tenant_id": tx.tenant_id, "p_now": tx.now}
    return bool(tx.execute(_END, asked).rowcount == 1)


def of_robot(tx: Transaction, robot_id: int, job_guid: str | None) -> Any:
    """The live run on whose behalf the robot speaks: the named job's, or its only one.

    Raises `Conflict` where there is none: a robot touches resources only in a run, so that its locks end
    with it.
    """
    asked = {"p_robot_id": robot_id, "p_tenant_id": tx.tenant_id}
    return choose(tx.execute(_LIVE_OF_ROBOT, asked).all(), job_guid)


def of_robots(tx: Transaction, robot_ids: Sequence[int]) -> dict[int, list[Any]]:
    """The live runs of each of these robots; none of them ends before this transaction does."""
    asked = {"p_robot_ids": sorted(set(robot_ids)), "p_tenant_id": tx.tenant_id}
    found: dict[int, list[Any]] = {}
    for run in tx.execute(_HOLD_OF_ROBOTS, asked):
        found.setdefault(run.robot_id, []).append(run)
    return found


def choose(live: Sequence[Any], job_guid: str | None) -> Any:
    """Of a robot's live runs, the named job's, or the only one. Raises `NoRun`."""
    if job_guid is not None:
        live = [run for run in live if run.job_guid == kept_guid(job_guid)]
        if not live:
            raise NoRun("Botswain-Run: this robot has no such run, or it has ended.")
    if len(live) != 1:
        raise NoRun(
            "Say in the header Botswain-Run for which job this is: this robot has no run, or several."
        )
    return live[0]


def hold(tx: Transaction, run_id: int) -> None:
    """Keep the run from ending until this transaction has, and note that it touches resources, and when."""
    run = tx.execute(_HOLD, {"p_id": run_id, "p_tenant_id": tx.tenant_id}).one_or_none()
    if run is None:
        raise NoRun("The run has ended: what it held is released, and it can take nothing more.")
    if is_to_be_marked(tx, run):
        mark_used(tx, [run_id])


def is_to_be_marked(tx: Transaction, run: Any) -> bool:
    """Whether a run that touches resources now is to be marked so (again)."""
    return run.touched_at is None or bool(run.touched_at < tx.now - TOUCHED_EVERY)


def mark_used(tx: Transaction, run_ids: Sequence[int]) -> None:
    """Note that these runs touch resources, for which their ends must look, and that they get on."""
    if run_ids:
        tx.execute(_MARK, {"p_ids": run_ids, "p_tenant_id": tx.tenant_id, "p_now": tx.now})


_GUIDS = [
    select(table.c.id, table.c.job_guid).where(table.c.id.in_(bindparam("p_ids", expanding=True)))
    for table in (live_of(Run), PAST_RUNS)
]


def job_guids(tx: Transaction, run_ids: Iterable[int]) -> dict[int, str]:
    """The GUIDs of these runs' jobs, by the runs' ids, also of those that are history."""
    found: dict[int, str] = {}
    for query in _GUIDS:
        missing = set(run_ids) - found.keys()
        if missing:
            found |= {row.id: row.job_guid for row in tx.execute(query, {"p_ids": sorted(missing)})}
    return found


class NoRun(Conflict):
    """There is no such run, or it is over"""

    code = "no_run"
