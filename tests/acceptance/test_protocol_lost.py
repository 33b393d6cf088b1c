"""Robots that fall silent, begin anew in mid-job or do not stop; the shared cluster's times are short."""

import time
from secrets import token_hex

from tests.acceptance.cluster import Cluster, eventually
from tests.acceptance.cluster.fixtures import NewCluster
from tests.acceptance.cluster.robot import (
    ABORTED,
    ABORTING_ORDER,
    FAILED,
    IN_PROGRESS,
    SUCCESS,
    WORKING,
)

PENDING, ABORTING = 1, 2
LEASE = 10.0  # of those who beat: a busy machine may keep them from it for seconds


def test_a_silent_robot_is_found_out_and_one_that_beats_is_not(new_cluster: NewCluster) -> None:
    cluster = new_cluster(BOTSWAIN_RUN_LEASE_SECONDS=str(LEASE)).start()
    api, process = cluster.api, cluster.api.publish("invoices")
    silent, mute, *beating = (cluster.new_robot() for _ in range(5))
    jobs = {robot: api.ask_and_hand_out(process, robot=robot.name) for robot in (silent, mute, *beating)}
    for robot in jobs:
        robot.begin()
    for robot in (silent, *beating):
        assert robot.order(jobs[robot]) == 0

    begun = time.monotonic()

    def found_out() -> bool:
        """And those that beat were watched for longer than the lease."""
        assert [robot.order(jobs[robot]) for robot in beating] == [0] * len(beating)
        found = api.job(jobs[silent])["status"] != IN_PROGRESS
        return bool(found and time.monotonic() - begun > 1.2 * LEASE)

    eventually(found_out, "the silent robot is found out", every=0.5)
    lost = api.job(jobs[silent])
    assert lost["status"] == FAILED and lost["reason"], lost
    assert api.history(jobs[silent])[-1]["reason"]
    assert {api.job(jobs[robot])["status"] for robot in beating} == {IN_PROGRESS}
    # Heartbeats in mid-job are optional: one that never sent any has only its time limit.
    assert api.job(jobs[mute])["status"] == IN_PROGRESS
    eventually(lambda: api.get(f"/robots/{silent.name}")["status"] == 0, "the robot is shown as Disconnected")

    late = silent.update(jobs[silent], SUCCESS, result='"late"')
    assert (late.status_code, late.json()["status"]) == (409, FAILED)
    assert api.job(jobs[silent]) == lost
    for robot in (mute, *beating):
        assert robot.update(jobs[robot], SUCCESS).status_code == 200


def test_a_robot_that_says_ready_in_mid_job_has_lost_it_at_once(
    shared_cluster: Cluster, process: str
) -> None:
    api = shared_cluster.api
    robot = shared_cluster.new_robot()
    job = api.ask_and_hand_out(process, robot=robot.name)
    robot.begin()
    robot.beat()
    lost = api.job(job)
    assert lost["status"] == FAILED and lost["reason"], lost
    late = robot.update(job, SUCCESS)
    assert (late.status_code, late.json()["status"]) == (409, FAILED)
    assert api.job(job) == lost


def test_a_lost_job_comes_back_only_where_that_was_asked_for(shared_cluster: Cluster, process: str) -> None:
    """Attempt 1 falls silent, another robot takes attempt 2, and the first turns up again."""
    api, group = shared_cluster.api, f"group-{token_hex(4)}"
    first = shared_cluster.new_robot(group=group)
    job = api.ask_and_hand_out(process, group=group, on_lost="requeue", max_attempts=2)
    assert first.begin().job["Attempt"] == 1
    assert first.order(job) == 0
    second = shared_cluster.new_robot(group=group)
    handed = eventually(lambda: second.take_or_none(), "another robot is handed the lost job", every=0.5)
    assert (handed.guid, handed.job["Attempt"]) == (job, 2)
    assert second.update(job, IN_PROGRESS).status_code == 200

    before = api.job(job)
    assert first.update(job, SUCCESS, result='"late"').status_code == 409
    assert first.update(job, IN_PROGRESS).status_code == 409
    first.order(job)
    assert api.job(job) == before
    assert second.update(job, SUCCESS, result='"second"').status_code == 200
    assert api.job(job)["result"] == "second"


def test_the_last_attempt_that_is_lost_has_failed(shared_cluster: Cluster, process: str) -> None:
    api = shared_cluster.api
    robot = shared_cluster.new_robot()
    job = api.ask_and_hand_out(process, robot=robot.name, on_lost="requeue", max_attempts=2)
    for attempt in (1, 2):
        api.until_status(job, PENDING)
        assert robot.begin().job["Attempt"] == attempt
        robot.beat()
    lost = api.job(job)
    assert lost["status"] == FAILED and lost["reason"], lost


def test_a_run_over_its_time_is_asked_to_abort_and_fails_where_nobody_answers(
    shared_cluster: Cluster, process: str
) -> None:
    api = shared_cluster.api
    deaf, obedient = shared_cluster.new_robot(), shared_cluster.new_robot()
    for robot in (deaf, obedient):
        api.ask_and_hand_out(process, robot=robot.name, max_run_seconds=1)
    deaf_job, obedient_job = (robot.begin().guid for robot in (deaf, obedient))

    def ordered() -> bool:
        return obedient.order(obedient_job) == ABORTING_ORDER

    eventually(ordered, "code 10 after the time limit", every=0.3)
    assert api.job(obedient_job)["status"] == ABORTING
    assert obedient.update(obedient_job, ABORTED).status_code == 200

    def failed() -> bool:
        deaf.beat(WORKING, deaf_job)  # alive and well, and goes on all the same
        return bool(api.job(deaf_job)["status"] == FAILED)

    eventually(failed, "the run that does not stop has failed", every=0.3)
    assert api.job(deaf_job)["reason"]
    assert [entry["status"] for entry in api.history(deaf_job)][-2:] == [ABORTING, FAILED]
    assert deaf.update(deaf_job, SUCCESS).status_code == 409
    assert api.job(obedient_job)["status"] == ABORTED


def test_a_person_s_abort_that_nobody_answers_ends_failed(shared_cluster: Cluster, process: str) -> None:
    api = shared_cluster.api
    robot = shared_cluster.new_robot()
    job = api.ask_and_hand_out(process, robot=robot.name)
    robot.begin()
    api.post(f"/jobs/{job}/abort")
    assert robot.order(job) == ABORTING_ORDER
    assert api.until_status(job, FAILED)["reason"]


def test_a_run_that_stands_still_is_shown_and_is_not_lost(shared_cluster: Cluster) -> None:
    """Its robot is heard all the time; another percentage brings it back."""
    api = shared_cluster.api
    process = api.publish(f"slow-{token_hex(4)}")
    api.call("PATCH", f"/processes/{process}", json={"stalled_after_seconds": 2})
    robot = shared_cluster.new_robot()
    job = api.ask_and_hand_out(process, robot=robot.name)
    robot.begin()

    def stalled() -> bool:
        assert robot.order(job) == 0
        return api.job(job)["stalled_at"] is not None

    eventually(stalled, "the run is shown as stalled", every=0.3)
    assert api.job(job)["status"] == IN_PROGRESS
    assert api.get(f"/jobs/{job}/explain")["reasons"][0]["code"] == "stalled"
    assert robot.update(job, IN_PROGRESS, progress=50).status_code == 200
    assert api.job(job)["stalled_at"] is None
    assert [entry["event"] for entry in api.history(job)][-2:] == ["stall", "resume"]
    assert robot.update(job, SUCCESS).status_code == 200


def test_a_second_program_with_the_guid_cannot_disturb_the_run(shared_cluster: Cluster, process: str) -> None:
    api = shared_cluster.api
    first = shared_cluster.new_robot()
    first.beat()
    job = api.ask_and_hand_out(process, robot=first.name)
    first.begin()
    assert first.order(job) == 0
    elsewhere = {"Machine": "DESK-8", "IP": "10.0.0.8"}
    for _ in range(2):
        answer = first.beat(**elsewhere).json()
        assert (answer["HeartbeatErrorCode"], answer["HasNewJob"]) == (0, 0)
        assert "Another program on DESK-7" in answer["ErrorText"]
        assert first.consume(Status=2, **elsewhere).status_code == 409
        assert first.update(job, FAILED, **elsewhere).status_code == 409
        assert first.order(job) == 0
    assert first.beat(WORKING, job, **elsewhere).json()["HeartbeatErrorCode"] == ABORTING_ORDER
    shown = api.get(f"/robots/{first.name}")
    assert (shown["machine"], shown["doubled"]["machine"]) == ("DESK-7", "DESK-8")
    codes = [reason["code"] for reason in api.get(f"/jobs/{job}/explain")["reasons"]]
    assert "robot_doubled" in codes
    assert first.update(job, SUCCESS).status_code == 200
