"""Commands as real processes: what reaches them, what they leave behind, and how they are ended."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.deadlines import within
from tests.servers.processes import is_alive
from workers.activities.activity import ActivityError, Context, Interrupted
from workers.activities.allowed_commands import AllowedCommand
from workers.activities.command import command

SHOW = """
import json, os, sys
json.dump({"argv": sys.argv[1:], "stdin": json.load(sys.stdin), "cwd": os.getcwd(),
           "environment": dict(os.environ)}, sys.stdout)
"""


@pytest.fixture
def run(context: Callable[..., Context]) -> Callable[..., Any]:
    """Runs a Python program as the allowed command `work`."""

    def starter(program: str, arguments: Any = None, own: Context | None = None, timeout: float = 20) -> Any:
        allowed = {"work": AllowedCommand((sys.executable, "-c", program, "fixed"), timeout)}
        given = {"name": "work"} if arguments is None else {"name": "work", "arguments": arguments}
        if own is None:
            return command(given, context(commands=allowed))
        object.__setattr__(own.settings, "commands", allowed)
        return command(given, own)

    return starter


@pytest.mark.parametrize(
    "hostile",
    [
        "; touch injected",
        "$(touch injected)",
        "`touch injected`",
        ["--version", "-c", "import os; os.abort()"],
        {"argv": ["rm", "-rf", "x"], "\n": "\u0000\u202e"},
        "😀 №",
    ],
)
def test_arguments_go_to_standard_input_and_nowhere_else(run: Callable[..., Any], hostile: Any) -> None:
    result = run(SHOW, hostile)
    shown = json.loads(result["stdout"])
    assert shown["stdin"] == hostile
    assert shown["argv"] == ["fixed"]
    assert not (Path(shown["cwd"]) / "injected").exists()


def test_the_node_s_secrets_are_not_in_its_environment(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTSWAIN_NODE_TOKEN", "s3cret")
    monkeypatch.setenv("REDIS_URL", "redis://:s3cret@h")
    shown = json.loads(run(SHOW)["stdout"])
    assert set(shown["environment"]) <= {"PATH", "LC_CTYPE"}
    assert shown["stdin"] is None


@pytest.mark.parametrize("name", ["other", "/bin/sh", "../work", "work ", ""])
def test_only_allowed_names_run(context: Callable[..., Context], name: str) -> None:
    own = context(commands={"work": AllowedCommand(("true",))})
    with pytest.raises(ActivityError, match=r"^name: "):
        command({"name": name}, own)


def test_nothing_is_allowed_by_default(context: Callable[..., Context]) -> None:
    with pytest.raises(ActivityError, match=r"allows no command 'work'; it allows: none"):
        command({"name": "work"}, context())
    with pytest.raises(ActivityError, match=r"argv: there is no such field"):
        command({"name": "work", "argv": ["sh"]}, context())


def test_a_failure_says_how_and_what_it_said_last(run: Callable[..., Any]) -> None:
    with pytest.raises(ActivityError, match=r"work ended with exit code 3: no paper"):
        run("import sys; print('no paper', file=sys.stderr); sys.exit(3)")
    with pytest.raises(ActivityError, match=r"work ended with signal 6"):
        run("import os; os.abort()")


def test_a_program_that_is_not_there_is_a_sentence(context: Callable[..., Context]) -> None:
    own = context(commands={"work": AllowedCommand(("no-such-program-here",))})
    with pytest.raises(ActivityError, match="work cannot be started"):
        command({"name": "work"}, own)


def test_output_is_bounded_and_can_be_stored(run: Callable[..., Any]) -> None:
    result = run("import sys; sys.stdout.buffer.write(b'\\x00\\xff' + b'x' * 5_000_000)")
    assert len(result["stdout"]) == 64 * 1024 and result["truncated"]
    assert result["stdout"].startswith("\ufffd\ufffdx")


def test_input_that_is_not_read_does_no_harm(run: Callable[..., Any]) -> None:
    assert run("pass", ["x" * 1_000_000])["exit_code"] == 0


CHILD = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
print(os.getpid(), child.pid, flush=True)
open(sys.argv[1] if len(sys.argv) > 2 else "pids", "w").write(f"{os.getpid()} {child.pid}")
"""


def pids(context: Context) -> list[int]:
    file = context.settings.working_path / "commands" / "pids"
    until = time.monotonic() + 30
    while not (file.exists() and " " in file.read_text()):
        assert time.monotonic() < until
        time.sleep(0.01)
    return [int(pid) for pid in file.read_text().split()]


def assert_gone(numbers: list[int]) -> None:
    until = time.monotonic() + 30
    while any(is_alive(pid) for pid in numbers):
        assert time.monotonic() < until, numbers
        time.sleep(0.01)


def test_beyond_its_time_the_whole_group_is_killed(
    run: Callable[..., Any], context: Callable[..., Context]
) -> None:
    own = context()
    with (
        within(8),
        pytest.raises(ActivityError, match=r"took longer than 1 seconds and was killed"),
    ):
        run(CHILD + "time.sleep(120)", own=own, timeout=1)
    assert_gone(pids(own))


def test_what_it_leaves_in_the_background_ends_with_it(
    run: Callable[..., Any], context: Callable[..., Context]
) -> None:
    own = context()
    with within(10):
        assert run(CHILD, own=own, timeout=100)["exit_code"] == 0
    assert_gone(pids(own))


def test_an_interruption_kills_it(run: Callable[..., Any], context: Callable[..., Context]) -> None:
    own = context()

    def interrupt() -> None:
        pids(own)
        own.interrupt("its lease is lost")

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(Interrupted, match="its lease is lost"):
        run(CHILD + "time.sleep(120)", own=own)
    assert_gone(pids(own))
    assert os.path.isdir(own.settings.working_path / "commands")
