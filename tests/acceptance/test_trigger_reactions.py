"""How soon a trigger reacts, over HTTP and with real processes: from the event to the job's creation."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.acceptance.cluster.cluster import Cluster
from tests.acceptance.cluster.robot import SUCCESS
from tests.acceptance.cluster.waiting import eventually

EVENTS = 12
LIMIT_SECONDS = 2.0


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def p95(seconds: list[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.95) - 1]


def jobs_of(cluster: Cluster, trigger: str) -> list[str]:
    """GUIDs of the jobs that it created, in order."""
    firings = list(cluster.api.every(f"/triggers/{trigger}/firings"))
    return [guid for firing in reversed(firings) for guid in firing["jobs"]]


def reactions(cluster: Cluster, trigger: str, events: list[str]) -> list[float]:
    """Seconds from the k-th event to the k-th job, by the database's clock."""
    guids = eventually(
        lambda: found if len(found := jobs_of(cluster, trigger)) >= len(events) else None, "all reacted"
    )
    assert len(guids) == len(events)
    created = sorted(moment(cluster.api.job(guid)["created_at"]) for guid in guids)
    seconds = [(at - moment(event)).total_seconds() for event, at in zip(events, created, strict=True)]
    print(f"{trigger}: p50 {sorted(seconds)[len(seconds) // 2]:.3f} s, p95 {p95(seconds):.3f} s")
    return seconds


def make_trigger(cluster: Cluster, process: str, name: str, kind: str, settings: Any) -> None:
    rule = {"name": name, "kind": kind, "process": process, "settings": settings, "group": "nobody"}
    cluster.api.post("/triggers", rule)


def test_a_queue_that_fills_up_is_seen_within_two_seconds(shared_cluster: Cluster, process: str) -> None:
    api = shared_cluster.api
    api.post("/queues", {"name": "reactions"})
    settings = {"queue": "reactions", "max_jobs": 100}
    make_trigger(shared_cluster, process, "by-queue", "queue", settings)
    events = []
    for number in range(EVENTS):
        events.append(api.post("/queues/reactions/resources", {"value": number})["created_at"])
        wanted = number + 1
        eventually(lambda wanted=wanted: len(jobs_of(shared_cluster, "by-queue")) == wanted, "it reacts")
    assert p95(reactions(shared_cluster, "by-queue", events)) < LIMIT_SECONDS
    api.post("/triggers/by-queue/disable")


def test_the_end_of_a_job_is_followed_within_two_seconds(shared_cluster: Cluster) -> None:
    api = shared_cluster.api
    watched, following = api.publish("watched"), api.publish("following")
    make_trigger(shared_cluster, following, "by-end", "job_end", {"process": watched})
    robot = shared_cluster.new_robot("of-the-watched")
    events = []
    for _ in range(EVENTS):
        api.ask_and_hand_out(watched, robot=robot.name)
        guid = robot.begin().guid
        assert robot.update(guid, SUCCESS).status_code == 200
        events.append(api.job(guid)["finished_at"])
    assert p95(reactions(shared_cluster, "by-end", events)) < LIMIT_SECONDS
    robot.close()
