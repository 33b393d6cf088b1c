"""What the commands read and say, without a server."""

import io
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import httpx
import pytest

from orchestrator.cli import cluster, display, jobs, publish
from orchestrator.cli.check import clock_problems
from orchestrator.cli.client import Client, sentence
from orchestrator.cli.command_line import COMMANDS, botswain
from orchestrator.cli.refusal import Refusal
from orchestrator.cli.run import Argument


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("n=3", ("n", 3)),
        ("name=Ana", ("name", "Ana")),
        ("on=true", ("on", True)),
        ("list=[1, 2]", ("list", [1, 2])),
        ('quoted="3"', ("quoted", "3")),
        ("empty=", ("empty", "")),
        ("formula=a=b", ("formula", "a=b")),
    ],
)
def test_an_argument_is_json_where_it_can_be(text: str, value: object) -> None:
    assert Argument().convert(text, None, None) == value


@pytest.mark.parametrize("text", ["", "=3", "name"])
def test_an_argument_needs_a_name_and_a_value(text: str) -> None:
    with pytest.raises(click.BadParameter, match="K=V"):
        Argument().convert(text, None, None)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_the_table_says(name: str) -> None:
    with click.Context(botswain) as ctx:
        command = botswain.get_command(ctx, name)
    assert command is not None
    assert command.name == name
    assert command.help


def problem(status: int, **document: Any) -> httpx.Response:
    return httpx.Response(status, json=document)


def test_a_problem_becomes_a_sentence_that_names_the_field() -> None:
    errors = [
        {"field": "0.priority", "message": "it must be at most 100"},
        {"field": "robot", "message": "?"},
    ]
    assert sentence(problem(400, detail="…", errors=errors)) == "0.priority: it must be at most 100\nrobot: ?"
    assert sentence(problem(409, title="Conflict", detail="It is running.")) == "It is running."
    assert sentence(problem(401, detail="Unknown.")) == "BOTSWAIN_TOKEN was not accepted: Unknown."
    assert sentence(httpx.Response(502, text="<html>")) == "the server answered 502 Bad Gateway"


def client(*answers: httpx.Response | Exception) -> tuple[Client, list[httpx.Request]]:
    given, seen = iter(answers), []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        one = next(given)
        if isinstance(one, Exception):
            raise one
        return one

    return Client(httpx.Client(base_url="http://here", transport=httpx.MockTransport(answer))), seen


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.cli.client.PAUSE_SECONDS", 0)


def test_a_request_is_sent_again_with_the_same_key() -> None:
    made, seen = client(httpx.ConnectError("away"), problem(503), problem(201, guid="g"))
    assert made.post("jobs", json={"process": "p"}) == {"guid": "g"}
    assert len({request.headers["Idempotency-Key"] for request in seen}) == 1
    assert {request.content for request in seen} == {b'{"process":"p"}'}


def test_a_server_that_stays_away_is_named() -> None:
    made, seen = client(*[httpx.ConnectError("Connection refused")] * 4)
    with pytest.raises(Refusal, match="http://here does not answer: Connection refused"):
        made.get("jobs")
    assert len(seen) == 4


def test_names_in_paths_are_quoted() -> None:
    made, seen = client(problem(404, detail="none"))
    assert made.find("processes", "a/b ?") is None
    assert seen[0].url.raw_path == b"/api/v1/processes/a%2Fb%20%3F"


def test_a_list_goes_over_pages_and_stops_at_the_limit() -> None:
    jobs = [{"id": number} for number in range(4)]
    pages = [problem(200, items=jobs[:2], next="c"), problem(200, items=jobs[2:], next="d")]
    made, seen = client(*pages)
    assert list(made.items("jobs", limit=3, state=None)) == jobs[:3]
    assert [dict(request.url.params) for request in seen] == [{"limit": "3"}, {"limit": "1", "cursor": "c"}]


def test_a_foreign_server_is_said() -> None:
    made, _ = client(httpx.Response(200, text="hello"))
    with pytest.raises(Refusal, match="is not Botswain"):
        made.get("jobs")


def test_control_characters_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    shown = display.table("error")
    shown.add_row("[bold]red\x1b[31m alert\x07")
    display.console().print(shown)
    assert "[bold]red\ufffd[31m alert\ufffd" in capsys.readouterr().out


def test_an_age_has_one_unit() -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    times = ["2026-03-01T11:59:58Z", "2026-03-01T11:58:00Z", "2026-03-01T09:00:00Z", "2026-02-01T12:00:00Z"]
    assert [display.age(time, now) for time in times] == ["2 s", "2 min", "3 h", "28 d"]
    assert display.age("2026-03-01T12:00:05Z", now) == "0 s"
    assert display.age(None, now) == ""


def test_partitions_are_shown_by_their_schedulers() -> None:
    nodes = [
        {"cluster_id": 1, "partitions": list(range(0, 63, 2)), "state": "up"},
        {"cluster_id": 12, "partitions": [1], "state": "lost"},
    ]
    assert cluster.strip(nodes).plain == "121" + "·1" * 30 + "·"
    found = {"nodes": nodes, "size": 3, "backlog": 7, "master": None}
    assert cluster.headline(found) == "1 of 3 schedulers up, 7 tasks in line, there is no master"


DUTY = {"error": None, "progress": None, "seconds": 0.1, "counts": {"moved": 500, "kept": 2}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "500 moved, 2 kept"),
        ({"error": "ValueError: no"}, "ValueError: no"),
        ({"progress": {"done": 7, "total": 20}, "seconds": None}, "7 of 20"),
        ({"progress": {"done": 7, "total": None}, "seconds": None}, "7 of ?"),
    ],
)
def test_a_duty_says_what_matters_of_it(changes: dict[str, object], said: str) -> None:
    assert cluster.said_of({**DUTY, **changes}) == said


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ({"is_open": True, "opens_at": None, "closes_at": "2026-03-29T04:00:00Z"}, "is open until 2026-03-"),
        ({"is_open": True, "opens_at": None, "closes_at": None}, "is always open"),
        ({"is_open": False, "opens_at": None, "closes_at": None}, "never opens"),
        (
            {"is_open": False, "opens_at": "2020-03-28T21:00:00Z", "closes_at": "2020-03-29T04:00:00Z"},
            "opens now, at 2020-03-",
        ),
    ],
)
def test_the_maintenance_window_is_said(window: dict[str, object], said: str) -> None:
    assert said in cluster.window_of(window)


def test_a_notice_names_who_says_so() -> None:
    notice = {"nodes": ["scheduler-1", "scheduler-2"], "sentence": "make room", "code": "disk_room"}
    assert cluster.warning(notice).plain == "! scheduler-1, scheduler-2: make room"
    assert cluster.warning({**notice, "nodes": []}).plain == "! make room"


def test_a_running_job_shows_how_far_it_is() -> None:
    assert jobs._state_of({"state": "In_Progress", "progress": 40}) == "In_Progress 40 %"
    assert jobs._state_of({"state": "Success", "progress": 100}) == "Success"


@pytest.mark.parametrize(("ahead", "said"), [(0.4, []), (-5, []), (61, ["61 s ahead"]), (-7, ["7 s behind"])])
def test_a_clock_that_is_wrong_is_said(ahead: float, said: list[str]) -> None:
    found = clock_problems(ahead)
    assert len(found) == len(said)
    assert all(one in problem for one, problem in zip(said, found, strict=True))


def test_the_same_folder_gives_the_same_package(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        for name in ("__main__.py", "part/rows.py", ".git/config", "__pycache__/x.pyc", "table.csv"):
            path = tmp_path / folder / "invoices" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
    (name, one), (_, two) = (publish.pack(tmp_path / folder / "invoices") for folder in ("one", "two"))
    assert name == "invoices.zip"
    assert one == two
    assert sorted(zipfile.ZipFile(io.BytesIO(one)).namelist()) == ["__main__.py", "part/rows.py", "table.csv"]


def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "passwords").symlink_to("/etc/passwd")
    for name, reason in (("notes.txt", "neither a .py"), ("empty", "no files"), ("linked", "is a link")):
        with pytest.raises(Refusal, match=reason):
            publish.pack(tmp_path / name)


def test_json_keeps_every_alphabet(capsys: pytest.CaptureFixture[str]) -> None:
    display.print_json({"name": "Нева"})
    out = capsys.readouterr().out
    assert "Нева" in out
    assert json.loads(out) == {"name": "Нева"}


def test_what_cannot_be_published_makes_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "from_environment", lambda: pytest.fail("the server was asked"))
    empty, wrong = tmp_path / "empty.py", tmp_path / "wrong.py"
    empty.write_text("")
    wrong.write_text("def f(:\n")
    for source, words in (
        (empty, "package: the file is empty"),
        (wrong, "package: the script cannot be parsed"),
    ):
        with pytest.raises(Refusal, match=words):
            botswain.main(["publish", str(source), "--process", "p"], standalone_mode=False)
