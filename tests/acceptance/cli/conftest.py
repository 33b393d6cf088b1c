"""Real clusters, started by the real command in a folder of the test's own."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.command_line import run
from tests.servers.ports import free_port
from tests.servers.processes import die_with_parent, family, is_alive
from tests.servers.server import wait_for

BOTSWAIN = (sys.executable, "-P", "-m", "orchestrator.cli")
PROJECT = Path(__file__).parents[3]
START_SECONDS = 60.0


def clean_environment(**own: str) -> dict[str, str]:
    """This environment without settings of Botswain, and with `own`."""
    left_out = ("BOTSWAIN_", "SCHEDULER_", "DATABASE_URL", "DB_", "REDIS_URL", "FLOWER_", "PROMETHEUS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {**kept, "PYTHONPATH": str(PROJECT), **own}


def botswain(*arguments: str, timeout: float = 60, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    return subprocess.run(
        [*BOTSWAIN, *arguments],
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=timeout,
    )


Here = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def botswain_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """As `botswain`, in this process: a second of processor less. For commands that set up no logs."""

    def call(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        with monkeypatch.context() as patch:
            patch.setattr(os, "environ", clean_environment(**environment))
            with pytest.raises(SystemExit) as ended:
                run(list(arguments))
        said = capsys.readouterr()
        code = ended.value.code
        return subprocess.CompletedProcess(arguments, int(code or 0), said.out, said.err)

    return call


class Up:
    """A running `botswain up`. `pids()` are its process and all below."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.arguments = arguments
        self.said: list[str] = []

    def start(self) -> "Up":
        """Start it and wait for its line on standard output."""
        began = time.monotonic()
        self.process = subprocess.Popen(
            [*BOTSWAIN, "up", "--data", str(self.folder), "--port", str(self.port), *self.arguments],
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self.process.stdout
        self.line = self.process.stdout.readline()
        self.start_seconds = time.monotonic() - began
        assert self.line, self.said
        return self

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.said.append(line.rstrip())

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return self.secret("admin-token")

    def secret(self, name: str) -> str:
        return (self.folder / "secrets" / name).read_text().strip()

    def pids(self) -> list[int]:
        return family(self.process.pid)

    def pid_of(self, part: str) -> int:
        """The process that serves as this part, whose output goes into its log; 0 while there is none."""
        log = self.folder / "logs" / f"{part}.log"
        for pid in self.pids()[1:]:
            with contextlib.suppress(OSError):  # it has just ended
                parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
                if int(parent) == self.process.pid and os.readlink(f"/proc/{pid}/fd/1") == str(log):
                    return pid
        return 0

    def has_all(self) -> bool:
        """Whether it has started what the API need not wait for, too."""
        return "Ctrl-C ends everything." in self.said

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """HTTP status (0: no answer) and document."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            line.request(method, path, None if body is None else json.dumps(body), headers)
            answer = line.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        except (OSError, http.client.HTTPException, ValueError):
            return 0, None
        finally:
            line.close()

    def serves(self) -> bool:
        return self.call("GET", "/readyz")[0] == 200

    def scheduler_pid(self) -> int:
        """As the scheduler itself registered it; 0 while none is up."""
        nodes = (self.call("GET", "/api/v1/cluster")[1] or {"nodes": []})["nodes"]
        return next((int(node["pid"]) for node in nodes if node["state"] == "up"), 0)

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """A command against this cluster."""
        return botswain(*arguments, BOTSWAIN_SERVER=self.address, BOTSWAIN_TOKEN=self.token)

    def end(self, number: signal.Signals) -> None:
        """Send the signal; back when the process and all below it are gone."""
        pids = self.pids()
        self.process.send_signal(number)
        self.process.wait(60)
        assert wait_for(lambda: not any(is_alive(pid) for pid in pids), 30)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Starts clusters, which end with the test. A short folder: a socket's path may not be long."""
    started: list[Up] = []

    def start(*arguments: str, folder: Path | None = None) -> Up:
        started.append(Up(folder or tmp_path / "data", *arguments))
        return started[-1].start()

    yield start
    for cluster in started:
        if cluster.process.poll() is None:
            cluster.end(signal.SIGTERM)
