"""A permit in the hands of a robot that dies: another robot has it as soon as the run counts as lost."""

from secrets import token_hex

from tests.acceptance.cluster import Cluster, eventually
from tests.acceptance.cluster.robot import FAILED, SUCCESS


def test_a_dead_robots_permit_goes_to_the_next(shared_cluster: Cluster, process: str) -> None:
    api, name = shared_cluster.api, f"SAP-{token_hex(4)}"
    limited = api.publish(f"limited-{token_hex(4)}")
    api.post("/semaphores", {"name": name, "permits": 1})
    api.call("PATCH", f"/processes/{limited}/limits", json={"semaphores": {name: 1}})
    group = f"group-{token_hex(4)}"
    dead, other = (shared_cluster.new_robot(group=group) for _ in range(2))
    first = api.ask_and_hand_out(limited, group=group)
    second = api.ask_and_hand_out(limited, group=group)
    assert dead.begin().guid == first
    assert dead.order(first) == 0

    # Told of a job that may not begin, the robot asks once, and is told no more.
    if other.beat().json()["HasNewJob"] == 1:
        assert other.take_or_none() is None
    eventually(lambda: other.beat().json()["HasNewJob"] == 0, "the line counts as empty")
    reasons = api.get(f"/jobs/{second}/explain")["reasons"]
    assert reasons[0]["code"] == "waits_for_permit" and dead.name in reasons[0]["text"]

    third = api.ask_and_hand_out(process, group=group)
    eventually(lambda: other.beat().json()["HasNewJob"] == 1, "it is told of one without limits", every=0.5)
    assert other.begin().guid == third
    assert other.update(third, SUCCESS).status_code == 200

    eventually(lambda: other.beat().json()["HasNewJob"] == 1, "the permit is free again", every=0.5)
    assert api.job(first)["status"] == FAILED
    assert other.begin().guid == second
    assert api.get(f"/semaphores/{name}")["holders"][0]["job"] == second
    assert other.update(second, SUCCESS).status_code == 200
    assert api.get(f"/semaphores/{name}")["held"] == 0
