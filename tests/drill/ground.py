"""The ground of a drill: MariaDB, Redis, a proxy before each, the API, and schedulers that start quickly."""

from __future__ import annotations

import contextlib
import itertools
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import make_url

from orchestrator.tasks.model import PARTITIONS
from tests.acceptance.cluster import Cluster, Settings, eventually
from tests.drill.load import Load
from tests.drill.member import Member
from tests.drill.nursery import Nursery
from tests.drill.witness import Witness
from tests.servers import MariaDB, Redis
from tests.servers.proxy import Proxy

MEMORY = ["--innodb-buffer-pool-size=512M", "--innodb-log-file-size=256M"]
CHANGES = (b"UPDATE tasks", b"UPDATE jobs", b"INSERT INTO job_history")
ASIDE = '"event": "task_set_aside"'
LIBRARY = '"logger": "'  # Celery: that the broker is away
LINKS = ("During handling of the above", "The above exception was the direct cause")
STALE = ("stale_write_refused", "partition_lost")


class Ground:
    """`members` are made and not started; each has its own way to the database, `lines`."""

    def __init__(
        self, folder: Path, mariadb: MariaDB, redis: Redis, lines: Sequence[Proxy], redis_line: Proxy
    ) -> None:
        self.folder = folder
        self.mariadb, self.redis = mariadb, redis
        self.lines, self.redis_line = lines, redis_line
        self.witness = Witness(mariadb)

    def begin(self, settings: Settings) -> None:
        redis_url = self.redis.url.replace(f":{self.redis.port}/", f":{self.redis_line.port}/")
        size = len(self.lines)
        self.cluster = Cluster(self.folder, self.mariadb.url, redis_url, settings, size)
        self.cluster.migrate()
        self.witness.begin(size)
        self.nursery = Nursery(self.cluster.environment(), self.folder)
        self.members = [self._member(number) for number in range(1, size + 1)]
        self.cluster.start_api()
        self.cluster.wait_until_served()
        self.load = Load(self.cluster)

    def _member(self, number: int) -> Member:
        url = self.witness.url(number, self.lines[number - 1].port)
        return Member(number, self.cluster.scheduler(number, DATABASE_URL=url), self.nursery)

    def end(self) -> None:
        if hasattr(self, "nursery"):
            self.nursery.close()
        if hasattr(self, "cluster"):
            self.cluster.close()

    def start_members(self, **settings: str) -> None:
        for member in self.members:
            member.start(**settings)
        eventually(lambda: all(member.is_at_work for member in self.members), "all schedulers are up")
        eventually(self.is_shared, "each has its share of the partitions")

    def is_shared(self) -> bool:
        """Whether each scheduler that runs has the partitions that are at home with it."""
        owners = self.witness.owners()
        return owners == {number: str(number % len(self.members) + 1) for number in range(PARTITIONS)}

    @property
    def is_served(self) -> bool:
        """Whether somebody has each partition."""
        return len(self.witness.owners()) == PARTITIONS

    def is_in_mid_work(self, number: int) -> bool:
        """Whether what scheduler `number` has said last to the database changes tasks, and is no commit."""
        said = self.lines[number - 1].last_said
        return any(change in said for change in CHANGES)

    def wake_all(self) -> None:
        """Every scheduler runs again."""
        for member in self.members:
            member.wake()
            if not member.is_alive:
                member.start()

    def until_done(self, standstill: float, aside: float = 0.0) -> bool:
        """Whether all tasks are finished; no longer when none has been within `standstill` seconds.

        If all that are left were set aside, within `aside`, where that is longer: they come back later.
        """
        before, since = self.witness.waiting(), time.monotonic()
        while waiting := self.witness.waiting():
            if waiting < before:
                before, since = waiting, time.monotonic()
            still = time.monotonic() - since
            if still > standstill and (still > aside or self.witness.aside() < waiting):
                return False
            time.sleep(0.2)
        return True

    def seconds_to_hand_out(self, jobs: int) -> float:
        """How long it takes from the request for so many jobs until all are handed out; at most a minute."""
        began = time.monotonic()
        guids = self.load.ask(jobs)
        while not self.witness.are_handed_out(guids):
            if time.monotonic() > began + 60:
                break
            time.sleep(0.01)
        return time.monotonic() - began

    def stale_writes_refused(self) -> Counter[str]:
        """How often the schedulers' logs say that a write came too late, by what it was."""
        found: Counter[str] = Counter()
        for member in self.members:
            for line in member.log.read_text(errors="replace").splitlines() if member.log.exists() else []:
                if any(event in line for event in STALE):
                    with contextlib.suppress(ValueError):
                        told = json.loads(line)
                        found[str(told.get("what", told["event"]))] += int(told.get("count", 1))
        return found

    def mistakes(self) -> list[str]:
        """Lines of the schedulers' logs that nobody should see, whatever dies. Of what was set aside, the
        judge gives account by itself."""
        logs = [member.log.read_text(errors="replace") for member in self.members if member.log.exists()]
        lines = [line for log in logs for line in log.splitlines()]
        errors = [line for line in lines if '"level": "error"' in line and LIBRARY not in line]
        told = [line[:1500] for line in errors if ASIDE not in line]
        return told + [_traceback(lines[n + 1 :]) for n in range(len(lines)) if _is_last_of_chain(lines, n)]


def _is_last_of_chain(lines: list[str], number: int) -> bool:
    """Whether the traceback that begins there, if one does, is the one that the others led to."""
    if not lines[number].startswith("Traceback"):
        return False
    behind = itertools.takewhile(lambda line: not line.startswith("Traceback"), lines[number + 1 :])
    return not any(line.startswith(LINKS) for line in itertools.islice(behind, 200))


def _traceback(lines: list[str]) -> str:
    """The error that a traceback ends with, and where it came from."""
    inner = list(itertools.takewhile(lambda line: line.startswith(" "), lines))
    return " | ".join([*lines[len(inner) :][:1], *inner[-24:]])[:3000]


@contextlib.contextmanager
def ground(schedulers: int = 4, delay: float = 0.0, *, settings: Settings | None = None) -> Iterator[Ground]:
    """`delay`: seconds that the database is away, each way, so that a kill finds schedulers in mid-work."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="drill-")))
        folder.chmod(0o711)
        mariadb = stack.enter_context(MariaDB(folder, settings=MEMORY))
        redis = stack.enter_context(Redis(folder, append_only=True))
        port = make_url(mariadb.url).port or 0
        lines = [stack.enter_context(Proxy(port, delay=delay)) for _ in range(schedulers)]
        redis_line = stack.enter_context(Proxy(redis.port))
        made = Ground(folder, mariadb, redis, lines, redis_line)
        stack.callback(made.end)
        made.begin({"BOTSWAIN_API_PROCESSES": "1", **(settings or {})})
        yield made
