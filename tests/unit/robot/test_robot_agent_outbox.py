"""Reports on disk: kept whole, delivered in order, never somebody else's, never lost to a full disk."""

import errno
import json
import os
import threading
from pathlib import Path
from typing import Any, NoReturn

import pytest

from workers.robot.delivery import Delivery
from workers.robot.outbox import Outbox, Report
from workers.robot.protocol import Refused, Server
from workers.robot.transport import Unreachable
from workers.robot.voice import Voice


def report(number: int, **fields: Any) -> Report:
    return Report(f"00000000-0000-0000-0000-{number:012}", 4, **fields)


class Troubled(Server):
    """Answers job/update by a list of troubles, then with yes."""

    def __init__(self, *troubles: Exception) -> None:
        self.troubles = list(troubles)
        self.said: list[Report] = []

    def update(self, *report: Any, **_: Any) -> None:
        self.said.append(Report(*report))
        if self.troubles:
            raise self.troubles.pop(0)


def delivery(server: Troubled, box: Outbox, leaving: threading.Event | None = None) -> Delivery:
    return Delivery(server, box, Voice(), leaving or threading.Event())


def test_what_is_kept_is_there_after_a_restart_oldest_first(tmp_path: Path) -> None:
    kept = [report(2, result='{"счёт": 1}', progress=50, fence=7), report(1, error="x")]
    for one in kept:
        Outbox(tmp_path, "me").keep(one)
    os.utime(tmp_path / f"{kept[0].guid}.json", (1, 1))
    assert Outbox(tmp_path, "me").waiting() == kept


def test_another_robots_reports_are_left_for_it(tmp_path: Path) -> None:
    Outbox(tmp_path, "me").keep(report(1))
    assert Outbox(tmp_path, "you").waiting() == [] and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"robot": "me", "unknown": 1}', "null"])
def test_a_broken_file_is_put_aside(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    box = Outbox(tmp_path, "me")
    box.keep(report(1))
    assert box.waiting() == [report(1)] and (tmp_path / "x.unreadable").exists()


def full(*_: object) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_reports_directly_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], call: str
) -> None:
    monkeypatch.setattr(os, call, full)
    server = Troubled()
    assert delivery(server, Outbox(tmp_path, "me")).hand_over(report(1, result="1"))
    assert server.said == [report(1, result="1")]
    assert "cannot be kept on disk" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_report_is_on_disk_before_it_is_sent_and_gone_after_the_answer(tmp_path: Path) -> None:
    seen: list[int] = []

    class Looking(Troubled):
        def update(self, *report: Any, **_: Any) -> None:
            seen.append(json.loads(next(tmp_path.glob("*.json")).read_text())["status"])

    delivery(Looking(), Outbox(tmp_path, "me")).hand_over(report(1))
    assert seen == [4] and not list(tmp_path.iterdir())


def test_an_agent_that_must_leave_keeps_what_was_not_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving = threading.Event()
    leaving.set()
    monkeypatch.setattr("workers.robot.delivery.GRACE_KEPT", 0.0)
    server = Troubled(Unreachable("away"))
    assert not delivery(server, Outbox(tmp_path, "me"), leaving).hand_over(report(1))
    assert len(server.said) == 1 and Outbox(tmp_path, "me").waiting() == [report(1)]


def test_a_robot_that_is_not_let_in_keeps_its_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.robot.delivery.Backoff.next", lambda *_: 0)
    server = Troubled(Refused(401, "who?"), Refused(403, "no"))
    assert delivery(server, Outbox(tmp_path, "me")).hand_over(report(1))
    assert server.said == [report(1)] * 3


def test_refusals_do_not_go_round_in_circles(tmp_path: Path) -> None:
    server = Troubled(*(Refused(409, "no", status) for status in (2, 6, 2, 6, 2, 6, 2, 6)))
    assert delivery(server, Outbox(tmp_path, "me")).hand_over(Report(report(1).guid, 7))
    assert len(server.said) == 4 and not list(tmp_path.iterdir())
