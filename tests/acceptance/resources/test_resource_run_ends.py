"""However a run ends: its undated locks go at once, its unfinished work comes back, dated locks stay."""

from collections.abc import Callable

import pytest

from tests.acceptance.cluster import Cluster, eventually
from tests.acceptance.cluster.fixtures import NewCluster
from tests.acceptance.cluster.robot import ABORTED, FAILED, STOPPED, STOPPING_ORDER, SUCCESS, WORKING
from tests.acceptance.resources.actors import Person, Run, new_queue

LEASE = 5.0  # of the shared cluster; a dead robot's item is to come back within that and 2 s


def stop(run: Run, person: Person) -> None:
    person.post(f"/jobs/{run.job}/stop")
    eventually(lambda: run.robot.order(run.job) == STOPPING_ORDER, "the order to stop")
    run.end(STOPPED)


def abort(run: Run, person: Person) -> None:
    person.post(f"/jobs/{run.job}/abort")
    run.end(ABORTED)


ENDS: dict[str, Callable[[Run, Person], object]] = {
    "success": lambda run, _: run.end(SUCCESS),
    "failure": lambda run, _: run.end(FAILED),
    "stop": stop,
    "abort": abort,
    "an abort that nobody answers": lambda run, person: person.post(f"/jobs/{run.job}/abort"),
    "silence": lambda run, _: run.robot.beat(WORKING, run.job),
    "ready in mid-run": lambda run, _: run.robot.beat(),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_end_of_a_run_releases_undated_locks_only(
    person: Person, mortal: Run, other: Run, queue: str, end: str
) -> None:
    taken, undated, dated, both = person.create(queue, *({"value": n} for n in range(4)))
    assert mortal.taken(queue)["id"] == taken
    mortal.lock(undated)
    mortal.lock(dated, for_seconds=300)
    mortal.lock(both, "read", for_seconds=300)
    mortal.lock(both, "write")
    ENDS[end](mortal, person)

    def released() -> bool:
        return person.look(taken)["locks"]["read"] is None

    eventually(released, "the lock goes with the run", 15)
    assert person.look(undated)["locks"] == {"read": None, "write": None}
    assert person.look(dated)["locks"]["read"]["initiator"] == mortal.holder
    assert person.look(dated)["locks"]["write"]["initiator"] == mortal.holder
    kept = person.look(both)["locks"]
    assert kept["read"]["initiator"] == mortal.holder and kept["write"] is None
    again = other.taken(queue)
    assert (again["id"], again["attempt"], again["value"]) == (taken, 2, 0)
    assert other.finish(taken).status_code == 200
    late = mortal.finish(taken, result="late")
    assert (late.status_code, late.json()["code"]) == (409, "no_run")


def test_a_dead_robot_s_item_can_be_taken_within_its_lease_and_two_seconds(
    person: Person, mortal: Run, other: Run, queue: str
) -> None:
    (resource,) = person.create(queue, {})
    mortal.taken(queue)
    mortal.robot.beat(WORKING, mortal.job)  # the last sign of life
    answer = other.take(queue, wait_seconds=LEASE + 2)
    assert answer.status_code == 200 and answer.json()["id"] == resource
    other.finish(resource)


@pytest.mark.timeout(120)
def test_locks_outlive_a_power_cut_with_their_runs_and_go_with_them(new_cluster: NewCluster) -> None:
    cluster: Cluster = new_cluster().start()
    person, process = Person(cluster), cluster.api.publish("invoices")
    silent, working = (Run(cluster, process, cluster.new_robot()) for _ in range(2))
    queue = new_queue(person)
    first, second = person.create(queue, {}, {})
    assert silent.taken(queue)["id"] == first
    fence = working.taken(queue)["fence"]
    silent.robot.beat(WORKING, silent.job)
    cluster.kill()
    cluster.restart()
    assert person.look(second)["locks"]["read"]["initiator"] == working.holder
    assert working.finish(second, fence=fence, result="after the cut").status_code == 200
    assert working.take(queue, wait_seconds=30).json()["id"] == first
    assert [e["event"] for e in person.history(first)] == ["create", "take", "run_ended", "take"]


# Policy --------------------------------------------------------------------------------------------------


def test_a_lost_item_goes_back_until_its_attempts_are_used_up(person: Person, mortal: Run) -> None:
    queue = new_queue(person, max_attempts=2)
    (resource,) = person.create(queue, {})
    assert mortal.taken(queue)["attempt"] == 1
    mortal.end()
    later = mortal.next()
    assert later.taken(queue)["attempt"] == 2
    later.end(FAILED)
    lost = person.look(resource)
    assert (lost["status"], lost["error_kind"]) == ("Error", "application") and lost["error"]


def test_a_lost_item_is_an_error_where_the_queue_says_so(person: Person, mortal: Run) -> None:
    queue = new_queue(person, on_lost="error")
    (resource,) = person.create(queue, {})
    mortal.taken(queue)
    mortal.end()
    assert person.look(resource)["status"] == "Error"


@pytest.mark.parametrize("kind", ["business", "application"])
def test_each_kind_of_error_is_retried_where_the_queue_says_so(person: Person, one: Run, kind: str) -> None:
    for retried in (False, True):
        policy = {f"retry_{kind}_errors": retried, "max_attempts": 2}
        queue = new_queue(person, **policy)
        (resource,) = person.create(queue, {})
        one.taken(queue)
        answer = one.finish(resource, status="Error", error="no", error_kind=kind).json()
        assert (answer["status"], answer["error"], answer["error_kind"]) == (
            "New" if retried else "Error",
            "no",
            kind,
        )
        if retried:
            assert one.taken(queue)["attempt"] == 2
            assert one.finish(resource, status="Error", error_kind=kind).json()["status"] == "Error"


def test_the_delay_of_retries_grows(person: Person, one: Run) -> None:
    queue = new_queue(person, retry_application_errors=True, retry_delay_seconds=1, retry_backoff=1.5)
    (resource,) = person.create(queue, {})
    one.taken(queue)
    assert one.finish(resource, status="Error").json()["postpone_until"] is not None
    assert one.take(queue).status_code == 204
    assert one.take(queue, wait_seconds=10).json()["attempt"] == 2
    one.finish(resource)
