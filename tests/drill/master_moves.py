"""A master is killed and paused while it moves finished rows: the tests of history, many times over."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.drill.options import Options
from tests.drill.report import Finding

NAME = "master"
PROJECT = Path(__file__).parents[2]
TESTS = "tests/integration/history/test_master_dies.py"
OUTCOME = re.compile(r"^(PASSED|FAILED|ERROR) \S+::(\w+)", re.M)


def run(options: Options) -> Iterator[Finding]:
    """On MariaDB; the long form kills 200 times at random, and after each of 300 statements."""
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--tb=short", "-k", "mariadb", TESTS]
    command += ["--timeout", str(options.limit)]
    environment = {**os.environ, "BOTSWAIN_LONG_DRILLS": str(int(not options.is_short))}
    ran = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    outcomes = OUTCOME.findall(ran.stdout)
    yield Finding(NAME, "tests of a master that dies", len(outcomes), "at least 1", bool(outcomes))
    for outcome, name in outcomes:
        yield Finding(
            NAME, name.removeprefix("test_").replace("_", " "), outcome, "PASSED", outcome == "PASSED"
        )
