"""What schedulers carry from presence to SQL, many robots at a time."""

from __future__ import annotations

from datetime import timedelta

from orchestrator.jobs import recovery
from orchestrator.robots.presence import Seen
from scheduler.maintenance import beats
from tests.integration.scene import Scene

LEASE = timedelta(seconds=45)


def test_the_leases_of_several_runs_are_renewed_at_once(scene: Scene) -> None:
    robots = [scene.robot(f"r{number}") for number in range(3)]
    guids = [scene.in_progress(robot) for robot in robots]
    for guid in guids[:2]:
        scene.set_job(guid, lease_until=scene.past())
    seen = [Seen(robot.id, 3, guid, 1.0) for robot, guid in zip(robots, guids, strict=True)]
    assert scene.run(lambda tx: beats._carry(tx, seen, LEASE)) == []
    leases = [scene.job(guid).lease_until for guid in guids]
    assert leases[2] is None  # not lease-based before its first working heartbeat
    assert all(lease > scene.past(0) + LEASE / 2 for lease in leases[:2])


def test_a_heartbeat_never_shortens_a_lease(scene: Scene) -> None:
    """As it would after a machine's sleep, for who takes the time from before it."""
    robot = scene.robot("r1")
    guid = scene.in_progress(robot)
    later = scene.run(lambda tx: tx.now + 2 * LEASE)
    scene.set_job(guid, lease_until=later)
    scene.run(lambda tx: recovery.extend_lease(tx, robot.id, guid, LEASE))
    assert scene.job(guid).lease_until == later
    scene.run(lambda tx: recovery.extend_lease(tx, robot.id, guid, 3 * LEASE))
    assert scene.job(guid).lease_until > later


def test_robots_that_presence_believes_idle_in_mid_run_are_to_be_asked(scene: Scene) -> None:
    robots = [scene.robot(f"r{number}") for number in range(2)]
    scene.in_progress(robots[0])
    seen = [Seen(robot.id, 2, "", 0.0) for robot in robots]
    assert scene.run(lambda tx: beats._carry(tx, seen, LEASE)) == [robots[0].id]
