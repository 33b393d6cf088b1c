"""Measure: `python -m tests.benchmarks [NAME …]`: all of the benchmarks where none is named.

Standard output is JSON, a line a figure; progress and a table for people go to standard error.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from tests.benchmarks import claim, heartbeat, job_life, latency, resources, schedulers
from tests.benchmarks.figures import Figure
from tests.benchmarks.options import Options
from tests.benchmarks.servers import Servers, servers

Benchmark = Callable[[Servers, Options], Iterator[Figure]]
BENCHMARKS: dict[str, Benchmark] = {
    "latency": latency.run,
    "job_life": job_life.run,
    "heartbeat": heartbeat.run,
    "claim": claim.run,
    "schedulers": schedulers.run,
    "resources": resources.run,
}


def main(arguments: Sequence[str]) -> None:
    names, options = _read(arguments)
    people = Console(stderr=True, width=160)
    figures: list[Figure] = []
    for name in names:
        people.print(f"measuring {name} …")
        with servers() as started:
            for figure in BENCHMARKS[name](started, options):
                print(figure.as_line(), flush=True)
                figures.append(figure)
    people.print(_table(figures))


def _read(arguments: Sequence[str]) -> tuple[list[str], Options]:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(BENCHMARKS)}")
    defaults = Options.tiny() if os.environ.get("BOTSWAIN_BENCH_TINY") == "1" else Options()
    parser.add_argument("--rounds", type=int, default=defaults.rounds, help="measures of each (%(default)s)")
    parser.add_argument(
        "--max-rows", type=int, default=max(defaults.row_counts), help="largest table of claims (%(default)s)"
    )
    parser.add_argument(
        "--million-resources", action="store_true", help="take from a queue of a million resources as well"
    )
    given = parser.parse_args(arguments)
    if wrong := [name for name in given.names if name not in BENCHMARKS]:
        parser.error(f"there is no benchmark {', '.join(wrong)}; there are {', '.join(BENCHMARKS)}")
    counts = tuple(count for count in defaults.row_counts if count <= given.max_rows)
    sizes = defaults.resource_counts + ((10**6,) if given.million_resources else ())
    chosen = replace(defaults, rounds=given.rounds, row_counts=counts, resource_counts=sizes)
    return given.names or list(BENCHMARKS), chosen


def _table(figures: Sequence[Figure]) -> Table:
    table = Table("figure", "median", "base", "base's", "ratio", "min-max", "n", "target", title="Figures")
    for figure in figures:
        shown = figure.as_dict()
        goal = "" if figure.is_met is None else ("met" if figure.is_met else "MISSED")
        wanted = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in shown.get("target", {}).items())
        table.add_row(
            f"{figure.name} ({figure.unit})",
            f"{shown['value']:,}",
            figure.base,
            f"{shown['base_value']:,}",
            f"{shown['ratio']}",
            f"{shown['ratio_min']}-{shown['ratio_max']}",
            str(shown["n"]),
            f"{wanted} {goal}".strip(),
        )
    return table


if __name__ == "__main__":
    main(sys.argv[1:])
