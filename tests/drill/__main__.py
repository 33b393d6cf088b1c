"""Hurt a cluster of real processes and judge it: `python -m tests.drill [NAME …]`, all where none is named.

Standard output is JSON, a line a figure; progress and a table for people go to standard error. The exit
status is 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from rich.console import Console

from tests.drill import (
    cut_off,
    due_times,
    failpoint_kills,
    kills,
    mariadb_killed,
    master_moves,
    mutants,
    node_clocks,
    redis_away,
    rolling,
)
from tests.drill.options import Options
from tests.drill.report import Finding, table

Drill = Callable[[Options], Iterator[Finding]]
DRILLS: dict[str, Drill] = {
    kills.NAME: kills.run,
    cut_off.NAME: cut_off.run,
    due_times.NAME: due_times.run,
    node_clocks.NAME: node_clocks.run,
    failpoint_kills.NAME: failpoint_kills.run,
    redis_away.NAME: redis_away.run,
    mariadb_killed.NAME: mariadb_killed.run,
    rolling.NAME: rolling.run,
    master_moves.NAME: master_moves.run,
    mutants.NAME: mutants.run,
}
TIMES = {
    kills.NAME: ("kills",),
    failpoint_kills.NAME: ("failpoint_times",),
    redis_away.NAME: ("redis_empties", "redis_stops", "redis_holds"),
    mariadb_killed.NAME: ("mariadb_kills",),
    rolling.NAME: ("restarts",),
}


def main(arguments: Sequence[str]) -> int:
    names, options = read(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # and take the servers along
    findings: list[Finding] = []
    for name in names:
        print(f"{name} …", file=sys.stderr, flush=True)
        for finding in _findings(name, options):
            print(finding.as_line(), flush=True)
            findings.append(finding)
    Console(stderr=True, width=140).print(table(findings))
    return int(any(finding.is_met is False for finding in findings))


def _findings(name: str, options: Options) -> Iterator[Finding]:
    """What a drill finds, and that it could not go on, which must not cost the others their turn."""
    try:
        yield from DRILLS[name](options)
    except AssertionError as error:
        yield Finding(name, "what it waited for", str(error)[:500], "", False)


def read(arguments: Sequence[str]) -> tuple[list[str], Options]:
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(DRILLS)}")
    parser.add_argument("--short", action="store_true", help="a few of each harm, as in the tests")
    parser.add_argument("--times", type=int, help="how often to do each harm of the named drills")
    parser.add_argument("--tasks", type=int, help="how many tasks the kills have to hit")
    parser.add_argument("--limit", type=float, help="seconds after which a drill ends its harm")
    given = parser.parse_args(arguments)
    if wrong := [name for name in given.names if name not in DRILLS]:
        parser.error(f"there is no drill {', '.join(wrong)}; there are {', '.join(DRILLS)}")
    names = given.names or list(DRILLS)
    is_short = given.short or os.environ.get("BOTSWAIN_LONG_DRILLS") == "0"
    options = Options.short() if is_short else Options()
    chosen = {name: value for name in ("tasks", "limit") if (value := getattr(given, name)) is not None}
    if given.times is not None:
        chosen |= {field: given.times for name in names for field in TIMES.get(name, ())}
    return names, replace(options, **chosen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
