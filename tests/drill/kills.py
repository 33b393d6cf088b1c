"""SIGKILLs, and SIGSTOPs beyond the lease, of schedulers at work: nothing lost, doubled or out of order."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

from tests.drill.ground import Ground, ground
from tests.drill.judgement import judge
from tests.drill.member import Member
from tests.drill.options import Options
from tests.drill.report import Finding, Progress, at_least

NAME = "kills"
LEASE = 4.0
DELAY = 0.003  # seconds each way: a batch takes some 50 ms, and many kills find one in hand
MOST_ASLEEP = 2


def run(options: Options) -> Iterator[Finding]:
    with ground(delay=DELAY, settings={"BOTSWAIN_PARTITION_LEASE_SECONDS": str(LEASE)}) as made:
        made.start_members()
        drill = _Kills(made, options)
        feeder = threading.Thread(target=drill.feed, daemon=True)
        feeder.start()
        drill.harm()
        feeder.join(options.limit)
        made.wake_all()
        yield at_least(NAME, "SIGKILLs", drill.kills, options.kills)
        yield at_least(NAME, "SIGSTOPs beyond the lease", drill.stops, options.stops)
        yield Finding(NAME, "kills in mid-transaction", drill.in_mid_work)
        yield from judge(NAME, made, options, tasks=options.tasks)


class _Kills:
    def __init__(self, made: Ground, options: Options) -> None:
        self._ground, self._options = made, options
        self.kills = self.stops = self.in_mid_work = 0
        self._allowed = threading.Semaphore(0)
        self._progress = Progress(NAME, options.kills)
        self._end = time.monotonic() + options.limit

    @property
    def _is_over(self) -> bool:
        done = self.kills >= self._options.kills and self.stops >= self._options.stops
        return done or time.monotonic() > self._end

    def feed(self) -> None:
        """The tasks, spread over the kills: so many are accepted before each."""
        left = self._options.tasks
        share = max(1, self._options.tasks // self._options.kills)
        while left > 0 and time.monotonic() < self._end:
            if not self._is_over:
                self._allowed.acquire(timeout=5)
            size = min(share, left) if not self._is_over else min(1000, left)
            self._ground.load.ask(size)
            left -= size

    def harm(self) -> None:
        while not self._is_over:
            self._wake_the_due()
            victim = self._choose()
            if victim is None:
                time.sleep(0.01)
                continue
            in_mid_work = self._aim(victim)
            if self._is_turn_of_stop():
                victim.pause(LEASE + random.uniform(1.0, 3.0))
                self.stops += 1
            elif self.kills < self._options.kills:
                self._kill(victim, in_mid_work=in_mid_work)
            self._progress.tell(
                self.kills,
                stops=self.stops,
                tasks=len(self._ground.load.accepted),
                in_mid_work=self.in_mid_work,
            )
        while any(member.sleeps_until is not None for member in self._ground.members):
            self._wake_the_due()
            time.sleep(0.05)

    def _aim(self, victim: Member) -> bool:
        """Half of the time any moment is right; else one in which it has changed rows, and not committed."""
        if random.random() < 0.5:
            time.sleep(random.uniform(0, 0.1))
            return False
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            if self._ground.is_in_mid_work(victim.number):
                return True
            time.sleep(0.002)
        return False

    def _kill(self, victim: Member, *, in_mid_work: bool) -> None:
        self._allowed.release()
        victim.kill()
        self.kills += 1
        self.in_mid_work += in_mid_work
        victim.start()

    def _is_turn_of_stop(self) -> bool:
        asleep = sum(member.sleeps_until is not None for member in self._ground.members)
        planned = self.kills * self._options.stops / self._options.kills + 1
        return self.stops < min(planned, self._options.stops) and asleep < MOST_ASLEEP

    def _choose(self) -> Member | None:
        at_work = [member for member in self._ground.members if member.is_at_work]
        return random.choice(at_work) if at_work else None

    def _wake_the_due(self) -> None:
        for member in self._ground.members:
            if member.sleeps_until is not None and time.monotonic() > member.sleeps_until:
                member.wake()
