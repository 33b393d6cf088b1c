"""Redis is emptied, stopped, and hangs with its connections open, while jobs are asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator

import redis

from tests.drill.ground import Ground, ground
from tests.drill.judgement import judge
from tests.drill.options import Options
from tests.drill.report import Finding, Progress, at_least, seconds_of

NAME = "redis"
SWEEP = 1.0
MARGIN = 1.5  # the client gives a hanging Redis up after a second; the rest is for the batch
AGAIN_WITHIN = 5.0
HELD_SECONDS = 3.0
PROBE = 5  # jobs


def run(options: Options) -> Iterator[Finding]:
    with ground(2) as made:
        made.start_members()
        planned = options.redis_empties + options.redis_stops + options.redis_holds
        harm = _Harm(made, Progress(NAME, planned), time.monotonic() + options.limit)
        with made.load.asking(5, 0.25):
            emptied = list(harm.empty(options.redis_empties))
            stopped = list(harm.stop(options.redis_stops))
            held = list(harm.hold(options.redis_holds))
        yield at_least(NAME, "times emptied", len(emptied), options.redis_empties)
        yield at_least(NAME, "times stopped", len(stopped), options.redis_stops)
        yield at_least(NAME, "times half-open", len(held), options.redis_holds)
        while_away = [away for away, _ in stopped + held]
        yield seconds_of(
            NAME, "seconds to hand jobs out while it is away", while_away, (SWEEP + MARGIN) * options.patience
        )
        again = emptied + [after for _, after in stopped + held]
        yield seconds_of(NAME, "seconds until jobs flow again", again, AGAIN_WITHIN * options.patience)
        yield from judge(NAME, made, options)


class _Harm:
    def __init__(self, made: Ground, progress: Progress, end: float) -> None:
        self._ground, self._progress, self._end = made, progress, end
        self._done = 0

    def _times(self, times: int) -> Iterator[None]:
        for _ in range(times):
            if time.monotonic() > self._end:
                return
            yield
            self._done += 1
            self._progress.tell(self._done)

    def empty(self, times: int) -> Iterator[float]:
        for _ in self._times(times):
            with redis.Redis.from_url(self._ground.redis.url) as client:
                client.flushall()
            yield self._ground.seconds_to_hand_out(PROBE)

    def stop(self, times: int) -> Iterator[tuple[float, float]]:
        for _ in self._times(times):
            self._ground.redis.kill()
            away = self._ground.seconds_to_hand_out(PROBE)
            self._ground.redis.start()
            yield away, self._ground.seconds_to_hand_out(PROBE)

    def hold(self, times: int) -> Iterator[tuple[float, float]]:
        for _ in self._times(times):
            self._ground.redis_line.hold()
            held = time.monotonic()
            away = self._ground.seconds_to_hand_out(PROBE)
            time.sleep(max(0.0, held + HELD_SECONDS - time.monotonic()))
            self._ground.redis_line.release()
            yield away, self._ground.seconds_to_hand_out(PROBE)
