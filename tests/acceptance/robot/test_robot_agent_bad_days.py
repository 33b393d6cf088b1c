"""A server that is away, slow, lying or restarted; a disk that is full; an agent that dies with a result."""

import itertools
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.robot.conftest import Call, FakeServer, StartAgent
from tests.deadlines import within

SCRIPT = "from botswain import result\nprint('ran', file=open({mark!r}, 'a'))\nresult(42)"


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "mark"


def fails(kind: str, fault: str | int, times: int = 1) -> Callable[[Call], Any]:
    """A fault of the first `times` calls of one kind."""
    counter = itertools.count()
    return lambda call: fault if call.kind == kind and next(counter) < times else None


STEPS = itertools.product(
    ["ready", "consume", "begin", "package", "working", "end"], ["before", "after", 503, "html", "half"]
)


# A package that is answered with 404 is gone: the one fault of these that is no passing trouble.
@pytest.mark.parametrize(("kind", "fault"), [step for step in STEPS if step != ("package", "html")])
def test_a_fault_at_any_step_loses_no_job_and_runs_none_twice(
    server: FakeServer, start: StartAgent, mark: Path, kind: str, fault: str | int
) -> None:
    job = server.add(SCRIPT.format(mark=str(mark)))
    server.fault = fails(kind, fault)
    assert start("--once").ends() == 0
    assert (job.status, job.result) == (4, 42)
    assert mark.read_text() == "ran\n"
    kinds = server.kinds()
    assert "ready" not in kinds[kinds.index("begin") : len(kinds) - kinds[::-1].index("end")]


def test_a_server_that_comes_later_is_waited_for(server: FakeServer, start: StartAgent, mark: Path) -> None:
    server.down()
    agent = start("--once")
    while "is away" not in (agent.output if agent.log.exists() else ""):
        assert agent.process.poll() is None
        time.sleep(0.02)
    server.up()
    job = server.add(SCRIPT.format(mark=str(mark)))
    assert agent.ends() == 0 and job.status == 4


def test_retry_after_is_honoured(server: FakeServer, start: StartAgent) -> None:
    server.retry_after = "1"
    server.fault = fails("ready", 503)
    assert start("--once").ends() == 0
    first, second = [call.at for call in server.calls if call.kind == "ready"]
    assert second - first >= 1


def test_heartbeats_go_on_while_the_last_report_is_retried(
    server: FakeServer, start: StartAgent, mark: Path
) -> None:
    job = server.add(SCRIPT.format(mark=str(mark)))
    ended = lambda: "end" in server.kinds()  # noqa: E731
    stuck = [True]
    server.fault = lambda call: "before" if call.kind == "end" and stuck else None
    agent = start("--once")
    server.until(ended)
    before = server.kinds().count("working")
    server.until(lambda: server.kinds().count("working") >= before + 4)
    assert server.kinds().count("ready") == 1 and job.status == 8
    stuck.clear()
    assert agent.ends() == 0 and job.status == 4


@pytest.mark.parametrize("answered", ["before", "after"])
def test_a_result_outlives_the_agent(
    server: FakeServer, start: StartAgent, mark: Path, work: Path, answered: str
) -> None:
    job = server.add(SCRIPT.format(mark=str(mark)))
    server.fault = lambda call: answered if call.kind == "end" else None
    agent = start()
    server.until(lambda: server.kinds().count("end") >= 2)
    agent.kill()
    server.fault = lambda call: None
    seen = len(server.calls)
    assert start("--once").ends() == 0
    assert (job.status, job.result) == (4, 42)
    assert server.kinds()[seen:] == ["end", "ready", "off"]
    assert mark.read_text() == "ran\n" and not list((work / "outbox").iterdir())


def test_an_agent_asked_to_leave_while_the_server_is_away_keeps_the_result(
    server: FakeServer, start: StartAgent, mark: Path
) -> None:
    job = server.add(SCRIPT.format(mark=str(mark)))
    server.fault = lambda call: "before" if call.kind == "end" else None
    agent = start()
    server.until(lambda: "end" in server.kinds())
    agent.signal(15)
    assert agent.ends(20) == 0 and "off" not in server.kinds()
    server.fault = lambda call: None
    assert start("--once").ends() == 0
    assert (job.status, job.result) == (4, 42)


@pytest.mark.parametrize("verdict", [404, 409])
def test_a_report_refused_for_good_is_dropped(
    server: FakeServer, start: StartAgent, mark: Path, work: Path, verdict: int
) -> None:
    server.add(SCRIPT.format(mark=str(mark)))
    server.fault = lambda call: verdict if call.kind == "end" else None
    agent = start("--once")
    assert agent.ends() == 0
    assert server.kinds().count("end") == 1 and not list((work / "outbox").iterdir())
    assert "refused its report" in agent.output


def test_a_result_that_the_server_will_not_take_becomes_a_failure(
    server: FakeServer, start: StartAgent, mark: Path
) -> None:
    job = server.add(SCRIPT.format(mark=str(mark)))
    server.fault = lambda call: 413 if "result" in call.form else None
    assert start("--once").ends() == 0
    assert job.status == 5 and "did not take the result" in job.fields["error"]


def test_a_disk_that_takes_no_report_does_not_lose_the_run(
    server: FakeServer, start: StartAgent, mark: Path, work: Path
) -> None:
    job = server.add(SCRIPT.format(mark=str(mark)))
    (work / "outbox" / f"{job.guid}.part").mkdir(parents=True)  # nothing can be written there
    agent = start("--once")
    assert agent.ends() == 0
    assert (job.status, job.result) == (4, 42) and "cannot be kept on disk" in agent.output


@pytest.mark.parametrize("blocked", ["runs", "packages"])
def test_a_machine_that_cannot_run_the_script_says_so(
    server: FakeServer, start: StartAgent, mark: Path, work: Path, blocked: str
) -> None:
    job = server.add(SCRIPT.format(mark=str(mark)))

    def block(call: Call) -> None:
        if call.kind == "begin":
            shutil.rmtree(work / blocked)
            (work / blocked).write_text("a file where a folder was")

    server.fault = block
    agent = start("--once")
    assert agent.ends() == 0
    assert job.status == 5 and "this machine could not run the script" in job.fields["error"]
    assert not mark.exists() and "Traceback" not in agent.output


def test_a_job_reaches_a_waiting_robot_at_once(server: FakeServer, start: StartAgent, mark: Path) -> None:
    agent = start()
    server.until(lambda: server.calls)
    assert server.calls[0].form["Wait"] == "50"
    with within(3):
        job = server.add(SCRIPT.format(mark=str(mark)))
        server.until(lambda: job.status == 4)
    server.until(lambda: server.kinds()[-1] == "ready")
    assert agent.process.poll() is None


def test_a_server_that_cannot_hold_the_wait_is_not_hammered(server: FakeServer, start: StartAgent) -> None:
    server.holds = False
    start(BOTSWAIN_HEARTBEAT_SECONDS="0.3")
    server.until(lambda: len(server.calls) >= 5)
    assert server.calls[4].at - server.calls[0].at >= 4 * 0.3


def test_a_job_announced_and_never_given_is_not_hammered(
    server: FakeServer, start: StartAgent, mark: Path
) -> None:
    job = server.add(SCRIPT.format(mark=str(mark)))
    server.fault = lambda call: 409 if call.kind == "begin" else None
    agent = start()
    server.until(lambda: server.kinds().count("begin") >= 5)
    began = [call.at for call in server.calls if call.kind == "begin"]
    assert began[4] - began[0] > 0.15  # four waits of up to 0.5, 1, 2 and 4 s; without them, a few ms
    assert job.begun == 0 and agent.process.poll() is None


def test_a_package_spoiled_on_disk_is_fetched_again(
    server: FakeServer, start: StartAgent, mark: Path, work: Path
) -> None:
    job = server.add(SCRIPT.format(mark=str(mark)))
    assert start("--once").ends() == 0
    cached = work / "packages" / job.sha256 / "files" / "job.py"
    cached.write_text("raise SystemExit(9)")
    second = server.add(SCRIPT.format(mark=str(mark)))
    assert start("--once").ends() == 0
    assert second.status == 4 and server.kinds().count("package") == 2


def test_an_unreadable_report_of_the_past_is_in_nobodys_way(
    server: FakeServer, start: StartAgent, work: Path, mark: Path
) -> None:
    (work / "outbox").mkdir(parents=True)
    (work / "outbox" / "x.json").write_text('{"guid": ')
    job = server.add(SCRIPT.format(mark=str(mark)))
    assert start("--once").ends() == 0 and job.status == 4
    assert [path.name for path in (work / "outbox").iterdir()] == ["x.unreadable"]


def test_it_works_through_a_proxy(server: FakeServer, start: StartAgent, mark: Path) -> None:
    job = server.add(SCRIPT.format(mark=str(mark)))
    job.url = f"http://botswain.invalid:4500/packages/{job.sha256}"
    agent = start("--once", at="http://botswain.invalid:4500", http_proxy=server.url)
    assert agent.ends() == 0 and job.status == 4


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_it_trusts_a_private_authority_when_told_to(
    server: FakeServer, start: StartAgent, mark: Path, tmp_path: Path
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "ca.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=here"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    server.down()
    server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.tls.load_cert_chain(certificate, key)
    server.up()
    job = server.add(SCRIPT.format(mark=str(mark)))
    doubting = start()
    while "certificate verify failed" not in doubting.output:
        assert doubting.process.poll() is None
        time.sleep(0.02)
    doubting.kill()
    trusting = start("--ca", str(certificate))
    server.until(lambda: job.status == 4)
    server.until(lambda: server.kinds()[-1] == "ready")
    trusting.signal(15)
    assert trusting.ends(30) == 0  # a wait of 50 s over TLS can be cut short as well
