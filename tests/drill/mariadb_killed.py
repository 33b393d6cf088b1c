"""MariaDB is killed while jobs are asked for: what was accepted is there, and all goes on by itself."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from tests.drill.ground import ground
from tests.drill.judgement import judge
from tests.drill.options import Options
from tests.drill.report import Finding, Progress, at_least, none_of, seconds_of

NAME = "mariadb"
AGAIN_WITHIN = 15.0


def run(options: Options) -> Iterator[Finding]:
    with ground(2) as made:
        made.start_members()
        members = [member.pid for member in made.members]
        progress = Progress(NAME, options.mariadb_kills)
        end = time.monotonic() + options.limit
        again: list[float] = []
        with made.load.asking(10, 0.05):
            while len(again) < options.mariadb_kills and time.monotonic() < end:
                time.sleep(random.uniform(0.2, 1.0))
                made.mariadb.kill()
                made.mariadb.start()
                again.append(made.seconds_to_hand_out(1))
                progress.tell(len(again), refused=made.load.refusals)
        yield at_least(NAME, "SIGKILLs", len(again), options.mariadb_kills)
        yield Finding(NAME, "requests refused, and repeated", made.load.refusals)
        yield seconds_of(
            NAME, "seconds until a new job is handed out", again, AGAIN_WITHIN * options.patience
        )
        ended = [f"scheduler-{member.number}" for member in made.members if member.pid not in members]
        ended += [f"scheduler-{member.number}" for member in made.members if not member.is_alive]
        yield none_of(NAME, "schedulers that ended", ended)
        yield from judge(NAME, made, options)
