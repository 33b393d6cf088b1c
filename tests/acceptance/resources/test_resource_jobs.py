"""A job for a resource, and a resource put back by its run, over HTTP."""

from datetime import UTC, datetime, timedelta

from tests.acceptance.cluster import Cluster
from tests.acceptance.cluster.robot import FAILED, IN_PROGRESS, SUCCESS
from tests.acceptance.resources.actors import Person, Run


def test_the_resource_is_the_task_and_ends_with_the_job(
    shared_cluster: Cluster, process: str, person: Person, other: Run, queue: str
) -> None:
    good, bad = person.create(
        queue, {"value": [1], "reference": "INV-7", "parameters": {"page": 2}}, {"value": 2}
    )
    robot = shared_cluster.new_robot()
    for resource, end, status in ((good, SUCCESS, "Processed"), (bad, FAILED, "Error")):
        job = shared_cluster.api.ask_and_hand_out(
            process, robot=robot.name, resource=resource, arguments={"mode": "fast"}
        )
        assert person.send("GET", f"/jobs/{job}").json()["resource"] == resource
        task = robot.take().task
        assert task["GUID"] == resource
        assert task["QueueGUID"] == person.send("GET", f"/queues/{queue}").json()["id"]
        if resource == good:
            assert task["Name"] == "INV-7"
            assert task["Parameters"] == {"mode": "fast", "page": 2, "value": [1]}
        now = person.look(resource)
        assert (now["status"], now["locks"]["read"]["initiator"]) == (
            "InProgress",
            {"kind": "run", "id": job},
        )
        assert resource not in other.search(queue)
        assert robot.update(job, IN_PROGRESS).status_code == 200
        assert robot.update(job, end, result='{"sum": 5}', error="no file").status_code == 200
        now = person.look(resource)
        assert (now["status"], now["locks"]["read"]) == (status, None)
    assert person.look(good)["result"] == {"sum": 5}
    assert (person.look(bad)["error"], person.look(bad)["error_kind"]) == ("no file", "application")


def test_a_job_for_what_is_not_there_is_refused_and_names_the_field(process: str, person: Person) -> None:
    answer = person.post("/jobs", process=process, resource="nobody")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "resource")


def test_a_run_postpones_what_it_has_taken_and_another_gets_it_when_it_is_due(
    person: Person, one: Run, other: Run, queue: str
) -> None:
    (resource,) = person.create(queue, {"value": 1})
    fence = one.taken(queue)["fence"]
    assert other.post(f"/resources/{resource}/postpone", for_seconds=1).status_code == 409
    assert one.post(f"/resources/{resource}/postpone", for_seconds=1, fence=fence - 1).status_code == 409
    assert one.post(f"/resources/{resource}/postpone").status_code == 400
    answer = one.post(f"/resources/{resource}/postpone", for_seconds=1.5, fence=fence).json()
    assert (answer["status"], answer["locks"]["read"]) == ("New", None)
    assert timedelta(0) < datetime.fromisoformat(answer["postpone_until"]) - datetime.now(UTC)
    assert other.take(queue).status_code == 204
    assert other.taken(queue, wait_seconds=20)["id"] == resource
    assert other.finish(resource).status_code == 200
