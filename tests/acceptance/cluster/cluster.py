"""A cluster of real processes with the environment that production has."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import ClassVar

import httpx

from tests.acceptance.cluster.api import Api
from tests.acceptance.cluster.part import Part, shortened
from tests.acceptance.cluster.robot import Robot
from tests.acceptance.cluster.schema import bring_up_to_date
from tests.acceptance.cluster.waiting import eventually
from tests.servers.ports import free_port

Settings = dict[str, str]
START_SECONDS = 60.0
# Nodes of one cluster need not agree about the time of day, only the database's time counts.
TIME_ZONES = ("America/Bogota", "Asia/Kolkata", "UTC")
BOTSWAIN = str(Path(sys.executable).parent / "botswain")


@dataclass(eq=False)
class Cluster:
    """Parts are started by `start()` or one at a time; `settings` are environment variables of them all."""

    folder: Path
    database_url: str
    redis_url: str
    settings: Settings = field(default_factory=dict)
    size: int = 1
    token: str = field(default_factory=lambda: token_hex(16))
    secret_key: str = field(default_factory=lambda: token_hex(32))
    port: int = field(default_factory=free_port)
    parts: dict[str, Part] = field(default_factory=dict)
    transport: httpx.BaseTransport | None = None  # of the API's callers: where there are several replicas
    _api: Api | None = None

    # Those of this worker process that were started and not closed: what a failure shows the logs of.
    living: ClassVar[list["Cluster"]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def api(self) -> Api:
        if self._api is None:
            self._api = Api(self.url, self.token, self.transport)
        return self._api

    def environment(self, **more: str) -> dict[str, str]:
        """Nothing of the tests' own environment but what every program needs."""
        kept = {
            name: os.environ[name]
            for name in ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH")
            if name in os.environ
        }
        return {
            **kept,
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "BOTSWAIN_SECRET_KEY": self.secret_key,
            "BOTSWAIN_ADMIN_TOKEN": self.token,
            "BOTSWAIN_HOST": "127.0.0.1",
            "BOTSWAIN_PORT": str(self.port),
            **self.settings,
            **more,
        }

    def start(self) -> "Cluster":
        """Schema, API and all `size` schedulers; back when the API serves and each scheduler is up."""
        self.migrate()
        self.start_api()
        for number in range(1, self.size + 1):
            self.start_scheduler(number)
        self.wait_until_up()
        return self

    def migrate(self) -> None:
        """What `botswain migrate` does, without starting it: that has tests of its own."""
        bring_up_to_date(self.database_url)

    def start_api(self, name: str = "api", **settings: str) -> Part:
        return self._start(Part(name, [BOTSWAIN, "api"], self.environment(**settings), self.folder))

    def start_replica(self, name: str, port: int) -> Part:
        """One more API, on a port of its own."""
        return self._start(
            Part(name, [BOTSWAIN, "api"], self.environment(BOTSWAIN_PORT=str(port)), self.folder)
        )

    def start_scheduler(self, number: int, name: str = "", **settings: str) -> Part:
        """Scheduler `number` of `size`; `settings` are for it alone, `name` for a second one of a number."""
        return self._start(self.scheduler(number, name, **settings))

    def start_worker(self, name: str) -> Part:
        """A worker node with a token of its own, known to the cluster as `name`."""
        token = self.api.post("/tokens", {"role": "node", "name": name})["token"]
        environment = self.environment(BOTSWAIN_SERVER=self.url, BOTSWAIN_NODE_TOKEN=token)
        for secret in ("DATABASE_URL", "BOTSWAIN_SECRET_KEY", "BOTSWAIN_ADMIN_TOKEN"):
            del environment[secret]  # a node knows the server only by HTTP
        return self._start(Part(name, [BOTSWAIN, "worker", "--name", name], environment, self.folder))

    def scheduler(self, number: int, name: str = "", **settings: str) -> Part:
        name = name or f"scheduler-{number}"
        environment = self.environment(
            **{
                "SCHEDULER_CLUSTER_ID": str(number),
                "SCHEDULER_CLUSTER_SIZE": str(self.size),
                "TZ": TIME_ZONES[number % len(TIME_ZONES)],
                "SCHEDULER_WORKING_PATH": str(self.folder / f"work-{name}"),
                **settings,
            }
        )
        return Part(name, [BOTSWAIN, "scheduler"], environment, self.folder)

    def wait_until_up(self) -> None:
        self.wait_until_served()
        wanted = {name for name in self.parts if name.startswith("scheduler-")}
        eventually(lambda: wanted <= self.up(), f"schedulers {wanted} are up", START_SECONDS)

    def wait_until_served(self) -> None:
        api = self.parts["api"]
        eventually(lambda: not api.runs or self._serves(), "the API serves", START_SECONDS)
        assert api.runs, f"the API ended\n{api.tail()}"

    def up(self) -> set[str]:
        """The names of the schedulers that the cluster calls up."""
        return {name for name, node in self.api.nodes().items() if node["state"] == "up"}

    def new_robot(self, name: str = "", **fields: object) -> Robot:
        name = name or f"robot-{token_hex(4)}"
        robot = self.api.post("/robots", {"name": name, **fields})
        return Robot(self.url, robot["guid"], name=name, transport=self.transport)

    def kill(self) -> None:
        """SIGKILL to every part at once, as a power cut would."""
        for part in self.parts.values():
            part.kill()

    def restart(self) -> None:
        """Start again, with the same environments, all parts that do not run; back when they are up."""
        for part in self.parts.values():
            if not part.runs:
                part.start()
        self.wait_until_up()

    def close(self) -> None:
        self.kill()
        if self._api:
            self._api.close()
        if self in self.living:
            self.living.remove(self)

    def logs(self) -> dict[str, str]:
        return {name: part.tail() for name, part in self.parts.items()}

    def mistakes(self) -> list[str]:
        """What the logs call an error, or show as a traceback: nobody should see any on a good day."""
        lines = [line for part in self.parts.values() for line in part.output().splitlines()]
        return [shortened(line) for line in lines if '"level": "error"' in line or "Traceback" in line]

    def _start(self, part: Part) -> Part:
        self.parts[part.name] = part
        if self not in self.living:
            self.living.append(self)
        return part.start()

    def _serves(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False
