"""Robin's document on resource queues, its walk-through: two robots share a queue and never meet."""

from tests.acceptance.resources.actors import Person, Run


def test_two_robots_share_a_queue_and_never_meet(person: Person, one: Run, other: Run, queue: str) -> None:
    first, second, third, fourth = person.create(queue, *({"value": number} for number in (1, 2, 3, 4)))
    robot_1, robot_2 = one, other

    # 1. Robot 1 reads the 1st resource, and at once locks it for other robots.
    assert robot_1.taken(queue, lock="read")["id"] == first
    # 2. The 1st is locked by robot 1, so robot 2 cannot get it, and reads the 2nd; and locks that too.
    assert robot_2.taken(queue, lock="read")["id"] == second
    # 3. Robot 1 ends its work on the 1st, and makes it Processed.
    assert robot_1.finish(first, result="done").json()["status"] == "Processed"
    # 4. Robot 1 looks for the next. The 2nd is locked by robot 2, so it reads the 3rd, and locks it.
    assert robot_1.taken(queue, lock="read")["id"] == third
    # 5. Robot 2 ends its work on the 2nd, and makes it Processed.
    assert robot_2.finish(second).json()["status"] == "Processed"
    # 6. Robot 2 looks for the next: the 1st is Processed, the 3rd is locked by robot 1. It reads the 4th.
    assert robot_2.taken(queue, lock="read")["id"] == fourth
    # 7. And so on.
    assert robot_1.finish(third).status_code == robot_2.finish(fourth).status_code == 200
    assert robot_1.take(queue).status_code == robot_2.take(queue).status_code == 204

    for resource in (first, second, third, fourth):
        assert person.look(resource)["locks"] == {"read": None, "write": None}
        assert [entry["event"] for entry in person.history(resource)] == ["create", "take", "finish"]
