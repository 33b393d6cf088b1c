"""An embedded cluster, from nothing to ready: Redis, schema, API, schedulers, and then the rest."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.cli import sqlite_schema
from orchestrator.cli.data_folder import DataFolder
from orchestrator.cli.embedded_redis import EmbeddedRedis
from orchestrator.cli.local_api import LocalApi
from orchestrator.cli.parts import BOTSWAIN, Cluster, Part
from orchestrator.cli.ports import free_port
from orchestrator.cli.refusal import Refusal
from orchestrator.cli.robot_guids import guids_of
from orchestrator.cli.supervisor import Supervisor

START_SECONDS = 60.0
FLOWER_PORT = 5555
# Who ends when, and the seconds for it: together under ten. Whoever needs the API and Redis goes first.
ENDING = (
    (("robot-", "worker-", "scheduler-", "flower"), 5.0),
    (("api",), 2.5),
    (("redis",), 1.5),
)


@dataclass(frozen=True)
class Size:
    """How many of each are started, and on which address the API serves."""

    host: str
    port: int
    schedulers: int
    workers: int
    robots: int
    has_flower: bool


class EmbeddedCluster:
    """The parts of one cluster, started under a supervisor."""

    def __init__(self, folder: DataFolder, size: Size, supervisor: Supervisor, say: Callable[[str], None]):
        self._folder, self._size, self._supervisor, self._say = folder, size, supervisor, say
        given = os.environ.get("REDIS_URL", "")
        self._redis = None if given else EmbeddedRedis(folder)
        self.settings = Cluster(
            folder=folder.path,
            host=size.host,
            port=size.port,
            database=database_settings(folder.path),
            redis_url=self._redis.url if self._redis else given,
            secret_key=os.environ.get("BOTSWAIN_SECRET_KEY") or folder.secret("secret-key"),
            admin_token=os.environ.get("BOTSWAIN_ADMIN_TOKEN") or folder.secret("admin-token"),
        )
        self.api = LocalApi(self.settings.address, self.settings.admin_token)

    def start(self) -> None:
        """Return when the API serves and, if there is to be one, a scheduler is up."""
        size, settings, supervisor = self._size, self.settings, self._supervisor
        if self._redis is not None:
            supervisor.start(self._redis.part())
            supervisor.wait_until(self._redis.answers, START_SECONDS, "redis")
        if not sqlite_schema.is_current(settings.database.get("DATABASE_URL", "")):
            self._migrate()
        supervisor.start(settings.api())
        for number in range(1, size.schedulers + 1):
            supervisor.start(settings.scheduler(number, size.schedulers))
        supervisor.wait_until(self.api.is_ready, START_SECONDS, "the API")
        if size.schedulers:
            supervisor.wait_until(lambda: bool(self.api.living("scheduler")), START_SECONDS, "the scheduler")

    def start_the_rest(self) -> None:
        """What the API need not wait for: worker nodes, robots, Flower."""
        size, settings, supervisor = self._size, self.settings, self._supervisor
        names = [f"robot-{number}" for number in range(1, size.robots + 1)]
        for name, guid in guids_of(names, self._folder, self.api, self._say).items():
            supervisor.start(settings.robot(name, guid))
        node_token = self._node_token() if size.workers else ""
        for number in range(1, size.workers + 1):
            supervisor.start(settings.worker(number, node_token))
        if size.has_flower:
            port = free_port(FLOWER_PORT)
            supervisor.start(settings.flower(port, self._folder.secret("flower-password")))
            password = self._folder.secrets / "flower-password"
            self._say(f"Flower   http://127.0.0.1:{port}/ (user botswain, password in {password})")

    def _node_token(self) -> str:
        """The token of this machine's worker nodes: the kept one, or a new one where it is not known."""
        kept = self._folder.read_secret("node-token")
        if kept and self.api.accepts(kept):
            return kept
        made = self.api.make_token("embedded", "node")
        self._folder.keep_secret("node-token", made)
        return made

    def _migrate(self) -> None:
        part = Part("migrate", (*BOTSWAIN, "migrate"), self.settings.server_environment())
        if self._supervisor.run_once(part, START_SECONDS) != 0:
            raise Refusal("\n".join(["botswain migrate failed:", *self._folder.last_lines("migrate")]))


def database_settings(folder: Path) -> dict[str, str]:
    """The database that the environment names, else SQLite in the folder."""
    given = {
        name: os.environ[name]
        for name in ("DATABASE_URL", "DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD")
        if os.environ.get(name)
    }
    if "DATABASE_URL" not in given:
        return given if "DB_HOST" in given else {"DATABASE_URL": f"sqlite:///{folder / 'botswain.db'}"}
    # The parts work in another folder than the one in which this was written.
    scheme, separator, path = given["DATABASE_URL"].partition(":///")
    if separator and scheme.startswith("sqlite") and path and not path.startswith("/"):
        given["DATABASE_URL"] = f"{scheme}:///{Path(path).absolute()}"
    return given
