"""A scheduler cut off from the database with its connections left open: what it sent arrives too late.

The proxy holds every byte, as a network does that lost its way, and lets all of it through in the end:
statements and commits reach the database long after the partitions have passed to others.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.acceptance.cluster import eventually
from tests.drill.ground import Ground, ground
from tests.drill.judgement import judge
from tests.drill.options import Options
from tests.drill.report import Finding, at_most, none_of

NAME = "cut_off"
DELAY = 0.004
ADOPTED_WITHIN = 5.0  # beyond the lease
JOBS_EACH, EVERY = 20, 0.2
VICTIM = 2


def run(options: Options) -> Iterator[Finding]:
    with ground(delay=DELAY, settings={"BOTSWAIN_PARTITION_LEASE_SECONDS": str(options.cut_lease)}) as made:
        made.start_members()
        with made.load.asking(JOBS_EACH, EVERY):
            eventually(lambda: made.is_in_mid_work(VICTIM), "the scheduler is at work", every=0.002)
            yield from _cut(made, options)
        yield from judge(NAME, made, options, tasks=1)


def _cut(made: Ground, options: Options) -> Iterator[Finding]:
    line = made.lines[VICTIM - 1]
    line.hold()
    cut = time.monotonic()
    eventually(lambda: str(VICTIM) not in made.witness.owners().values(), "its leases end", 60)
    eventually(lambda: made.is_served, "others have all partitions", 120)
    adopted = time.monotonic() - cut
    limit = (options.cut_lease + ADOPTED_WITHIN) * options.patience
    yield at_most(NAME, "seconds until others have its partitions", adopted, limit)
    before = len(made.witness.changes())
    while time.monotonic() < cut + options.cut_seconds:
        time.sleep(0.1)
    line.release()
    eventually(made.is_shared, "it has its share again", 60)
    between = made.witness.changes()[before:]
    late = [f"{change}" for change in between if change.writer == str(VICTIM) and change.owner != str(VICTIM)]
    yield none_of(NAME, "later writes of the one cut off accepted", late)
    yield Finding(NAME, "seconds cut off", round(options.cut_seconds))
