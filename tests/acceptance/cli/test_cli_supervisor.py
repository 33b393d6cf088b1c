"""The supervisor with stand-ins: restarts, order of ending, and that nothing stays behind."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.cli.conftest import clean_environment
from tests.deadlines import within
from tests.servers.processes import die_with_parent, family, is_alive
from tests.servers.server import wait_for

STAND_IN = Path(__file__).with_name("stand_in.py")
LASTS = "import time; print('alive', flush=True); time.sleep(60)"
DEAF = "import signal; signal.signal(15, lambda *_: print('asked', flush=True)); " + LASTS
DIES = "import os; print('alive', flush=True); os._exit(7)"
# Its child is in no session of its own, and knows of nobody's death.
PARENT = (
    "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    + LASTS
)

Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    started = []

    def start(seconds: float = 50, **parts: str) -> "subprocess.Popen[str]":
        """`seconds` is what each part has to end."""
        process = subprocess.Popen(
            [
                sys.executable,
                str(STAND_IN),
                str(tmp_path),
                str(seconds),
                *(f"{name}={text}" for name, text in parts.items()),
            ],
            env=clean_environment(),
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "watching\n"
        for name in parts:
            log = tmp_path / "logs" / f"{name}.log"
            assert wait_for(lambda log=log: "alive" in log.read_text(), 30)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def gone(pids: list[int]) -> bool:
    return not any(is_alive(pid) for pid in pids)


def test_a_part_that_dies_is_started_again_after_a_growing_pause(run: Run) -> None:
    process = run(first=DIES)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(3)]
    sentence = r"first has ended with exit status 7; it is started again in (.*) s\n"
    pauses = [float(found[1]) for line in said if (found := re.fullmatch(sentence, line))]
    # What is left of 0.2, 0.4 and 0.8 s, if the supervisor was held up before it could say so.
    assert all(left <= whole for left, whole in zip(pauses, (0.2, 0.4, 0.8), strict=True)), said
    assert pauses[2] > 0.4


def test_all_end_at_a_signal(run: Run) -> None:
    process = run(first=LASTS, last=LASTS)
    pids = family(process.pid)
    with within(1):
        process.terminate()
        assert process.wait(30) == 0
    assert len(pids) == 3
    assert gone(pids)


def test_who_does_not_listen_is_killed_when_its_seconds_are_over(run: Run) -> None:
    process = run(seconds=1, first=DEAF, last=LASTS)
    pids, began = family(process.pid), time.monotonic()
    with within(3):
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert time.monotonic() - began > 0.9
    assert gone(pids)


def test_a_second_signal_ends_at_once(run: Run, tmp_path: Path) -> None:
    process = run(first=DEAF, last=DEAF)
    process.send_signal(signal.SIGINT)
    # Two signals that come together count as one: the second has to come once the ending has begun.
    assert wait_for(lambda: "asked" in (tmp_path / "logs" / "first.log").read_text(), 30)
    with within(1):
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_children_of_a_part_end_with_it(run: Run) -> None:
    process = run(first=PARENT)
    pids = family(process.pid)
    assert len(pids) == 3
    process.terminate()
    process.wait(30)
    assert wait_for(lambda: gone(pids), 20)


def test_a_killed_supervisor_takes_its_parts_with_it(run: Run) -> None:
    process = run(first=DEAF, last=LASTS)
    pids = family(process.pid)
    assert len(pids) == 3
    process.kill()
    process.wait(30)
    assert wait_for(lambda: gone(pids), 20)


def test_the_process_between_ends_its_program_without_the_kernels_help(tmp_path: Path) -> None:
    """What stands between a part and the supervisor where there is no PR_SET_PDEATHSIG."""
    pid_file = tmp_path / "pid"
    program = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    between = [sys.executable, "-m", "orchestrator.cli.lifeline", "9", sys.executable, "-c", program]
    grandparent = f"import subprocess, time; subprocess.Popen({between!r}); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", grandparent], env=clean_environment()) as process:
        assert wait_for(lambda: pid_file.exists() and pid_file.read_text() != "", 30)
        pids = family(process.pid)
        assert len(pids) == 3
        process.kill()
    assert wait_for(lambda: gone(pids), 20)
