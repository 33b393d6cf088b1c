"""The small decisions: how a run ended, how long to wait, what may be said instead, what is never said."""

import signal

import pytest

from workers.robot.backoff import Backoff
from workers.robot.outbox import Report
from workers.robot.protocol import authorization
from workers.robot.verdict import Ending, describe, status_of
from workers.robot.voice import Voice

ABORTED, SUCCESS, FAILED, STOPPED = 3, 4, 5, 7


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        (Ending(0), SUCCESS),
        (Ending(1), FAILED),
        (Ending(-signal.SIGTERM), FAILED),  # nobody asked
        (Ending(1, said_stopped=True), FAILED),  # nobody asked
        (Ending(0, has_result=True), SUCCESS),
        (Ending(0, stop_asked=True), STOPPED),
        (Ending(0, stop_asked=True, has_result=True), SUCCESS),
        (Ending(1, stop_asked=True), FAILED),
        (Ending(1, stop_asked=True, said_stopped=True), STOPPED),
        (Ending(1, stop_asked=True, has_result=True), FAILED),
        (Ending(-signal.SIGTERM, stop_asked=True), STOPPED),
        (Ending(-signal.SIGINT, stop_asked=True), STOPPED),
        (Ending(143, stop_asked=True), STOPPED),
        (Ending(0xC000013A, stop_asked=True), STOPPED),
        (Ending(-signal.SIGSEGV, stop_asked=True), FAILED),
        (Ending(-9, killed=True), ABORTED),
        (Ending(0, stop_asked=True, killed=True, has_result=True), ABORTED),
    ],
)
def test_how_a_run_ended(ending: Ending, status: int) -> None:
    assert status_of(ending) == status


@pytest.mark.parametrize(("code", "words"), [(3, "exit code 3"), (-11, "SIGSEGV"), (-99, "signal 99")])
def test_an_exit_code_in_words(code: int, words: str) -> None:
    assert words in describe(code)


def test_waits_grow_to_a_cap_and_start_anew_after_an_answer() -> None:
    backoff = Backoff(cap=30, uniform=lambda low, high: high)
    assert [backoff.next() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    backoff.reset()
    assert backoff.next() == 0.5


def test_jitter_is_full() -> None:
    assert {Backoff(uniform=lambda low, high: low).next() for _ in range(3)} == {0}


def test_what_the_server_orders_is_a_floor_with_a_limit() -> None:
    backoff = Backoff(uniform=lambda low, high: low)
    assert backoff.next(7) == 7 and backoff.next(10**9) == 300


@pytest.mark.parametrize(
    ("said", "holds", "instead"),
    [(7, 2, 3), (3, 6, 7), (4, 2, None), (4, 5, None), (7, 5, None), (3, 3, None), (5, None, None)],
)
def test_what_is_said_when_the_job_has_moved_on(said: int, holds: int | None, instead: int | None) -> None:
    other = Report("g", said, result="1").instead(holds)
    assert (other and other.status) == instead


def test_a_report_without_its_result_is_a_failure() -> None:
    less = Report("g", 4, result="1", fence=2).reduced("413")
    assert less is not None
    assert less == Report("g", 5, error="the server did not take the result: 413", fence=2)
    least = less.reduced("400")
    assert least is not None
    assert least.error == "the server did not take the error's text: 400" and least.reduced("400") is None
    assert Report("g", 4).reduced("400") is None


def test_no_secret_is_ever_said(capsys: pytest.CaptureFixture[str]) -> None:
    guid = "da8bc2f0-8065-4385-b867-405e66b8e151"
    Voice(guid, "", "aGk=").say(f"{guid.upper()} {guid} aGk= fine")
    said = capsys.readouterr().err
    assert guid not in said.lower() and "aGk=" not in said and said.endswith("*** *** *** fine\n")


def test_the_basic_header_holds_the_guid_alone_or_with_the_secret() -> None:
    assert authorization("abc") == "Basic YWJj"
    assert authorization("abc", "d") == "Basic YWJjOmQ="
