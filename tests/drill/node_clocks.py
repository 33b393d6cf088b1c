"""Schedulers whose clocks are an hour fast and an hour slow: leases go by the database's, and do not care."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.acceptance.cluster import eventually
from tests.drill.ground import ground
from tests.drill.judgement import judge
from tests.drill.options import Options
from tests.drill.report import Finding, none_of

NAME = "node_clocks"
SOURCE = Path(__file__).with_name("wrong_clock.c")
WRONG_BY = {1: "3600", 2: "-3600"}  # seconds; the other two are right
LEASE = 4.0
JOBS_EACH, EVERY = 20, 0.2


def run(options: Options) -> Iterator[Finding]:
    with tempfile.TemporaryDirectory(prefix="drill-clock-") as folder:
        library = Path(folder) / "wrong_clock.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(SOURCE)], check=True)
        yield from _watch(library, options)


def _watch(library: Path, options: Options) -> Iterator[Finding]:
    settings = {"BOTSWAIN_PARTITION_LEASE_SECONDS": str(LEASE), "LD_PRELOAD": str(library)}
    with ground(settings=settings) as made:
        for member in made.members:
            member.start(DRILL_CLOCK_SECONDS=WRONG_BY.get(member.number, "0"))
        eventually(lambda: all(member.is_at_work for member in made.members), "all schedulers are up")
        eventually(made.is_shared, "each has its share of the partitions")
        changed: list[str] = []
        seconds = 3 * LEASE if options.is_short else options.cut_seconds
        end = time.monotonic() + seconds
        with made.load.asking(JOBS_EACH, EVERY):
            while time.monotonic() < end:
                if not made.is_shared():
                    changed.append(str(made.witness.owners()))
                time.sleep(0.5)
        wrong = [round(made.members[number - 1].clock_is_ahead() / 3600) for number in WRONG_BY]
        yield Finding(NAME, "hours by which two clocks were wrong", wrong, "[1, -1]", wrong == [1, -1])
        yield Finding(NAME, "seconds watched", round(seconds))
        yield none_of(NAME, "looks at which somebody had not its own share", changed)
        yield from judge(NAME, made, options)
