"""`botswain up`: what it starts lives as long as it does, and no longer."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.cli.conftest import BOTSWAIN, Up, botswain, clean_environment
from tests.deadlines import within
from tests.servers.ports import free_port
from tests.servers.processes import is_alive
from tests.servers.server import wait_for

SMALL = ("--workers", "0", "--no-flower")
Start = Callable[..., Up]


def cpu_seconds(pids: list[int]) -> float:
    """What these processes have computed so far, with children that have ended."""
    ticks = 0
    for pid in pids:
        try:
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
        except OSError:
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def test_a_killed_part_is_started_again_and_serves(up: Start) -> None:
    cluster = up(*SMALL)
    assert cluster.line == f"ready http://127.0.0.1:{cluster.port}\n"
    assert cluster.serves()
    assert cluster.scheduler_pid() == cluster.pid_of("scheduler-1")

    for part in ("api", "redis", "scheduler-1"):
        before = cluster.pid_of(part)
        os.kill(before, signal.SIGKILL)
        assert wait_for(lambda part=part, old=before: cluster.pid_of(part) not in (0, old), 30), part
        assert wait_for(cluster.serves, 60), part
        assert any(f"{part} was ended by SIGKILL; it is started again in " in line for line in cluster.said)
    assert wait_for(lambda: cluster.scheduler_pid() == cluster.pid_of("scheduler-1"), 60)

    workers = [pid for pid in cluster.pids() if pid != cluster.pid_of("api")]
    with within(10):
        cluster.end(signal.SIGTERM)
    assert cluster.process.returncode == 0
    assert not any(is_alive(pid) for pid in workers)
    assert not (cluster.folder / "redis" / "redis.sock").exists()


def test_the_second_start_is_quick_and_a_killed_supervisor_takes_all_with_it(up: Start) -> None:
    first = up(*SMALL)
    with within(10):
        first.end(signal.SIGINT)

    second = up(*SMALL, folder=first.folder)
    # On an idle machine with two cores the wall clock shows less than what was computed.
    assert cpu_seconds(second.pids()) < 5 * 1.5
    assert second.token == first.token
    with within(5):
        second.end(signal.SIGKILL)

    third = up(*SMALL, folder=first.folder)
    assert third.serves()


def test_secrets_are_in_private_files_and_nowhere_else(up: Start) -> None:
    cluster = up("--workers", "1", "--robots", "1")
    assert wait_for(cluster.has_all, 60)
    kept = {path.name: path for path in (cluster.folder / "secrets").iterdir()}
    assert set(kept) == {"secret-key", "admin-token", "node-token", "redis-password", "flower-password"}
    private = [*kept.values(), *(cluster.folder / "logs").iterdir(), cluster.folder / "robots.json"]
    for path in [*private, cluster.folder / "redis" / "redis.conf"]:
        assert path.stat().st_mode & 0o077 == 0, path

    words = {path.read_text().strip() for path in kept.values()}
    guid = json.loads((cluster.folder / "robots.json").read_text())["robot-1"]
    told = "".join(path.read_text(errors="replace") for path in (cluster.folder / "logs").iterdir())
    told += "".join(cluster.said)
    told += "".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in cluster.pids())
    assert not [word for word in words | {guid} if word in told]
    robot = Path(f"/proc/{cluster.pid_of('robot-1')}/environ").read_text()
    assert guid in robot
    assert not [word for word in words if word in robot]


def test_a_busy_port_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = botswain("up", "--port", str(port), "--data", str(tmp_path / "data"))
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == f"botswain: port {port} is in use; choose another with --port or PORT=\n"
    assert not (tmp_path / "data").exists()


def test_a_second_cluster_in_the_folder_is_refused(up: Start) -> None:
    cluster = up(*SMALL)
    with within(5):
        ended = botswain("up", "--port", str(free_port()), "--data", str(cluster.folder))
    assert ended.returncode == 1
    assert f"is in use by another cluster (process {cluster.process.pid})" in ended.stderr
    assert cluster.serves()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_start_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    cluster = Up(tmp_path / "data", *SMALL)
    command = ["up", "--data", str(cluster.folder), "--port", str(cluster.port), *SMALL]
    with subprocess.Popen([*BOTSWAIN, *command], env=clean_environment(), stdout=subprocess.PIPE) as process:
        cluster.process = process  # type: ignore[assignment]
        assert wait_for(lambda: (cluster.folder / "logs" / "redis.log").exists(), 60)
        with within(10):
            cluster.end(number)
        assert process.stdout is not None
        assert process.stdout.read() == b""
