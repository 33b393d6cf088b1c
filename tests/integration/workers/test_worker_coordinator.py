"""Sessions as real processes: how they are opened, how they end, and what the server is told of each."""

import json
import os
import pwd
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.processes import is_alive
from tests.servers.server import wait_for
from workers import backoff
from workers.activities.activity import ActivityError, Context
from workers.coordinator.accounts import account_for
from workers.coordinator.backends import CannotOpenError, Handle
from workers.coordinator.child_process import ChildProcessBackend
from workers.coordinator.coordinator import Coordinator
from workers.server import Away, Order, Refused
from workers.settings import Settings

GUID = "da8bc2f0-8065-4385-b867-405e66b8e151"
# In the agent's place: tells what it was given, then does what its robot's id asks for.
AGENT = """
import json, os, signal, sys, time
robot = os.environ["BOTSWAIN_ROBOT_ID"]
if robot == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if robot == "polite":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
told = {"argv": sys.argv[1:], "environment": dict(os.environ), "cwd": os.getcwd(), "uid": os.getuid(),
        "gid": os.getgid(), "groups": os.getgroups(), "pid": os.getpid(), "session": os.getsid(0)}
with open("told.part", "w") as out:
    json.dump(told, out)
os.rename("told.part", "told.json")
if robot == "quick":
    sys.exit(0)
if robot == "broken":
    print("the first line", file=sys.stderr)
    print("the server does not accept this robot\\x1b[31m", file=sys.stderr)
    sys.exit(1)
time.sleep(120)
"""


class FakeServer:
    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.changed = threading.Condition()
        self.answers: list[Exception] = []

    def _tell(self, *told: Any) -> None:
        with self.changed:
            if self.answers:
                raise self.answers.pop(0)
            self.told.append(told)
            self.changed.notify_all()

    def opened(self, session: str, machine: str, backend: str, pid: int) -> None:
        self._tell("opened", session, backend, pid)

    def closed(self, session: str, outcome: str, reason: str) -> None:
        self._tell("closed", session, outcome, reason)

    def until(self, count: int) -> list[tuple[Any, ...]]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.told) >= count, 40), self.told
        return self.told


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    monkeypatch.setattr(backoff, "FIRST", 0.01)
    return FakeServer()


@pytest.fixture
def backend(settings: Callable[..., Settings], tmp_path: Path) -> ChildProcessBackend:
    own = settings(
        environment={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        working_path=tmp_path / "node",
    )
    backend = ChildProcessBackend(own)
    backend.prepare()
    (own.working_path / "robot.pyz").write_text(AGENT)
    return backend


@pytest.fixture
def coordinator(backend: ChildProcessBackend, server: Any) -> Iterator[Coordinator]:
    coordinator = Coordinator(backend, server, "http://127.0.0.1:4500", closing_seconds=1.0)
    coordinator.start()
    yield coordinator
    coordinator.end(3)


@pytest.fixture
def open_session(coordinator: Coordinator, context: Callable[..., Context]) -> Callable[..., Any]:
    def opener(robot: str = "polite", account: str = "", session: str = "s-1") -> Any:
        told = {"id": session, "robot": f"Робот {robot}", "robot_id": robot, "account": account}
        order = Order("task", 1, "open_session", "", {}, 45, told, GUID)
        return coordinator.open_session(order, context())

    return opener


def told_by_agent(tmp_path: Path, robot: str) -> dict[str, Any]:

    file = tmp_path / "node" / "robots" / robot / "told.json"
    until = time.monotonic() + 40
    while not file.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    told: dict[str, Any] = json.loads(file.read_text())
    return told


def test_the_agent_gets_what_it_needs_and_no_more(
    open_session: Callable[..., Any], tmp_path: Path, server: FakeServer, coordinator: Coordinator
) -> None:
    result = open_session()
    told = told_by_agent(tmp_path, "polite")
    folder = str(tmp_path / "node" / "robots" / "polite")
    assert result == {"session": "s-1", "pid": told["pid"], "backend": "child-process"}
    assert told["argv"] == ["--once", "--work-dir", folder] and told["cwd"] == folder
    assert told["session"] == told["pid"]  # a group of its own
    given = {name: value for name, value in told["environment"].items() if name != "LC_CTYPE"}
    assert given == {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "BOTSWAIN_SERVER": "http://127.0.0.1:4500",
        "BOTSWAIN_ROBOT_GUID": GUID,
        "BOTSWAIN_ROBOT_ID": "polite",
    }
    assert GUID not in Path(f"/proc/{told['pid']}/cmdline").read_text()
    assert server.until(1) == [("opened", "s-1", "child-process", told["pid"])]
    assert coordinator.held() == ["s-1"]


def test_the_log_off_ends_the_session(
    open_session: Callable[..., Any], server: FakeServer, coordinator: Coordinator
) -> None:
    open_session("quick")
    told = server.until(2)
    assert told[1][:3] == ("closed", "s-1", "logged_off")
    assert coordinator.wait_until_none(5)


def test_a_breakdown_is_told_in_its_own_last_words(
    open_session: Callable[..., Any], server: FakeServer
) -> None:
    open_session("broken")
    _, _, outcome, reason = server.until(2)[1]
    assert outcome == "failed"
    assert reason == "The robot's agent ended with exit code 1: the server does not accept this robot [31m"


def test_a_killed_agent_is_told_so(open_session: Callable[..., Any], server: FakeServer) -> None:
    os.kill(open_session()["pid"], signal.SIGKILL)
    _, _, outcome, reason = server.until(2)[1]
    assert (outcome, reason) == ("failed", "The robot's agent ended by SIGKILL.")


@pytest.mark.parametrize("robot", ["polite", "stubborn"])
def test_closing_is_soft_then_hard(
    open_session: Callable[..., Any],
    server: FakeServer,
    backend: ChildProcessBackend,
    coordinator: Coordinator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    robot: str,
) -> None:
    pid = open_session(robot)["pid"]
    told_by_agent(tmp_path, robot)
    asked: list[tuple[bool, float]] = []
    close = backend.close

    def note(handle: Handle, *, hard: bool) -> None:
        asked.append((hard, time.monotonic()))
        close(handle, hard=hard)

    monkeypatch.setattr(backend, "close", note)
    coordinator._closing_seconds = 1.0 if robot == "stubborn" else 50.0
    for _ in range(3):  # each answer to a registration says it again
        coordinator.close_sessions(["s-1", "unknown"], "The server asked for its end.")
    assert server.until(2)[1] == ("closed", "s-1", "closed", "The server asked for its end.")
    assert not is_alive(pid)
    (softly, first), *_, (hard, last) = [*asked, asked[-1]]
    assert not softly and hard == (robot == "stubborn")
    assert not hard or last - first >= 0.9
    assert coordinator.wait_until_none(5)


def test_several_live_at_once(
    open_session: Callable[..., Any], server: FakeServer, coordinator: Coordinator
) -> None:
    pids = [open_session(robot, session=f"s-{robot}")["pid"] for robot in ("polite", "a", "b", "quick")]
    server.until(5)
    assert coordinator.held() == ["s-a", "s-b", "s-polite"]
    assert all(is_alive(pid) for pid in pids[:3])


def test_the_server_is_told_when_it_is_back(
    open_session: Callable[..., Any], server: FakeServer, coordinator: Coordinator
) -> None:
    server.answers = [Away("gone")] * 4
    open_session("quick")
    assert [told[0] for told in server.until(2)] == ["opened", "closed"]
    assert coordinator.wait_until_none(5)


def test_a_session_that_is_no_longer_wanted_is_closed(
    open_session: Callable[..., Any], server: FakeServer
) -> None:
    server.answers = [Refused(409, "conflict", "Session s-1 is closed: end the agent.")]
    pid = open_session()["pid"]
    assert server.until(1)[0][:3] == ("closed", "s-1", "closed")
    assert not is_alive(pid)


def test_one_that_cannot_be_opened_is_told_and_fails_its_task(
    open_session: Callable[..., Any], server: FakeServer, coordinator: Coordinator
) -> None:
    with pytest.raises(ActivityError, match="no account 'nobody-here' on this machine"):
        open_session(account="nobody-here")
    assert server.until(1)[0] == (
        "closed",
        "s-1",
        "failed",
        "There is no account 'nobody-here' on this machine.",
    )
    assert coordinator.held() == []


def test_ending_closes_all(
    open_session: Callable[..., Any], server: FakeServer, coordinator: Coordinator
) -> None:
    pids = [open_session(robot, session=f"s-{robot}")["pid"] for robot in ("polite", "stubborn")]
    coordinator.end(2)
    assert [told[:3] for told in server.told[2:]] == [
        ("closed", "s-polite", "closed"),
        ("closed", "s-stubborn", "closed"),
    ]
    assert not any(is_alive(pid) for pid in pids)


NODE = """
import sys, threading
sys.path[:0] = [{root!r}]
from tests.integration.workers.test_worker_coordinator import FakeServer
from workers.activities.activity import Context
from workers.coordinator.child_process import ChildProcessBackend
from workers.coordinator.coordinator import Coordinator
from workers.server import Order
from workers.settings import Settings
from pathlib import Path
from workers import logs
logs.configure()
settings = Settings("http://127.0.0.1:9", "t", "w", Path({path!r}))
coordinator = Coordinator(ChildProcessBackend(settings), FakeServer(), settings.server, 1)
coordinator.start()
told = dict(id="s", robot="r", robot_id="stubborn", account="")
done = []
opener = threading.Thread(target=lambda: done.append(coordinator.open_session(
    Order("t", 1, "open_session", "", None, 45, told, {guid!r}), Context(settings, "t"))))
opener.start()
opener.join()
print(done[0]["pid"], "the thread that asked for it is gone", sep="\\n", flush=True)
threading.Event().wait(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_agents_die_with_a_node_that_is_killed(backend: ChildProcessBackend, tmp_path: Path) -> None:
    root = str(Path(__file__).parents[3])
    program = NODE.format(root=root, path=str(tmp_path / "node"), guid=GUID)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        pid = int(node.stdout.readline())
        told_by_agent(tmp_path, "stubborn")
        assert node.stdout.readline() == "the thread that asked for it is gone\n"
        assert is_alive(pid)
        node.kill()
    assert wait_for(lambda: not is_alive(pid), 20)


# Accounts -----------------------------------------------------------------------------------------------


def entry(name: str, uid: int) -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", uid, uid, "", f"/home-of/{name}", "/bin/sh"))


def test_whose_account_it_is(settings: Callable[..., Settings]) -> None:
    def look(name: str) -> pwd.struct_passwd:
        return {"ana": entry("ana", 1001), "root": entry("root", 0), "node": entry("node", 900)}[name]

    own = settings()
    assert account_for("", own, look, 0) is None
    switched = account_for("ana", own, look, 0)
    assert switched is not None and (switched.uid, switched.gid, str(switched.home)) == (
        1001,
        1001,
        "/home-of/ana",
    )
    assert account_for("node", own, look, 900) is None
    for name, uid, sentence in (
        ("ana", 900, "may not switch to the account ana"),
        ("root", 900, "may not run as root"),
        ("eve", 0, "no account 'eve'"),
    ):
        with pytest.raises(CannotOpenError, match=sentence):
            account_for(name, own, look, uid)
    assert account_for("ana", settings(require_account=False), look, 900) is None
    assert account_for("root", own, look, 0) is None  # the node is root itself, and was made so
    with pytest.raises(CannotOpenError, match="BOTSWAIN_SESSION_ACCOUNTS"):
        account_for("ana", settings(accounts=frozenset({"boris"})), look, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may switch accounts")
def test_the_agent_runs_under_the_robot_s_account(backend: ChildProcessBackend, tmp_path: Path) -> None:
    from workers.coordinator.backends import Session

    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o711)
    nobody = pwd.getpwnam("nobody")
    session = Session("s-1", "Робот", "polite", "nobody", "http://127.0.0.1:9", GUID)
    python = next((path for path in PYTHONS if _may_run(path, nobody.pw_uid)), None)
    if python is None:
        pytest.skip("no Python here can be run by other accounts")
    object.__setattr__(backend._settings, "robot_python", python)
    handle = backend.open(session)
    try:
        told = told_by_agent(tmp_path, "polite-nobody")
        assert (told["uid"], told["gid"]) == (nobody.pw_uid, nobody.pw_gid)
        assert 0 not in told["groups"]
        assert told["environment"]["USER"] == "nobody"
        folder = tmp_path / "node" / "robots" / "polite-nobody"
        assert folder.stat().st_uid == nobody.pw_uid and folder.stat().st_mode & 0o077 == 0
    finally:
        backend.close(handle, hard=True)
        handle.own.wait(5)


PYTHONS = (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3")


def _may_run(python: str, uid: int) -> bool:
    try:
        tried = subprocess.run([python, "-c", ""], user=uid, capture_output=True, check=False, cwd="/")
    except OSError:
        return False
    return tried.returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may switch accounts")
def test_a_folder_that_the_account_cannot_reach_is_named(
    backend: ChildProcessBackend, tmp_path: Path
) -> None:
    from workers.coordinator.backends import Session

    (tmp_path / "node").chmod(0o700)
    session = Session("s-1", "Робот", "polite", "nobody", "http://127.0.0.1:9", GUID)
    with pytest.raises(CannotOpenError, match=r"nobody cannot pass through .*BOTSWAIN_NODE_PATH"):
        backend.open(session)
