"""The verdict on a drill's tasks: what the database's witness, the jobs' histories and the logs say."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.jobs.states import Status
from tests.drill.ground import Ground
from tests.drill.options import Options
from tests.drill.report import Finding, at_least, none_of
from tests.drill.rules import breaches, set_aside

STANDSTILL_SECONDS = 120.0
ASIDE_SECONDS = 780.0  # a task that was set aside twice comes back after eleven minutes


def judge(drill: str, made: Ground, options: Options, *, tasks: int = 1) -> Iterator[Finding]:
    """Waits until the tasks, of which there must be so many, are finished; all schedulers of `made` run."""
    made.until_done(
        standstill=min(options.limit, STANDSTILL_SECONDS), aside=min(options.limit, ASIDE_SECONDS)
    )
    accepted = made.load.accepted
    jobs = made.witness.jobs()
    yield at_least(drill, "tasks", len(accepted), tasks)
    missing = [guid for guid in accepted if guid not in jobs]
    yield none_of(drill, "acknowledged creations missing", missing)
    wrong = [
        f"job {guid} has status {job.status} and was handed out {job.handed_out} times"
        for guid, job in jobs.items()
        if job.status != Status.PENDING or job.handed_out != 1
    ]
    yield none_of(drill, "jobs not handed out, or more than once", wrong)
    changes = made.witness.changes()
    for figure, sentences in breaches(changes, [job.task for job in jobs.values()]).items():
        yield none_of(drill, figure, sentences)
    yield Finding(drill, "tasks set aside by mistake, and done later", len(set_aside(changes)))
    refused = made.stale_writes_refused()
    yield Finding(drill, "stale writes refused", sum(refused.values()), more={"of": dict(refused)})
    yield none_of(drill, "errors in the schedulers' logs", made.mistakes())
