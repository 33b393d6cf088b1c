"""A scheduler dies by its own hand at each step of its work, on either side of each commit."""

from __future__ import annotations

import time
from collections.abc import Iterator

from scheduler.perform import SUSPICIOUS_DEATHS
from tests.acceptance.cluster import eventually
from tests.drill.ground import Ground, ground
from tests.drill.judgement import judge
from tests.drill.member import Member
from tests.drill.options import Options
from tests.drill.report import Finding, Progress, at_least, seconds_of

NAME = "failpoints"
LEASE, SWEEP = 4.0, 1.0
MARGIN = 1.0  # for a busy machine
# What a scheduler commits on its own, each second or so, with jobs to hand out: many at once, or, where
# owners died again and again at the same task, one at a time, claimed first.
STEPS = ("hand_out", "claim", "dispatch", "adopt", "renew", "put_back", "master")
WITH_CARE = ("claim", "dispatch")
POINTS = [f"{moment}_commit_{step}" for step in STEPS for moment in ("before", "after")]
CAUGHT_UP = 0.5  # seconds that the oldest waits
PATIENCE = 20.0  # seconds until a point is reached
JOBS_EACH, EVERY = 20, 0.2
LONG_DEATH = 10  # each such one stays dead until its partitions have been adopted


def run(options: Options) -> Iterator[Finding]:
    points = POINTS[:2] if options.is_short else POINTS
    with ground(settings={"BOTSWAIN_PARTITION_LEASE_SECONDS": str(LEASE), "BOTSWAIN_TESTING": "1"}) as made:
        mortal, *others = made.members
        for other in others:
            other.start(SCHEDULER_MASTER="0")  # so that the one who dies is always the master
        eventually(lambda: made.is_served, "somebody has each partition")
        deaths = dict.fromkeys(points, 0)
        progress = Progress(NAME, len(points) * options.failpoint_times)
        end = time.monotonic() + options.limit
        with made.load.asking(JOBS_EACH, EVERY):
            for point in _in_turn(deaths, options.failpoint_times):
                if time.monotonic() > end:
                    break
                if _dies_at(made, mortal, point):
                    deaths[point] += 1
                    _recover(made, mortal, stays_dead=sum(deaths.values()) % LONG_DEATH == 0)
                    progress.tell(sum(deaths.values()), at=point)
        made.wake_all()
        yield at_least(NAME, "failpoints", len([point for point in points if deaths[point]]), len(points))
        least = min(deaths.values())
        yield Finding(
            NAME,
            "deaths at each",
            least,
            f"at least {options.failpoint_times}",
            least >= options.failpoint_times,
            {"of": deaths},
        )
        yield from judge(NAME, made, options)
        limit = (LEASE + SWEEP + MARGIN) * options.patience
        yield seconds_of(NAME, "seconds until a job was handed out", made.witness.waits(), limit)


def _in_turn(deaths: dict[str, int], times: int) -> Iterator[str]:
    """Each point until it has had its deaths, all by turns: a time limit cuts all of them short.

    One that was not reached in time comes again; one that never is ends with twice as many turns.
    """
    for _ in range(2 * times):
        yield from [point for point, died in deaths.items() if died < times]


def _recover(made: Ground, mortal: Member, *, stays_dead: bool) -> None:
    """Back when nothing waits for long: its next death is another fault, and not more of this one.

    The others have adopted its partitions, or it has begun again as an operator would begin it.
    """
    if stays_dead:
        time.sleep(LEASE + SWEEP)
    else:
        mortal.start(SCHEDULER_MASTER="1")
    eventually(lambda: made.witness.longest_wait() < CAUGHT_UP, "nothing waits for long")
    mortal.kill()


def _dies_at(made: Ground, mortal: Member, point: str) -> bool:
    """Whether it began, reached the point, and died of it."""
    if point.endswith(WITH_CARE):
        for _ in range(SUSPICIOUS_DEATHS):
            _dies_at(made, mortal, "before_commit_hand_out")
    mortal.start(BOTSWAIN_FAILPOINTS=f"{point}=kill")
    end = time.monotonic() + PATIENCE
    while mortal.is_alive:
        if time.monotonic() > end:
            mortal.kill()
            return False
        time.sleep(0.01)
    return mortal.has_said(f'"point": "{point}"')
