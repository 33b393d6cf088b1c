"""Triggers by the end of another job: what is put down in the transaction of that end cannot be lost.

The firing is noted there, and carried out by the scheduler that looks at triggers: the robot's word about its
job neither waits for another's order nor fails with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import bindparam, select, true

from orchestrator.errors import Invalid, NotFound
from orchestrator.jobs.model import Job
from orchestrator.jobs.moves import JobEnded
from orchestrator.jobs.states import STATE_NAMES, Status
from orchestrator.processes import lifecycle as processes
from orchestrator.transaction import Transaction, Transactions
from orchestrator.triggers import noted
from orchestrator.triggers.kind import Checked, Kind, Settings, read
from orchestrator.triggers.model import Trigger
from orchestrator.triggers.wake_ups import FiringsWait, process_watch

KIND = "job_end"
ARGUMENT = "ended_job"
CHAIN_LIMIT = 20


class JobEndSettings(Settings):
    """A job whenever one of `process` has ended in one of `states`."""

    process: Annotated[str, Field(min_length=1, max_length=200)]
    states: Annotated[
        list[Literal["Success", "Failed", "Stopped", "Aborted"]], Field(min_length=1, max_length=4)
    ] = ["Success"]  # noqa: RUF012  (pydantic copies it)


def check(tx: Transaction, given: Mapping[str, Any]) -> Checked:
    settings = read(JobEndSettings, given)
    try:
        watched = processes.existing(tx, settings.process)
    except (NotFound, Invalid) as missing:
        raise Invalid.field("settings.process", missing.detail) from None
    return Checked(settings.model_dump(), process_watch(watched.id))


JOB_END = Kind(KIND, check)

_WATCHING = select(Trigger.id, Trigger.tenant_id, Trigger.watches, Trigger.settings).where(
    Trigger.watches.in_(bindparam("p_watches", expanding=True)),
    Trigger.is_enabled == true(),
    Trigger.kind == KIND,
)
_ENDED = select(Job.guid, Job.arguments, Job.result, Job.error, Job.reason).where(
    Job.id == bindparam("p_id"), Job.tenant_id == bindparam("p_tenant_id")
)


def note(tx: Transaction, ended: Sequence[JobEnded]) -> None:
    """Put down a firing for each trigger that waited for one of these ends."""
    watches = sorted({process_watch(one.process_id) for one in ended})
    triggers = tx.execute(_WATCHING, {"p_watches": watches}).all()
    for one in ended:
        for trigger in triggers:
            if trigger.tenant_id == one.tenant_id and _concerns(trigger, one):
                _note(tx, trigger, one)


def _concerns(trigger: Any, ended: JobEnded) -> bool:
    named = STATE_NAMES[ended.status] in trigger.settings["states"]
    return named and trigger.watches == process_watch(ended.process_id)


def _note(tx: Transaction, trigger: Any, ended: JobEnded) -> None:
    job = tx.execute(_ENDED, {"p_id": ended.job_id, "p_tenant_id": ended.tenant_id}).one()
    chain = chain_of(job.arguments) + 1
    told = {
        "guid": job.guid,
        "state": STATE_NAMES[Status(ended.status)],
        "result": job.result,
        "error": job.error,
        "reason": job.reason,
        "chain": chain,
    }
    too_long = None
    if chain > CHAIN_LIMIT:
        too_long = (
            f"Job {job.guid} is the last of {CHAIN_LIMIT} that followed each other, each started by the end "
            "of the one before: a trigger seems to start, over others, itself."
        )
    noted.note(tx, trigger, f"job {job.guid}", {ARGUMENT: told}, refusal=too_long)
    if too_long is None:
        tx.announce(FiringsWait())


def chain_of(arguments: Any) -> int:
    """How many jobs, each started by the end of the one before, have led to the job with these arguments."""
    told = arguments.get(ARGUMENT) if isinstance(arguments, dict) else None
    chain = told.get("chain") if isinstance(told, dict) else None
    return chain if type(chain) is int and chain > 0 else 0


def accompany(transactions: Transactions) -> None:
    """Let every end of a job be followed by the firings that wait for it, wherever it takes place."""
    transactions.accompany(JobEnded, note)
