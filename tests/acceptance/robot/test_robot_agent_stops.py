"""Soft stops, hard stops, and an agent that is itself asked to leave or killed."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.acceptance.robot.conftest import Call, FakeServer, StartAgent
from tests.deadlines import within

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

READY = "open({mark!r}, 'w').close()\n"
POLLS = "import time\nfrom botswain import should_stop, result\nshould_stop()\n" + READY
SLEEPS = READY + "import time\ntime.sleep(60)\n"


def begun(server: FakeServer, mark: Path) -> None:
    """Wait until the script says that it is there; heartbeats wake the condition."""
    server.until(mark.exists)


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def dead(server: FakeServer, *pids: int) -> None:
    end = time.monotonic() + 30
    while any(map(alive, pids)):
        assert time.monotonic() < end, "a process of the run is still alive"
        time.sleep(0.02)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "mark"


@pytest.mark.parametrize(
    ("source", "status"),
    [
        (POLLS + "while not should_stop(): time.sleep(0.01)\n", 7),
        (POLLS + "while not should_stop(): time.sleep(0.01)\nresult('whole')\n", 4),
        (POLLS + "while not should_stop(): time.sleep(0.01)\nraise ValueError('really')\n", 5),
        ("import botswain\n" + POLLS + "while True: botswain.raise_if_stopping(); time.sleep(0.01)\n", 7),
        pytest.param(SLEEPS, 7, marks=posix, id="SIGTERM"),
        ("import botswain\n" + SLEEPS, 7),
        ("import botswain\ntry:\n  " + SLEEPS.replace("\n", ";", 2).strip() + "\nexcept Exception: pass", 7),
        pytest.param(
            "import signal, sys\nsignal.signal(15, lambda *_: sys.exit(3))\n" + SLEEPS,
            5,
            marks=posix,
            id="exit 3",
        ),
        pytest.param(
            "import signal, sys\nsignal.signal(15, lambda *_: sys.exit(143))\n" + SLEEPS,
            7,
            marks=posix,
            id="143",
        ),
    ],
)
def test_a_soft_stop_ends_as_the_script_ends(
    server: FakeServer, start: StartAgent, mark: Path, source: str, status: int
) -> None:
    job = server.add(source.format(mark=str(mark)))
    agent = start("--once")
    begun(server, mark)
    server.order(job, 6)
    assert agent.ends() == 0
    assert job.status == status
    assert ("really" in job.fields.get("error", "")) == ("really" in source)


def test_a_script_that_never_asks_may_still_clean_up(
    server: FakeServer, start: StartAgent, mark: Path, tmp_path: Path
) -> None:
    cleaned = tmp_path / "cleaned"
    source = f"import botswain, time\ntry:\n  {READY}  time.sleep(60)\n"
    source += f"finally: open({str(cleaned)!r}, 'w').close()\n"
    job = server.add(source.format(mark=str(mark)))
    agent = start("--once")
    begun(server, mark)
    server.order(job, 6)
    assert agent.ends() == 0 and job.status == 7 and cleaned.exists() and "error" not in job.fields


@posix
def test_a_soft_stop_that_is_not_obeyed_is_waited_for_until_the_hard_one(
    server: FakeServer, start: StartAgent, mark: Path
) -> None:
    source = "import signal\nsignal.signal(15, signal.SIG_IGN)\n" + SLEEPS
    job = server.add(source.format(mark=str(mark)))
    agent = start("--once")
    begun(server, mark)
    server.order(job, 6)
    beats = len(server.calls)
    server.until(lambda: len(server.calls) >= beats + 5)
    assert job.status == 6
    server.order(job, 2)
    assert agent.ends() == 0 and job.status == 3


@linux
def test_a_hard_stop_kills_grandchildren_also_those_that_left_the_group(
    server: FakeServer, start: StartAgent, mark: Path, tmp_path: Path
) -> None:
    child = "import time; time.sleep(60)"
    source = f"""
import subprocess, sys, time
near = subprocess.Popen([sys.executable, '-c', {child!r}])
far = subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=True)
open({str(mark)!r} + 'x', 'w').write(f'{{near.pid}} {{far.pid}}')
import os; os.replace({str(mark)!r} + 'x', {str(mark)!r})
time.sleep(60)
"""
    job = server.add(source)
    agent = start("--once")
    begun(server, mark)
    pids = [int(pid) for pid in mark.read_text().split()]
    server.order(job, 2)
    assert agent.ends() == 0 and job.status == 3
    dead(server, *pids)


@linux
def test_what_a_script_leaves_running_ends_with_its_run(
    server: FakeServer, start: StartAgent, mark: Path
) -> None:
    source = "import subprocess, sys\nopen({mark!r}, 'w').write(str(subprocess.Popen(['sleep', '60']).pid))"
    job = server.add(source.format(mark=str(mark)))
    assert start("--once").ends() == 0 and job.status == 4
    dead(server, int(mark.read_text()))


def test_an_abort_that_overtakes_a_stop_is_reported_as_aborted(
    server: FakeServer, start: StartAgent, mark: Path
) -> None:
    job = server.add((POLLS + "while not should_stop(): time.sleep(0.01)").format(mark=str(mark)))

    def escalate(call: Call) -> None:
        if call.kind == "end" and call.form["status"] == "7":
            job.status = 2

    server.fault = escalate
    agent = start("--once")
    begun(server, mark)
    server.order(job, 6)
    assert agent.ends() == 0 and job.status == 3


def test_progress_of_a_run_that_the_server_gave_up_ends_it_without_a_report(
    server: FakeServer, start: StartAgent, mark: Path
) -> None:
    source = f"import time\nfrom botswain import progress\n{READY}"
    source += "while True:\n  for n in range(99): progress(n); time.sleep(.02)"
    job = server.add(source.format(mark=str(mark)))
    server.fault = lambda call: 503 if call.kind == "working" else None
    agent = start("--once")
    begun(server, mark)
    job.status = 5
    assert agent.ends() == 0
    assert "end" not in server.kinds() and "no longer this robot's" in agent.output


@pytest.mark.parametrize(("asked", "reported"), [(6, 7), (2, 3)])
def test_a_refused_progress_tells_what_was_asked_for(
    server: FakeServer, start: StartAgent, mark: Path, asked: int, reported: int
) -> None:
    source = (
        "import time\nfrom botswain import progress, should_stop\nshould_stop()\n" + READY + "n = 0\n"
        "while not should_stop():\n  n = (n + 1) % 100; progress(n); time.sleep(.02)"
    )
    job = server.add(source.format(mark=str(mark)))
    server.fault = lambda call: 503 if call.kind == "working" else None
    agent = start("--once")
    begun(server, mark)
    server.order(job, asked)
    assert agent.ends() == 0 and job.status == reported


def test_a_job_stopped_before_its_begin_was_answered_is_not_run(
    server: FakeServer, start: StartAgent, mark: Path
) -> None:
    job = server.add(READY.format(mark=str(mark)))
    lost = iter(["after"])

    def lose_begin(call: Call) -> str | None:
        if call.kind == "begin":
            fault = next(lost, None)
            job.status = 6 if fault is None else job.status
            return fault
        return None

    server.fault = lose_begin
    assert start("--once").ends() == 0
    assert job.status == 7 and not mark.exists()


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_agent_leaves_at_once_when_asked(server: FakeServer, start: StartAgent, number: int) -> None:
    agent = start()
    server.until(lambda: server.calls)
    with within(3):
        agent.signal(number)
        assert agent.ends() == 0
    assert server.kinds() == ["ready", "off"]


@posix
def test_an_agent_asked_to_leave_stops_its_script_reports_and_leaves(
    server: FakeServer, start: StartAgent, mark: Path
) -> None:
    job, other = server.add(SLEEPS.format(mark=str(mark))), server.add("print(1)")
    agent = start()
    begun(server, mark)
    agent.signal(signal.SIGTERM)
    assert agent.ends() == 0
    assert (job.status, other.status) == (7, 1)
    assert server.kinds()[-2:] == ["end", "off"]


@posix
def test_an_agent_asked_twice_aborts(server: FakeServer, start: StartAgent, mark: Path) -> None:
    job = server.add(("import signal\nsignal.signal(15, signal.SIG_IGN)\n" + SLEEPS).format(mark=str(mark)))
    agent = start()
    begun(server, mark)
    agent.signal(signal.SIGTERM)
    server.until(lambda: list(agent.log.parent.rglob("stop")))
    agent.signal(signal.SIGTERM)
    assert agent.ends() == 0 and job.status == 3


@linux
def test_a_killed_agent_takes_its_script_along_and_the_next_one_clears_the_rest(
    server: FakeServer, start: StartAgent, mark: Path
) -> None:
    child = "import subprocess, os, time\nfar = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
    source = child + "open({mark!r} + 'x', 'w').write(f'{{os.getpid()}} {{far.pid}}')\n"
    source += "os.replace({mark!r} + 'x', {mark!r})\ntime.sleep(60)"
    job = server.add(source.format(mark=str(mark)))
    agent = start()
    begun(server, mark)
    script, far = (int(pid) for pid in mark.read_text().split())
    agent.kill()
    dead(server, script)
    assert alive(far)
    again = start("--once")
    assert again.ends() == 0
    dead(server, far)
    assert job.status == 5 and job.begun == 1 and "had left" in again.output


@linux
def test_no_argument_of_any_child_names_the_robot(
    server: FakeServer, start: StartAgent, mark: Path, guid: str
) -> None:
    server.add(SLEEPS.format(mark=str(mark)))
    agent = start()
    begun(server, mark)
    tree = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _group_of(pid, agent.process.pid)]
    assert len(tree) == 2
    for pid in tree:
        assert guid.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes().lower()


def _group_of(pid: str, parent: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return False
    return int(pid) == parent or int(fields[1]) == parent
