"""A job's way through a real agent: given, run, reported."""

import io
import json
import os
import zipfile
from pathlib import Path

import pytest

from tests.acceptance.robot.conftest import Call, FakeServer, StartAgent

EVERYTHING = """
import os, sys, json
from botswain import arguments, result, progress, should_stop, log, job, task
print("привет", arguments["кому"])
log("читаю счёт", номер=7)
for percent in (10, 55.5, 100):
    progress(percent, "шаг")
assert not should_stop()
result({
    "arguments": arguments, "job": job["GUID"], "task": task["Name"], "argv": sys.argv[1:],
    "environment": dict(os.environ), "cwd": os.getcwd(),
    "command": open("/proc/self/cmdline").read() if os.path.exists("/proc/self/cmdline") else "",
})
"""


def zipped(**files: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__dot__", ".").replace("__in__", "/"), text)
    return packed.getvalue()


def test_a_job_is_run_and_its_result_reported(
    server: FakeServer, start: StartAgent, work: Path, basic: str, guid: str
) -> None:
    job = server.add(EVERYTHING, parameters={"кому": "Ñandú"})
    agent = start("--once")
    assert agent.ends() == 0
    assert job.status == 4
    assert job.result["arguments"] == {"кому": "Ñandú"}
    assert job.result["job"] == job.guid and job.result["task"] == "Счёт" and job.result["argv"] == []
    kinds = [kind for kind in server.kinds() if kind not in ("working", "progress")]
    assert kinds == ["ready", "consume", "begin", "package", "end", "ready", "off"]
    assert all(call.authorization == basic for call in server.calls)
    assert "Wait" not in server.calls[0].form and server.calls[0].form["JobType"] == "1"
    run = work / "runs" / job.guid
    assert (run / "stdout.txt").read_text(encoding="utf-8").splitlines()[0] == "привет Ñandú"
    assert json.loads((run / "log.jsonl").read_text(encoding="utf-8"))["номер"] == 7
    assert job.progress[-1] == 100
    written = [path.read_bytes().lower() for path in work.rglob("*") if path.is_file()]
    assert not any(guid.encode() in content for content in written)
    assert guid not in agent.output.lower() and "Traceback" not in agent.output


def test_a_script_of_another_exit_code_fails_with_the_last_lines_of_its_stderr(
    server: FakeServer, start: StartAgent
) -> None:
    job = server.add(
        "import sys\nfor n in range(99): print('line', n, file=sys.stderr)\nraise ValueError('НДС')"
    )
    assert start("--once").ends() == 0
    assert job.status == 5
    assert job.fields["error"].startswith("the script ended with exit code 1\n")
    assert job.fields["error"].endswith("ValueError: НДС") and "line 98" in job.fields["error"]
    assert "line 50" not in job.fields["error"]


def test_a_script_that_dies_of_a_signal_nobody_asked_for_has_failed(
    server: FakeServer, start: StartAgent
) -> None:
    job = server.add("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)")
    assert start("--once").ends() == 0
    assert (job.status, job.fields["error"]) == (5, "the script was ended by SIGTERM")


def test_a_folder_package_runs_its_entry_with_its_own_modules(server: FakeServer, start: StartAgent) -> None:
    package = zipped(
        flows__in__main__dot__py="import side\nfrom flows import near\nimport botswain\n"
        "botswain.result(side.N + near.N)",
        flows__in__side__dot__py="N = 1",
        flows__in__near__dot__py="N = 2",
    )
    job = server.add(package, name="flows/main.py")
    again = server.add(package, name="flows/main.py")
    assert start("--once").ends() == 0
    assert (job.status, job.result, again.status) == (4, 3, 4)
    assert server.kinds().count("package") == 1


def test_arguments_that_are_no_object_arrive_as_they_are(server: FakeServer, start: StartAgent) -> None:
    job = server.add("from botswain import arguments, result\nresult(arguments)", parameters=["a", 1])
    none = server.add("from botswain import arguments, result\nresult(arguments)")
    assert start("--once").ends() == 0
    assert (job.result, none.result) == (["a", 1], {})


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("from botswain import result\nresult('x' * 2**20)", "the limit is 1048576"),
        ("from botswain import result\nresult({1, 2})", "not JSON serializable"),
        ("from botswain import result\nresult(float('nan'))", "not JSON compliant"),
        (
            "import os\nopen(os.environ['BOTSWAIN_RUN_FOLDER'] + '/result.json', 'w').write('{')",
            "not readable as JSON",
        ),
        (
            "import os\nopen(os.environ['BOTSWAIN_RUN_FOLDER'] + '/result.json', 'w').write('1' * 2**21)",
            "1048576",
        ),
    ],
)
def test_a_result_that_cannot_be_handed_over_is_a_failure_that_says_why(
    server: FakeServer, start: StartAgent, source: str, words: str
) -> None:
    job = server.add(source)
    assert start("--once").ends() == 0
    assert job.status == 5 and words in job.fields["error"]


def test_the_robots_identity_is_not_where_its_script_looks(
    server: FakeServer, start: StartAgent, guid: str
) -> None:
    job = server.add(EVERYTHING, parameters={"кому": ""})
    assert start("--once", BOTSWAIN_ROBOT_SECRET="hush-hush").ends() == 0
    seen = json.dumps(job.result).lower()
    assert guid not in seen and "hush-hush" not in seen


def test_the_stronger_form_of_authentication_carries_the_secret(
    server: FakeServer, start: StartAgent, guid: str
) -> None:
    assert start("--once", BOTSWAIN_ROBOT_SECRET="hush").ends() == 0
    import base64

    assert base64.b64decode(server.calls[0].authorization.split()[1]).decode() == f"{guid}:hush"


def test_a_second_attempt_has_a_folder_of_its_own_and_old_runs_go(
    server: FakeServer, start: StartAgent, work: Path
) -> None:
    job = server.add("print(1)")
    (work / "runs" / job.guid).mkdir(parents=True)
    for number in range(60):
        (work / "runs" / f"old{number}").mkdir()
        os.utime(work / "runs" / f"old{number}", (number, number))
    assert start("--once").ends() == 0
    assert job.status == 4
    left = {path.name for path in (work / "runs").iterdir()}
    assert len(left) == 50 and f"{job.guid}-2" in left and "old59" in left and "old5" not in left


@pytest.mark.parametrize("answer", [404, 409])
def test_a_job_that_may_not_begin_is_not_run(
    server: FakeServer, start: StartAgent, tmp_path: Path, answer: int
) -> None:
    mark = tmp_path / "ran"
    job = server.add(f"open({str(mark)!r}, 'w')")

    def gone(call: Call) -> int | None:
        if call.kind == "begin":
            job.status = 7
            return answer
        return None

    server.fault = gone
    assert start("--once").ends() == 0
    assert not mark.exists() and "end" not in server.kinds()


def test_a_package_of_another_digest_is_not_run(
    server: FakeServer, start: StartAgent, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    job = server.add(f"open({str(mark)!r}, 'w')", sha256="0" * 64)
    assert start("--once").ends() == 0
    assert job.begun == 1 and job.status == 5 and "SHA-256" in job.fields["error"] and not mark.exists()


def test_a_harmful_archive_touches_nothing_and_says_why(
    server: FakeServer, start: StartAgent, work: Path
) -> None:
    job = server.add(
        zipped(**{"../../evil__dot__py": "1", "__main____dot__py": "print(1)"}), name="__main__.py"
    )
    assert start("--once").ends() == 0
    assert job.status == 5 and "leaves its folder" in job.fields["error"]
    assert not list(work.rglob("evil.py")) and not list((work / "packages").iterdir())


def test_a_package_that_is_gone_fails_the_run_at_once(server: FakeServer, start: StartAgent) -> None:
    job = server.add("print(1)")
    server.fault = lambda call: 404 if call.kind == "package" else None
    assert start("--once").ends() == 0
    assert job.status == 5 and "the server answered 404" in job.fields["error"]


def test_another_origin_is_not_told_who_the_robot_is(server: FakeServer, start: StartAgent) -> None:
    job = server.add("print(1)")
    job.url = f"{server.url.replace('127.0.0.1', 'localhost')}/packages/{job.sha256}"
    assert start("--once").ends() == 0
    package = next(call for call in server.calls if call.kind == "package")
    assert package.authorization == "" and job.status == 5


def test_a_second_agent_does_not_share_a_work_folder(server: FakeServer, start: StartAgent) -> None:
    start()
    server.until(lambda: server.calls)
    second = start("--once")
    assert second.ends() == 2 and "--work-dir" in second.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--guid", "nobody"], "must be the robot's GUID"),
        (["--server", "ftp://x"], "must be like http://host:4500"),
        (["--server", "http://me:pass@x"], "must be like http://host:4500"),
        (["--ca", "missing.pem"], "cannot be used as a CA"),
    ],
)
def test_a_mistake_in_the_command_is_named(start: StartAgent, options: list[str], words: str) -> None:
    agent = start("--once", *options)
    assert agent.ends() == 2 and words in agent.output and "Traceback" not in agent.output


def test_a_robot_that_the_server_does_not_know_says_so(
    server: FakeServer, start: StartAgent, guid: str
) -> None:
    server.known = False
    agent = start("--once")
    assert agent.ends() == 1 and "does not accept this robot" in agent.output and guid not in agent.output


def test_a_work_folder_that_cannot_be_made_is_named(
    server: FakeServer, start: StartAgent, work: Path
) -> None:
    work.write_text("a file")
    agent = start("--once")
    assert agent.ends() == 2 and "cannot be used" in agent.output and "Traceback" not in agent.output
    assert Path(work).is_file()
