"""The agent and its scripts on the oldest Python that they are made for, where there is one."""

import shutil
import subprocess
from glob import glob
from pathlib import Path

import pytest

import workers.robot
from tests.acceptance.robot.conftest import FakeServer, StartAgent
from tests.acceptance.robot.fake_queues import MakeQueues

OLDEST = "3.9"
# Where people's tools put it, beside PATH.
PLACES = (
    "~/.pyenv/versions/{}*/bin/python{}",
    "~/.local/share/uv/python/cpython-{}*/bin/python{}",
    "/opt/python*/bin/python{}",
)
SCRIPT_MODULE = Path(workers.robot.__file__).parent / "script"
EVERY_MODULE = """
import importlib, pkgutil, sys
sys.path[:0] = sys.argv[1:]
import botswain_robot
names = [found.name for found in pkgutil.walk_packages(botswain_robot.__path__, "botswain_robot.")]
names = [name for name in names if not name.endswith("__main__")]
for name in [*names, "botswain_broker", "botswain_queue"]:
    importlib.import_module(name)
print(len(names))
"""
SCRIPT = """
from botswain import arguments, log, progress, queue, result, should_stop
import sys
seen = []
for item in queue("q").take(max_failures=3):
    with item:
        if item.value == "bug":
            raise KeyError("vat")
        seen.append(item.value)
progress(50, "half")
log("line", n=1)
result({"python": sys.version_info[:2], "seen": seen, "n": arguments["n"], "stop": should_stop()})
"""


@pytest.fixture(scope="module")
def oldest() -> str:
    found = [shutil.which(f"python{OLDEST}") or ""]
    for place in PLACES:
        found += sorted(glob(str(Path(place.format(OLDEST, OLDEST)).expanduser())))
    for python in filter(None, found):
        said = subprocess.run([python, "-c", "print('works')"], capture_output=True, text=True, check=False)
        if said.stdout == "works\n":  # a shim may be there without what it stands for
            return python
    pytest.skip(f"no Python {OLDEST} on this machine")


def test_every_module_is_imported(oldest: str, pyz: Path) -> None:
    command = [oldest, "-I", "-W", "error", "-c", EVERY_MODULE, str(pyz), str(SCRIPT_MODULE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 15


def test_a_job_works_a_queue_off(
    oldest: str, server: FakeServer, start: StartAgent, queues: MakeQueues, work: Path
) -> None:
    robin = queues("good", "bug", "last")
    job = server.add(SCRIPT, parameters={"n": 7})
    agent = start("--once", python=oldest)
    assert agent.ends() == 0, agent.output
    assert job.status == 4, job.fields
    assert job.result == {"python": [3, 9], "seen": ["good", "last"], "n": 7, "stop": False}
    assert {name: said["status"] for name, said in robin.said("finish").items()} == {
        "r1": "Processed",
        "r2": "Error",
        "r3": "Processed",
    }


def test_a_soft_stop_reaches_it(
    oldest: str, server: FakeServer, start: StartAgent, queues: MakeQueues
) -> None:
    robin = queues()
    job = server.add("from botswain import queue\nfor item in queue('q').take(wait=300): pass")
    agent = start("--once", python=oldest)
    assert robin.asked.wait(20), agent.output
    server.order(job, 6)
    server.until(lambda: job.status == 7, 10)
    assert agent.ends() == 0
