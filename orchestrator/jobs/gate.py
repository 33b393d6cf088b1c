"""Where limits meet the lines: jobs that may not begin yet step aside, and come back to their places.

A job whose process has no room is taken out of the robots' sight (`Job.robot_id` below 0), and with it those
of the same process that stand near it: robots pass to the next one, and a line in which only such jobs
stand counts as empty. As room comes, in the transaction that makes it or by the sweep, the first of each
such line are put back; their places (rank and id) have never changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any

from sqlalchemy import bindparam, delete, exists, insert, literal, select, update

from orchestrator.database import BY_KEY, among
from orchestrator.jobs import moves
from orchestrator.jobs.model import HeldLine, Job
from orchestrator.jobs.moves import JobsOffered
from orchestrator.jobs.states import LIVE, Status
from orchestrator.limits import breakers, permits, requirements
from orchestrator.limits.breakers import Ended
from orchestrator.limits.model import EVERY_PROCESS, Admission, Permit
from orchestrator.limits.permits import Taker
from orchestrator.transaction import Transaction

WINDOW = 200  # jobs of a line that step aside together
LINES_AT_AN_END = 50  # of which an ending run lets jobs in; the sweep looks at all
JOBS_AT_AN_END = 20  # of each line
LINES_IN_A_SWEEP = 1000
JOBS_IN_A_SWEEP = 2000

_IN_LINE = (
    Job.tenant_id == bindparam("p_tenant_id"),
    Job.status == Status.PENDING.value,
    Job.target == bindparam("p_target"),
)
_NEAR = (
    select(Job.id, Job.process_id)
    .where(*_IN_LINE, Job.robot_id == 0)
    .order_by(Job.rank, Job.id)
    .limit(literal(WINDOW, literal_execute=True))
)
# Passing over what another robot looks at: it holds that row while it waits for our semaphores.
_FREE = (
    select(Job.id)
    .where(
        Job.id.in_(bindparam("p_ids", expanding=True)),
        Job.tenant_id == bindparam("p_tenant_id"),
        Job.status == Status.PENDING.value,
        Job.robot_id == 0,
    )
    .with_for_update(skip_locked=True)
)
_ASIDE = (
    update(Job)
    .with_hint(BY_KEY, dialect_name="mysql")
    .where(
        Job.id.in_(bindparam("p_ids", expanding=True)),
        Job.tenant_id == bindparam("p_tenant_id"),
        Job.status == Status.PENDING.value,
        Job.robot_id == 0,
    )
    .values(robot_id=bindparam("p_aside"))
)
_BACK = (
    update(Job)
    .with_hint(BY_KEY, dialect_name="mysql")
    .where(
        Job.id.in_(bindparam("p_ids", expanding=True)),
        Job.tenant_id == bindparam("p_tenant_id"),
        Job.status == Status.PENDING.value,
        Job.robot_id < 0,
    )
    .values(robot_id=0)
)
_FIRST_ASIDE = (
    select(Job.id)
    .where(*_IN_LINE, Job.robot_id == bindparam("p_aside"))
    .order_by(Job.rank, Job.id)
    .limit(bindparam("p_limit"))
)
# Passing over what another's end puts back: two who each wait for the other's rows would never end.
_LOCK_FIRST_ASIDE = _FIRST_ASIDE.with_for_update(skip_locked=True)
_LINE = select(HeldLine.id).where(
    HeldLine.tenant_id == bindparam("p_tenant_id"),
    HeldLine.process_id == bindparam("p_process_id"),
    HeldLine.target == bindparam("p_target"),
)
_LOCK_LINE = _LINE.with_for_update()
_INSERT_LINE = insert(HeldLine)
_LINES = select(*HeldLine.__table__.columns).order_by(HeldLine.tenant_id, HeldLine.id)


def admit(tx: Transaction, job: Any, robot_id: int, *, may_wait: bool) -> Admission:
    """Whether limits let the job begin now; where they do, its permits are taken. `job` is a locked row with
    its `limited_process_id`; `may_wait` is for a transaction that has asked for no other job."""
    process_id = job.limited_process_id
    if process_id is None:
        return Admission.GRANTED
    # First the semaphores, then the breaker, in every transaction.
    taker = Taker(job.id, job.fence + 1, process_id, robot_id)
    admission = permits.take(tx, taker, may_wait=may_wait)
    if admission is Admission.GRANTED:
        admission = breakers.let_begin(tx, process_id, job.id, may_wait=may_wait)
        if admission is not Admission.GRANTED:
            permits.give_back(tx, job.id)
    return admission


def step_aside(tx: Transaction, job: Any) -> set[int]:
    """Take the refused job, and those of its process near it, out of the robots' sight; return their ids."""
    process_id = job.limited_process_id
    line = {"p_tenant_id": tx.tenant_id, "p_target": job.target}
    near = [row.id for row in tx.execute(_NEAR, line) if row.process_id == process_id]
    chosen = {"p_tenant_id": tx.tenant_id, "p_ids": sorted({job.id, *near})}
    free = list(tx.execute(_FREE, chosen).scalars())
    tx.execute(_ASIDE, {"p_tenant_id": tx.tenant_id, "p_ids": free, "p_aside": -process_id})
    # Its row stays locked: the sweep forgets a line that it finds empty, but not under our hands.
    if tx.execute(_LOCK_LINE, line | {"p_process_id": process_id}).first() is None:
        row = {"tenant_id": tx.tenant_id, "process_id": process_id, "target": job.target, "since": tx.now}
        tx.execute(_INSERT_LINE, row)
    return set(free)


def run_ended(tx: Transaction, job: Any, process_id: int, ended: Ended) -> None:
    """The run of a job of a limited process is over: what it held goes, and who waited for it comes in."""
    semaphores = permits.give_back(tx, job.id)
    breakers.note(tx, process_id, job.id, ended)
    waiting = requirements.of_semaphores(tx, semaphores) if semaphores else set()
    let_in(tx, waiting | {process_id})


def let_in(tx: Transaction, process_ids: Collection[int]) -> int:
    """Put back the first jobs of these processes that now have room; with `EVERY_PROCESS`, of all of the
    tenant. Returns how many."""
    query = _LINES.where(HeldLine.tenant_id == tx.tenant_id)
    if EVERY_PROCESS not in process_ids:
        query = query.where(HeldLine.process_id.in_(sorted(process_ids)))
    lines = tx.execute(query.limit(LINES_AT_AN_END)).all()
    return _put_back(tx, lines, JOBS_AT_AN_END)


def _put_back(tx: Transaction, lines: Sequence[Any], at_most: int) -> int:
    if not lines:
        return 0
    processes = {line.process_id for line in lines}
    room = permits.room(tx, processes)
    shut = breakers.shut(tx, processes)
    back: list[int] = []
    offered: list[str] = []
    for line in lines:
        limit = 0 if line.process_id in shut else min(room[line.process_id], at_most)
        found = _first_aside(tx, line, limit, _LOCK_FIRST_ASIDE) if limit else []
        back += found
        offered += [moves.line_key(line)] * len(found)
    if back:
        tx.execute(_BACK, {"p_tenant_id": tx.tenant_id, "p_ids": back})
        tx.announce(JobsOffered(tuple(offered)))
    return len(back)


def _first_aside(tx: Transaction, line: Any, limit: int, how: Any = _FIRST_ASIDE) -> list[int]:
    asked = {"p_tenant_id": line.tenant_id, "p_target": line.target, "p_aside": -line.process_id}
    return list(tx.execute(how, asked | {"p_limit": limit}).scalars())


# The sweep: for what nobody's end has told ------------------------------------------------------------------


def sweep(tx: Transaction) -> dict[str, int]:
    """Of all tenants: let go of permits and trials whose runs are over, and let in whom there is room for."""
    counts = Counter(permits_lapsed=permits.lapse(tx) + _drop_left_behind(tx))
    for trial in _lost_trials(tx):
        own = replace(tx, tenant_id=trial.tenant_id)
        counts += own.attempt(partial(_end_trial, own, trial), process=trial.process_id)
    lines = tx.execute(_LINES.limit(LINES_IN_A_SWEEP)).all()
    for tenant_id, of_tenant in groupby(lines, key=lambda line: int(line.tenant_id)):
        own = replace(tx, tenant_id=tenant_id)
        counts += own.attempt(partial(_let_all_in, own, list(of_tenant)))
    return counts


def _end_trial(tx: Transaction, trial: Any) -> Counter[str]:
    breakers.note(tx, trial.process_id, trial.trial_job_id, Ended.OTHERWISE)
    return Counter()


def _let_all_in(tx: Transaction, lines: Sequence[Any]) -> Counter[str]:
    return Counter(jobs_let_in=_put_back(tx, lines, JOBS_IN_A_SWEEP))


_HELD = among(Job.status, [Status.PENDING, *LIVE])


def _drop_left_behind(tx: Transaction) -> int:
    """A node of an earlier version ends runs without a thought for their permits."""
    running = exists().where(
        Job.id == Permit.job_id, Job.fence == Permit.fence, Job.robot_id == Permit.robot_id, _HELD
    )
    left = list(tx.execute(select(Permit.id).where(~running).limit(1000)).scalars())
    if left:
        tx.execute(delete(Permit).where(Permit.id.in_(left)))
    return len(left)


def _lost_trials(tx: Transaction) -> list[Any]:
    """Trials that ended without a word to the breaker."""
    found = breakers.trials(tx)
    if not found:
        return []
    running = select(Job.id).where(
        Job.id.in_([trial.trial_job_id for trial in found]), Job.robot_id > 0, _HELD
    )
    still = set(tx.execute(running).scalars())
    return [trial for trial in found if trial.trial_job_id not in still]


def forget_empty_lines(tx: Transaction) -> int:
    """Of all tenants: lines in which nobody is held back any more."""
    forgotten = 0
    for line in tx.execute(_LINES.limit(LINES_IN_A_SWEEP)).all():
        if _first_aside(tx, line, 1):
            continue
        same = select(HeldLine.id).where(HeldLine.id == line.id).with_for_update(skip_locked=True)
        # Looked at again under the lock: who steps aside into it holds that until the commit.
        if tx.execute(same).first() is not None and not _first_aside(tx, line, 1):
            tx.execute(delete(HeldLine).where(HeldLine.id == line.id))
            forgotten += 1
    return forgotten
