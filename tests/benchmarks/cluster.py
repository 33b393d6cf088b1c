"""A cluster to be measured: the API and a scheduler as real processes, by the commands of production."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from redis import Redis as RedisClient
from sqlalchemy import create_engine, make_url

from orchestrator import database, schema
from orchestrator.cli.api import BACKLOG, CONNECTIONS
from orchestrator.tasks.hints import OWNERS
from orchestrator.tasks.model import PARTITIONS
from tests.benchmarks import wire
from tests.servers.ports import free_port
from tests.servers.processes import die_with_parent
from tests.servers.server import wait_for

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parents[2]
SECRET_KEY = "benchmark-secret-key-" + "0" * 32
ADMIN_TOKEN = "admin-token-of-the-benchmarks"
ADMIN = f"Bearer {ADMIN_TOKEN}"
API_PROCESSES, API_THREADS = 2, 80
PROCESS = "benchmark"
JSON_BODY = "application/json"
FORM_BODY = "application/x-www-form-urlencoded"
START_SECONDS = 60.0


class Child:
    """A process of the run, with its output in a file; ends with this one, whatever happens."""

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, **environment},
                preexec_fn=die_with_parent(signal.SIGTERM),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def log(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])


def serve_api(environment: Mapping[str, str], folder: Path) -> tuple[Child, int]:
    """The API as in production; returns when it listens."""
    port = free_port()
    where = {"BOTSWAIN_HOST": wire.HOST, "BOTSWAIN_PORT": str(port)}
    processes = {"BOTSWAIN_API_PROCESSES": str(API_PROCESSES), "BOTSWAIN_API_THREADS": str(API_THREADS)}
    child = Child("api", [str(BIN / "botswain"), "api"], {**environment, **where, **processes}, folder)
    wait_until(child, lambda: _listens(port))
    return child, port


def serve_bare(factory: str, folder: Path) -> tuple[Child, int]:
    """Another WSGI application by granian, with the settings of `botswain api`; returns when it listens."""
    port = free_port()
    command = [str(BIN / "granian"), "--interface", "wsgi", "--factory", factory, "--port", str(port)]
    command += ["--host", wire.HOST, "--workers", str(API_PROCESSES), "--blocking-threads", str(API_THREADS)]
    command += ["--blocking-threads-idle-timeout", "600", "--no-ws"]
    command += ["--backpressure", str(CONNECTIONS), "--backlog", str(BACKLOG)]
    child = Child("bare", command, {}, folder)
    wait_until(child, lambda: _listens(port))
    return child, port


def wait_until(child: Child, condition: Any) -> None:
    wait_for(lambda: child.has_ended() or condition(), START_SECONDS)
    if child.has_ended() or not condition():
        child.end()
        raise RuntimeError(f"{child.name} did not start:\n{child.log()}")


def _listens(port: int) -> bool:
    try:
        wire.Line(port).close()
    except OSError:
        return False
    return True


class Cluster:
    """An API and, where asked for, a scheduler, on an empty database with one process and some robots."""

    def __init__(self, database_url: str, redis_url: str, folder: Path, *, scheduler: bool = True) -> None:
        self.environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "BOTSWAIN_SECRET_KEY": SECRET_KEY,
            "BOTSWAIN_ADMIN_TOKEN": ADMIN_TOKEN,
            "SCHEDULER_WORKING_PATH": str(folder / "scheduler"),
        }
        self._folder = folder
        self._with_scheduler = scheduler
        self._children: list[Child] = []
        self.port = 0

    def __enter__(self) -> Self:
        try:
            migrate(self.environment["DATABASE_URL"])
            api, self.port = serve_api(self.environment, self._folder)
            self._children.append(api)
            if self._with_scheduler:
                self._start_scheduler()
            self._publish()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for child in reversed(self._children):
            child.end()

    def _start_scheduler(self) -> None:
        child = Child("scheduler", [str(BIN / "botswain"), "scheduler"], self.environment, self._folder)
        self._children.append(child)
        with RedisClient.from_url(self.environment["REDIS_URL"]) as redis:
            wait_until(child, lambda: redis.hlen(OWNERS) == PARTITIONS)

    def call(self, method: str, path: str, body: Any, kind: str = JSON_BODY) -> Any:
        """An answer of REST v1; RuntimeError where it is none of success."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        with contextlib.closing(wire.Line(self.port)) as line:
            answer = line.ask(wire.request(method, path, ADMIN, data, kind))
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path} was answered {answer.status}: {answer.body[:300]!r}")
        return answer.json()

    def _publish(self) -> None:
        self.call("POST", "/api/v1/processes", {"name": PROCESS})
        edge = "edge-of-the-package"
        disposition = 'Content-Disposition: form-data; name="package"; filename="main.py"'
        package = f"--{edge}\r\n{disposition}\r\n\r\nprint(1)\n\r\n--{edge}--\r\n".encode()
        path = f"/api/v1/processes/{PROCESS}/versions"
        self.call("POST", path, package, f"multipart/form-data; boundary={edge}")

    def new_robots(self, count: int) -> list[str]:
        """GUIDs of new robots."""
        guids = [str(uuid.uuid4()) for _ in range(count)]
        for guid in guids:
            self.call("POST", "/api/v1/robots", {"name": f"robot-{guid}", "guid": guid})
        return guids


def migrate(url: str) -> None:
    engine = database.prepare(create_engine(url, **database.engine_options(make_url(url))))
    schema.migrate(engine)
    engine.dispose()


@contextlib.contextmanager
def ended(*children: Child) -> Iterator[None]:
    """End these processes at last."""
    try:
        yield
    finally:
        for child in children:
            child.end()


def pause_between_measures() -> None:
    """What the one before left behind (commits, purges, idle robots' answers) is not the next one's."""
    time.sleep(0.2)
