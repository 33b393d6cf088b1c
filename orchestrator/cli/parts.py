"""How each part is started: the command, and the settings that it needs and no others.

The embedded cluster starts the same commands as production, with the same variables.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

BOTSWAIN = (sys.executable, "-P", "-m", "orchestrator.cli")
_CELERY = (sys.executable, "-P", "-m", "celery")
_CELERY_WORKER = (sys.executable, "-P", "-m", "orchestrator.cli.celery_process")

# A part is given its secrets by name. Without this, robots' scripts would find the server's in theirs.
_SECRET = ("BOTSWAIN_SECRET_KEY", "BOTSWAIN_ADMIN_TOKEN", "BOTSWAIN_NODE_TOKEN", "BOTSWAIN_TOKEN")
_DATABASE = ("DATABASE_URL", "DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD")
_PRIVATE = frozenset((*_SECRET, *_DATABASE, "REDIS_URL", "FLOWER_BASIC_AUTH", "BOTSWAIN_ROBOT_GUID"))


@dataclass(frozen=True)
class Part:
    """One process of the cluster. `death_signal` is what it gets when the supervisor is killed."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    death_signal: signal.Signals = signal.SIGKILL


def environment(**own: str) -> dict[str, str]:
    """This process's environment without anybody's secrets, and with the part's own settings."""
    inherited = {name: value for name, value in os.environ.items() if name not in _PRIVATE}
    return {**inherited, "PYTHONUNBUFFERED": "1", **own}


def scheduler_argv(cluster_id: int | str) -> list[str]:
    """Celery with one thread of its own: the bootstep in scheduler/node.py has the others.

    It also gives Celery the name and the queue of the number that it leases where `cluster_id` is auto.
    """
    name = f"scheduler-{cluster_id}"
    return [
        *(*_CELERY_WORKER, "scheduler.node", "--pool", "solo"),
        *("--hostname", f"{name}@%h", "--queues", f"node.{name}"),
        *("--without-gossip", "--without-mingle", "--loglevel", "WARNING"),
    ]


def worker_argv(name: str, threads: int) -> list[str]:
    return [
        *(*_CELERY_WORKER, "workers.node", "--pool", "threads", "--concurrency", str(threads)),
        *("--hostname", f"{name}@%h", "--queues", f"activities,node.{name}"),
        *("--without-gossip", "--without-mingle", "--loglevel", "WARNING"),
    ]


def flower_argv(address: str, port: int) -> list[str]:
    """Flower knows the broker from celeryconfig, and its password from FLOWER_BASIC_AUTH."""
    return [*_CELERY, "--config", "celeryconfig", "flower", f"--address={address}", f"--port={port}"]


@dataclass(frozen=True)
class Cluster:
    """The settings of an embedded cluster, from which its parts are made."""

    folder: Path
    host: str
    port: int
    database: Mapping[str, str] = field(repr=False)
    redis_url: str = field(repr=False)
    secret_key: str = field(repr=False)
    admin_token: str = field(repr=False)

    @property
    def address(self) -> str:
        """Where the parts of this machine reach the API."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.port}"

    def server_environment(self, **own: str) -> dict[str, str]:
        """For what is inside: it has the database, Redis and the secret key."""
        return environment(
            **self.database, REDIS_URL=self.redis_url, BOTSWAIN_SECRET_KEY=self.secret_key, **own
        )

    def api(self) -> Part:
        own = {
            "BOTSWAIN_ADMIN_TOKEN": self.admin_token,
            "BOTSWAIN_HOST": self.host,
            "BOTSWAIN_PORT": str(self.port),
            "PROMETHEUS_MULTIPROC_DIR": str(self.folder / "metrics"),
        }
        # What is still parked when all others have ended waits for nobody.
        return Part("api", (*BOTSWAIN, "api", "--grace", "1"), self.server_environment(**own))

    def scheduler(self, number: int, size: int) -> Part:
        own = {
            "SCHEDULER_CLUSTER_ID": str(number),
            "SCHEDULER_CLUSTER_SIZE": str(size),
            "SCHEDULER_WORKING_PATH": str(self.folder / f"scheduler-{number}"),
        }
        return Part(f"scheduler-{number}", (*BOTSWAIN, "scheduler"), self.server_environment(**own))

    def worker(self, number: int, node_token: str) -> Part:
        own = {
            "BOTSWAIN_SERVER": self.address,
            "BOTSWAIN_NODE_TOKEN": node_token,
            "BOTSWAIN_NODE_NAME": f"worker-{number}",
            "BOTSWAIN_NODE_PATH": str(self.folder / f"worker-{number}"),
            "BOTSWAIN_SHUTDOWN_SECONDS": "3",
            "REDIS_URL": self.redis_url,
        }
        return Part(f"worker-{number}", (*BOTSWAIN, "worker"), environment(**own))

    def robot(self, name: str, guid: str) -> Part:
        own = {"BOTSWAIN_SERVER": self.address, "BOTSWAIN_ROBOT_GUID": guid}
        work = str(self.folder / "robots" / name)
        argv = (sys.executable, "-P", "-m", "workers.robot", "--work-dir", work)
        return Part(name, argv, environment(**own))

    def flower(self, port: int, password: str) -> Part:
        own = {
            "REDIS_URL": self.redis_url,
            "FLOWER_BASIC_AUTH": f"botswain:{password}",
            "FLOWER_ADDRESS": "127.0.0.1",
            "FLOWER_PORT": str(port),
        }
        return Part("flower", (*BOTSWAIN, "flower"), environment(**own))
