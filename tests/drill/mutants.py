"""Schedulers that are broken on purpose, so that the judge is seen to convict a real one.

Each mutant takes one guard out of the code, in the nursery that the schedulers are forked from, and is led to
where that guard is needed: one scheduler stops in mid-work until another has what it had, and then goes on.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from scheduler.perform import SUSPICIOUS_DEATHS
from tests.acceptance.cluster import Settings, eventually
from tests.drill.ground import Ground, ground
from tests.drill.options import Options
from tests.drill.report import Finding
from tests.drill.rules import breaches

NAME = "mutants"
MUTANT, STOP = "DRILL_MUTANT", "DRILL_STOP_BEFORE_CLAIM"
STOP_AFTER_CLAIM = "after_commit_claim=stop"
DIE_HANDING_OUT = "before_commit_hand_out=kill"
TIMES: Settings = {"BOTSWAIN_PARTITION_LEASE_SECONDS": "6", "BOTSWAIN_TESTING": "1"}
PATIENCE = 90.0
TRIALS = 3
IN_EACH_PARTITION = 700  # jobs: ten for each, and a few


def prepare(environment: Mapping[str, str]) -> None:
    """In the nursery, before it forks: take a guard out, and let a scheduler stop before a claim."""
    if name := environment.get(MUTANT, ""):
        MUTATIONS[name]()
        _let_claims_stop()


def _let_claims_stop() -> None:
    from scheduler import claim_loop

    module: Any = claim_loop
    hand_out = module.hand_out

    def late(*arguments: Any) -> Any:
        if os.environ.pop(STOP, ""):
            os.kill(os.getpid(), signal.SIGSTOP)
        return hand_out(*arguments)

    module.hand_out = late


def forget_the_fence() -> None:
    """What was claimed is finished, whether the claim still stands or not."""
    from sqlalchemy import bindparam, select

    from orchestrator.tasks import claimed
    from orchestrator.tasks.model import Task

    ids = Task.id.in_(bindparam("p_ids", expanding=True))
    claimed._LOCK_CLAIMED = select(Task.id).where(ids).with_for_update()


def forget_the_epoch() -> None:
    """A partition is served by whoever believes that it is his."""
    from sqlalchemy import bindparam, select

    from orchestrator.tasks import claim
    from orchestrator.tasks.model import Partition

    columns = claim._OWNED.selected_columns
    claim._OWNED = select(*columns).where(Partition.id == bindparam("p_partition")).with_for_update()


def nothing() -> None:
    """The control: the same stops, and every guard in its place."""


MUTATIONS: dict[str, Callable[[], None]] = {
    "forget_the_fence": forget_the_fence,
    "forget_the_epoch": forget_the_epoch,
    "nothing": nothing,
}


def claimed_by_both(made: Ground) -> None:
    """The first stops with a claimed task; the second adopts it, claims it, and stops; the first goes on."""
    first, second = made.members
    first.start()
    eventually(lambda: made.is_served, "the first has all partitions", PATIENCE)
    first.kill()
    made.load.ask(1)
    for _ in range(SUSPICIOUS_DEATHS - 1):  # what schedulers die of again and again is claimed first
        first.start(BOTSWAIN_FAILPOINTS=DIE_HANDING_OUT)
        eventually(lambda: not first.is_alive, "the first has died of it", PATIENCE)
    first.start(BOTSWAIN_FAILPOINTS=STOP_AFTER_CLAIM)
    eventually(lambda: first.has_stopped, "the first has claimed it", PATIENCE)
    second.start(BOTSWAIN_FAILPOINTS=STOP_AFTER_CLAIM)
    eventually(lambda: second.has_stopped, "the second has claimed it, too", PATIENCE)
    first.wake()
    went_on = "the first has gone on with what is not its own"
    eventually(lambda: first.has_said("stale_write") or not made.witness.waiting(), went_on, PATIENCE)
    second.wake()


def claimed_too_late(made: Ground) -> None:
    """The first stops before a claim; the second adopts the partition, and work comes; the first goes on."""
    first, second = made.members
    first.start(**{STOP: "1"})
    eventually(lambda: made.is_served, "the first has all partitions", PATIENCE)
    made.load.ask(1)
    eventually(lambda: first.has_stopped, "the first is about to claim", PATIENCE)
    second.start()
    eventually(lambda: set(made.witness.owners().values()) == {"2"}, "the second has all", PATIENCE)
    eventually(lambda: not made.witness.waiting(), "the second has done it", PATIENCE)
    second.pause(PATIENCE)
    before = len(made.witness.changes())
    made.load.ask(IN_EACH_PARTITION)
    first.wake()
    went_on = "the first has gone on where it no longer serves"
    eventually(
        lambda: first.has_said("partition_lost") or made.witness.has_written(1, before), went_on, PATIENCE
    )
    second.wake()


CASES = {"forget_the_fence": claimed_by_both, "forget_the_epoch": claimed_too_late}


def run(options: Options) -> Iterator[Finding]:
    for name, case in CASES.items():
        # A machine so busy that a lease ends in between has the first take its partitions back: no crime.
        told = next(filter(None, (_trial(name, case) for _ in range(TRIALS))), {})
        yield Finding(NAME, f"{name} is convicted", bool(told), "True", bool(told), {"of": told})
        if options.is_short:
            continue
        told = _trial("nothing", case)
        figure = f"the same without {name} is acquitted"
        yield Finding(NAME, figure, not told, "True", not told, {"of": told})


def _trial(name: str, case: Callable[[Ground], None]) -> dict[str, str]:
    """What the judge says of it: the first breach of each rule."""
    with ground(2, settings={**TIMES, MUTANT: name}) as made:
        case(made)
        made.until_done(PATIENCE)
        found = breaches(made.witness.changes(), [job.task for job in made.witness.jobs().values()])
        return {rule: sentences[0] for rule, sentences in found.items() if sentences}
