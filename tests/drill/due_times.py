"""Five simulated years of triggers in twenty time zones, against a scan of every minute."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from tests.drill.options import Options
from tests.drill.report import Finding, Progress, at_least, none_of
from tests.unit.triggers.masters import compared
from tests.unit.triggers.scanned import ZONES

NAME = "due_times"
PROCESSES = 2


def run(options: Options) -> Iterator[Finding]:
    progress, counts, wrong = Progress(NAME, len(ZONES)), [0], list[str]()
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        compare = partial(compared, is_short=options.is_short)
        for done, (count, found) in enumerate(pool.map(compare, ZONES), 1):
            counts.append(count)
            wrong += found
            progress.tell(done, due=sum(counts))
    yield at_least(NAME, "due times", sum(counts), 400 * len(ZONES))
    yield none_of(NAME, "due times missed or doubled", wrong)
