"""The table of locks, row by row: a run, another robot's run, the same robot's next run, and a person."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.cluster import eventually
from tests.acceptance.resources.actors import Caller, Person, Run, in_line
from tests.deadlines import STARVED, within

EVERY_LOCK = ["read", "write", "both"]


def refusal(answer: Any, holder: Run, lock: str) -> dict[str, Any]:
    """The 409 that names the holder and the date."""
    assert answer.status_code == 409, answer.text
    body = dict(answer.json())
    assert (body["code"], body["lock"], body["holder"]) == ("locked", lock, holder.holder), body
    assert "until" in body and holder.job in body["detail"]
    return body


@pytest.fixture
def resource(person: Person, queue: str) -> str:
    (made,) = person.create(queue, {"value": "old", "parameters": {"region": "ES"}, "tags": ["urgent"]})
    return made


# Others, searching by condition --------------------------------------------------------------------------


@pytest.mark.parametrize("lock", ["read", "both"])
def test_a_read_lock_hides_from_others_who_search(
    person: Person, one: Run, other: Run, queue: str, resource: str, lock: str
) -> None:
    assert one.lock(resource, lock).status_code == 200
    condition = '{"parameters.region": "ES"}'
    assert other.search(queue) == other.search(queue, where=condition) == []
    assert other.take(queue, lock="none").status_code == 204
    assert other.take(queue, lock="read", where={"tags": ["urgent"]}).status_code == 204
    assert one.search(queue) == person.search(queue) == [resource]
    assert one.unlock(resource).status_code == 200
    assert other.search(queue) == [resource]


def test_a_write_lock_lets_others_find_and_read(one: Run, other: Run, queue: str, resource: str) -> None:
    assert one.lock(resource, "write").status_code == 200
    assert other.search(queue, where='{"parameters.region": "ES"}') == [resource]
    seen = other.taken(queue, lock="none")
    assert (seen["id"], seen["value"], seen["parameters"]) == (resource, "old", {"region": "ES"})
    assert seen["locks"]["write"]["initiator"] == one.holder and seen["locks"]["read"] is None
    assert other.take(queue, lock="write").status_code == 204  # found, but not to be had for this


# Others, by id -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lock", ["read", "both"])
def test_others_wait_for_the_read_lock_to_read_by_id(
    one: Run, other: Run, queue: str, resource: str, lock: str
) -> None:
    one.lock(resource, lock)
    refusal(other.read(resource), one, "read")
    waiter = in_line(other, resource, lambda: other.read(resource, wait_seconds=50))
    one.unlock(resource)
    answer = waiter.result()
    assert (answer.status_code, answer.json()["value"]) == (200, "old")


def test_others_read_by_id_through_a_write_lock(one: Run, other: Run, queue: str, resource: str) -> None:
    one.lock(resource, "write")
    assert other.read(resource).json()["value"] == "old"


def test_a_read_lock_stops_no_change(one: Run, other: Run, queue: str, resource: str) -> None:
    one.lock(resource, "read")
    assert other.change(resource, {"value": "changed"}).status_code == 200
    assert one.read(resource).json()["value"] == "changed"


CHANGES = {
    "change": lambda who, resource, **wait: who.change(resource, {"value": "late"}, **wait),
    "finish": lambda who, resource, **wait: who.finish(resource, **wait),
    "delete": lambda who, resource, **wait: who.delete(resource, **wait),
    "lock": lambda who, resource, **wait: who.lock(resource, "write", **wait),
}


@pytest.mark.parametrize("verb", CHANGES)
@pytest.mark.parametrize("lock", ["write", "both"])
def test_others_wait_for_the_write_lock_to_change(
    person: Person, one: Run, other: Run, queue: str, resource: str, lock: str, verb: str
) -> None:
    one.lock(resource, lock)
    before = person.look(resource)
    refusal(CHANGES[verb](other, resource), one, "write")
    refusal(CHANGES[verb](other, resource, wait_seconds=0.3), one, "write")
    assert person.look(resource) == before
    waiter = in_line(other, resource, lambda: CHANGES[verb](other, resource, wait_seconds=50))
    one.unlock(resource)
    assert waiter.result().status_code in (200, 204)


def test_a_wait_that_ran_out_names_holder_and_date(one: Run, other: Run, queue: str, resource: str) -> None:
    one.lock(resource, "both", for_seconds=60)
    begun = time.monotonic()
    with within(3):
        body = refusal(other.change(resource, wait_seconds=1), one, "write")
    assert time.monotonic() - begun >= 0.9
    left = datetime.fromisoformat(body["until"]) - datetime.now(UTC)
    assert timedelta(seconds=30) < left < timedelta(seconds=61)


# The initiator, and persons ------------------------------------------------------------------------------


@pytest.mark.parametrize("lock", EVERY_LOCK)
def test_a_lock_does_not_bind_its_initiator(one: Run, queue: str, resource: str, lock: str) -> None:
    one.lock(resource, lock)
    assert one.search(queue) == [resource]
    assert one.read(resource).status_code == 200
    assert one.change(resource, {"value": 2}).json()["value"] == 2
    assert one.lock(resource, "both", for_seconds=60).status_code == 200
    assert one.finish(resource).json()["locks"] == {"read": None, "write": None}


@pytest.mark.parametrize("lock", EVERY_LOCK)
def test_a_lock_does_not_bind_a_person(
    person: Person, one: Run, other: Run, queue: str, resource: str, lock: str
) -> None:
    one.lock(resource, lock)
    assert person.search(queue) == [resource]
    assert person.read(resource).json()["value"] == "old"
    assert person.change(resource, {"value": 3, "status": "Error"}).json()["status"] == "Error"
    assert person.unlock(resource).json()["locks"] == {"read": None, "write": None}
    assert other.lock(resource).status_code == 200


def test_a_person_who_changes_or_clears_the_date_becomes_initiator(
    person: Person, one: Run, queue: str, resource: str
) -> None:
    fence = one.lock(resource, "both", for_seconds=100).json()["fence"]
    for body in ({"for_seconds": 50}, {}):
        lock = person.lock(resource, "write", **body).json()["locks"]["write"]
        assert lock["initiator"]["kind"] == "person"
        assert (lock["until"] is None) == (not body)
        answer = one.change(resource)
        assert (answer.status_code, answer.json()["holder"]["kind"]) == (409, "person")
    # The read lock is still the run's: two locks, two initiators.
    locks = person.look(resource)["locks"]
    assert locks["read"]["initiator"] == one.holder and locks["write"]["initiator"]["kind"] == "person"
    assert one.unlock(resource, "read").json()["locks"]["read"] is None
    assert one.unlock(resource, "write").status_code == 409
    assert locks["write"]["fence"] > fence


def test_persons_set_any_status_in_any_order_and_robots_none(
    person: Person, one: Run, queue: str, resource: str
) -> None:
    names = ["New", "InProgress", "Processed", "Error"]
    for name in [*names, *reversed(names), "Processed", "InProgress", "New", "Error", "InProgress"]:
        assert person.change(resource, {"status": name}).json()["status"] == name
    assert one.change(resource, {"status": "New"}).status_code == 403


# Initiators ----------------------------------------------------------------------------------------------


def test_both_locks_can_have_different_initiators(
    person: Person, one: Run, other: Run, queue: str, resource: str
) -> None:
    one.lock(resource, "read")
    assert other.lock(resource, "write").status_code == 200
    locks = person.look(resource)["locks"]
    assert locks["read"]["initiator"] == one.holder and locks["write"]["initiator"] == other.holder
    refusal(one.change(resource), other, "write")
    refusal(other.read(resource), one, "read")
    assert other.change(resource).status_code == 200
    refusal(one.lock(resource, "both"), other, "write")
    refusal(other.lock(resource, "both"), one, "read")


@pytest.mark.parametrize("lock", EVERY_LOCK)
def test_only_the_initiator_or_a_person_lifts_a_lock(
    person: Person, one: Run, other: Run, queue: str, resource: str, lock: str
) -> None:
    one.lock(resource, lock, for_seconds=60)
    before = person.look(resource)["locks"]
    refusal(other.unlock(resource), one, "write" if lock == "write" else "read")
    assert person.look(resource)["locks"] == before
    lifter: Caller = person if lock == "both" else one
    assert lifter.unlock(resource).json()["locks"] == {"read": None, "write": None}


def test_the_initiator_is_the_run_and_not_the_robot(
    person: Person, mortal: Run, queue: str, resource: str
) -> None:
    mortal.lock(resource, "both", for_seconds=300)
    mortal.end()
    later = mortal.next()
    refusal(later.change(resource), mortal, "write")
    refusal(later.unlock(resource), mortal, "read")
    assert later.search(queue) == []
    answer = mortal.change(resource)  # the ended run itself
    assert (answer.status_code, answer.json()["code"]) == (409, "no_run")
    person.unlock(resource)
    assert later.change(resource).status_code == 200


# Dates ---------------------------------------------------------------------------------------------------


def test_a_dated_lock_goes_to_the_second_with_nobody_asking(
    person: Person, one: Run, other: Run, queue: str, resource: str
) -> None:
    until = datetime.now(UTC) + timedelta(seconds=2)
    assert one.lock(resource, "both", until=until.isoformat()).status_code == 200

    def expired() -> Any:  # the history, which asks for no lock
        return next((e for e in person.history(resource) if e["event"] == "lock_expired"), None)

    late = datetime.fromisoformat(eventually(expired, "the lock expires", 10)["at"]) - until
    assert timedelta(0) <= late < timedelta(seconds=2) * STARVED
    assert other.change(resource).status_code == 200


def test_who_waits_for_a_dated_lock_has_it_at_that_second(
    one: Run, other: Run, queue: str, resource: str
) -> None:
    until = datetime.now(UTC) + timedelta(seconds=2)
    one.lock(resource, "both", until=until.isoformat())
    assert other.lock(resource, "both", wait_seconds=10).status_code == 200
    assert timedelta(0) <= datetime.now(UTC) - until < timedelta(seconds=2) * STARVED


def test_the_initiator_changes_the_date_by_locking_again(one: Run, queue: str, resource: str) -> None:
    first = one.lock(resource, "read", for_seconds=5).json()["locks"]["read"]
    second = one.lock(resource, "read", for_seconds=500).json()["locks"]["read"]
    assert second["until"] > first["until"]
    assert one.lock(resource, "read").json()["locks"]["read"]["until"] is None


# Fences --------------------------------------------------------------------------------------------------


def test_a_writer_that_slept_through_the_end_of_its_lock_is_refused(
    person: Person, one: Run, other: Run, queue: str, resource: str
) -> None:
    stale = one.lock(resource, "both", for_seconds=0.5).json()["fence"]
    fresh = other.lock(resource, "both", wait_seconds=10).json()["fence"]
    assert fresh > stale
    assert other.unlock(resource).status_code == 200  # nothing stands in its way any more but the fence
    for answer in (
        one.change(resource, fence=stale),
        one.finish(resource, fence=stale),
        one.delete(resource, fence=stale),
        one.lock(resource, fence=stale),
        one.unlock(resource, fence=stale),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "stale_fence"), answer.text
    assert person.look(resource)["value"] == "old"
    assert [e["detail"]["code"] for e in person.history(resource) if e["event"] == "refused"] == [
        "stale_fence"
    ] * 5


def test_refused_writes_are_in_the_history_and_change_nothing(
    person: Person, one: Run, other: Run, queue: str, resource: str
) -> None:
    one.lock(resource)
    before = person.look(resource)
    other.change(resource)
    other.finish(resource)
    other.unlock(resource)
    assert person.look(resource) == before
    told = [e for e in person.history(resource) if e["event"] == "refused"]
    operations = ["change_resource", "finish_resource", "unlock_resource"]
    assert [e["detail"]["operation"] for e in told] == operations
    assert {e["run"] for e in told} == {other.job}
