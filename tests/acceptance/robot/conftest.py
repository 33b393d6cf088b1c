"""A server that speaks the robot protocol over real sockets and can misbehave, and real agents against it."""

import base64
import hashlib
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.acceptance.robot.fake_queues import queues  # noqa: F401  (a fixture)
from workers.robot.build import build_pyz

GUID = "da8bc2f0-8065-4385-b867-405e66b8e151"
ALLOWED = {
    1: {8},
    8: {4, 5, 7, 3},
    6: {7, 4, 5},
    2: {3, 4, 5},
}


@dataclass
class Job:
    package: bytes
    name: str = "job.py"
    parameters: Any = None
    sha256: str = ""
    guid: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: int = 1
    fields: dict[str, str] = field(default_factory=dict)
    progress: list[int] = field(default_factory=list)
    begun: int = 0
    url: str = ""

    @property
    def result(self) -> Any:
        return json.loads(self.fields["result"])


@dataclass
class Call:
    path: str
    form: dict[str, str]
    authorization: str
    at: float = field(default_factory=time.monotonic)

    @property
    def kind(self) -> str:
        """Short name of the step of the loop: ready, working, off, consume, begin, progress, end, package."""
        if self.path.endswith("heartbeat"):
            return {"2": "ready", "3": "working", "0": "off"}[self.form["Status"]]
        if self.path.endswith("update"):
            if self.form["status"] != "8":
                return "end"
            return "progress" if "progress" in self.form else "begin"
        return "consume" if self.path.endswith("consumeNextJob") else "package"


class FakeServer:
    """The protocol's rules in memory. `fault(call)` is "before", "after", "half", "html" or a status."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.calls: list[Call] = []
        self.orders: dict[str, int] = {}
        self.known, self.holds = True, True
        self.fault: Callable[[Call], Any] = lambda call: None
        self.changed = threading.Condition()
        self.retry_after = "0"
        self.tls: ssl.SSLContext | None = None
        self.port = 0
        self.up()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def up(self) -> None:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server.serve(self)

            do_PUT = do_PATCH = do_DELETE = do_GET = do_POST  # noqa: N815 - names of the base class

            def log_message(self, *args: Any) -> None:
                pass

        class Listener(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: Any) -> None:
                pass

        self.http = Listener(("127.0.0.1", self.port), Handler)
        if self.tls:
            self.http.socket = self.tls.wrap_socket(self.http.socket, server_side=True)
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def down(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    def add(self, source: str | bytes, **fields: Any) -> Job:
        job = Job(source.encode() if isinstance(source, str) else source, **fields)
        job.sha256 = job.sha256 or hashlib.sha256(job.package).hexdigest()
        with self.changed:
            self.jobs.append(job)
            self.changed.notify_all()
        return job

    def order(self, job: Job, status: int) -> None:
        """What a person asks for: 6 a soft stop, 2 a hard one."""
        with self.changed:
            job.status = status

    def kinds(self) -> list[str]:
        return [call.kind for call in self.calls]

    def until(self, fact: Callable[[], Any], seconds: float = 20) -> Any:
        with self.changed:
            assert self.changed.wait_for(fact, seconds), f"not so within {seconds} s; calls: {self.kinds()}"
        return fact()

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        length = int(request.headers.get("Content-Length") or 0)
        form = {name: values[0] for name, values in parse_qs(request.rfile.read(length).decode()).items()}
        call = Call(urlsplit(request.path).path, form, request.headers.get("Authorization", ""))
        with self.changed:
            self.calls.append(call)
            fault = self.fault(call)
            self.changed.notify_all()
        if fault == "before":
            return
        status, body = (fault, b"{}") if isinstance(fault, int) else self.answer(call)
        if fault == "html":
            status, body = 404, b"<html>no such page</html>"
        with self.changed:
            self.changed.notify_all()
        if fault == "after":
            return
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        if status == 503:
            request.send_header("Retry-After", self.retry_after)
        request.end_headers()
        request.wfile.write(body[: len(body) // 2] if fault == "half" else body)

    def answer(self, call: Call) -> tuple[int, bytes]:
        if call.kind == "package":
            job = next(job for job in self.jobs if call.path.endswith(job.sha256))
            return (200, job.package) if call.authorization else (401, b"")
        if call.kind == "consume":
            return 200, json.dumps(self.consume(call)).encode()
        if call.path.endswith("heartbeat"):
            return 200, json.dumps(self.heartbeat(call)).encode()
        with self.changed:
            status, document = self.update(call.form)
        return status, json.dumps(document).encode()

    def pending(self) -> Job | None:
        return next((job for job in self.jobs if job.status == 1), None)

    def heartbeat(self, call: Call) -> dict[str, Any]:
        code = 0 if self.known else 101
        with self.changed:
            if call.kind == "ready":
                for job in self.jobs:
                    if job.status in (8, 6, 2):
                        job.status, job.fields = 5, {"error": "the robot has lost its run"}
                if self.holds:
                    self.changed.wait_for(self.pending, float(call.form.get("Wait", 0)))
            if call.kind == "working":
                job = next(job for job in self.jobs if job.guid == call.form["JobGUID"])
                code = {8: 0, 6: 20}.get(job.status, 10)
        return {"HeartbeatErrorCode": code, "ErrorText": "", "HasNewJob": int(self.pending() is not None)}

    def consume(self, call: Call) -> dict[str, Any]:
        job = self.pending()
        if job is None:
            return {
                "ConsumeJobErrorCode": 102,
                "ErrorText": "",
                "Job": "null",
                "ProcessVersion": "null",
                "Task": "null",
            }
        version = {"GUID": "v", "Name": job.name, "Version": 1, "Sha256": job.sha256}
        version["PackageURL"] = job.url or f"{self.url}/packages/{job.sha256}"
        task = {"GUID": job.guid, "Name": "Счёт", "QueueGUID": None, "Parameters": job.parameters}
        documents = {"Job": {"GUID": job.guid, "Name": "Счета"}, "ProcessVersion": version, " Task ": task}
        dumped = {name: json.dumps(document) for name, document in documents.items()}
        return {"ConsumeJobErrorCode": 0, "ErrorText": "", **dumped}

    def update(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        job = next((job for job in self.jobs if job.guid == form["guid"]), None)
        asked = int(form["status"])
        if job is None:
            return 404, {"ErrorText": "no such job"}
        if asked != job.status and asked not in ALLOWED.get(job.status, set()):
            return 409, {"guid": job.guid, "status": job.status, "ErrorText": "not allowed"}
        if asked != job.status:
            job.begun += asked == 8
            job.status, job.fields = asked, dict(form)
        if "progress" in form:
            job.progress.append(int(form["progress"]))
        return 200, {"guid": job.guid, "status": job.status, "ErrorText": ""}


class Agent:
    """A real agent process."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.log = log
        with open(log, "ab") as out:
            self.process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)

    def ends(self, seconds: float = 30) -> int:
        return self.process.wait(seconds)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    @property
    def output(self) -> str:
        return self.log.read_text(encoding="utf-8")


StartAgent = Callable[..., Agent]


@pytest.fixture(scope="session")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("agent") / "robot.pyz"
    build_pyz(target)
    return target


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """What a shell runs in the background ignores Ctrl-C, and agents that it started would take that for a
    wish."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()
    yield fake
    fake.down()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "Робот № 1 ñ"


@pytest.fixture
def start(pyz: Path, server: FakeServer, work: Path, tmp_path: Path) -> Iterator[StartAgent]:
    """Start an agent; options go to its command line, variables to its environment."""
    agents: list[Agent] = []

    def starter(*options: str, at: str = "", python: str = sys.executable, **variables: str) -> Agent:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.lower().endswith("_proxy") and not name.startswith(("BOTSWAIN_", "PYTEST_"))
        }
        environment.update({"BOTSWAIN_ROBOT_GUID": GUID, "BOTSWAIN_HEARTBEAT_SECONDS": "0.1", **variables})
        command = [python, str(pyz), "--server", at or server.url, "--work-dir", str(work), *options]
        agents.append(Agent(command, environment, tmp_path / f"agent{len(agents)}.txt"))
        return agents[-1]

    yield starter
    for agent in agents:
        if agent.process.poll() is None:
            agent.kill()


@pytest.fixture
def basic() -> str:
    return "Basic " + base64.b64encode(GUID.encode()).decode()


@pytest.fixture
def guid() -> str:
    return GUID
