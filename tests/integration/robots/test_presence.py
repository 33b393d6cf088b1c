"""Presence on a real Redis: every branch of the steady heartbeat, and what losing keys costs."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from redis import Redis, RedisError

from orchestrator.robots import presence as presence_module
from orchestrator.robots.presence import BEATS, KEY, LINE, SLOW, WAKE_CHANNEL, Familiar, Presence, Seen
from tests.servers import Redis as RedisServer
from tests.servers.server import wait_for

JOB = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
ROBOT = Familiar(7, "guid-digest:secret-digest", ("robot:7", "group:3", "any:1"))
PLACE = "machine\n10.0.0.7\naa:bb"


@pytest.fixture
def presence(redis_url: str) -> Iterator[Presence]:
    with Redis.from_url(redis_url) as client:
        yield Presence(client, absent_after_seconds=45)


def admit(
    presence: Presence, job: str = "", leased: bool = False, order: int = 0, paused: bool = False
) -> None:
    presence.admit(ROBOT, PLACE, 3 if job else 2, job, leased, order, paused)


def beat(presence: Presence, robot: Familiar, place: str, status: str, job: str) -> int:
    return presence.beat(presence.pack_beat(robot, place, status, job))


def ready(presence: Presence, robot: Familiar = ROBOT, place: str = PLACE) -> int:
    return beat(presence, robot, place, "2", "")


def working(presence: Presence, job: str = JOB) -> int:
    return beat(presence, ROBOT, PLACE, "3", job)


# The steady heartbeat -----------------------------------------------------------------------------------


def test_a_robot_that_nobody_admitted_takes_the_slow_way(presence: Presence) -> None:
    assert ready(presence) == SLOW
    assert working(presence) == SLOW
    assert presence.redis.keys("*") == []


@pytest.mark.parametrize(
    ("robot", "place"),
    [
        (Familiar(7, "guid-digest:another", ROBOT.lines), PLACE),
        (ROBOT, "another machine\n10.0.0.7\naa:bb"),
        (Familiar(8, ROBOT.auth, ROBOT.lines), PLACE),
    ],
    ids=["secret changed", "machine changed", "another robot"],
)
def test_whatever_is_not_as_it_was_takes_the_slow_way(
    presence: Presence, robot: Familiar, place: str
) -> None:
    admit(presence)
    assert ready(presence, robot, place) == SLOW
    assert presence.take_beats() == []


@pytest.mark.parametrize("status", ["0", "1", "", "x", "23"])
def test_other_states_take_the_slow_way(presence: Presence, status: str) -> None:
    admit(presence)
    assert beat(presence, ROBOT, PLACE, status, "") == SLOW


def test_an_idle_robot_is_told_of_jobs_in_any_of_its_lines(presence: Presence) -> None:
    admit(presence)
    assert ready(presence) == 0
    for line in ROBOT.lines:
        presence.mark_lines([line])
        assert ready(presence) == 1
        presence.redis.delete(LINE.format(line))
        assert ready(presence) == 0
    presence.mark_lines(["robot:8", "group:4", "any:2"])
    assert ready(presence) == 0


def test_a_paused_robot_is_told_of_none(presence: Presence) -> None:
    admit(presence, paused=True)
    presence.mark_lines(["any:1"])
    assert ready(presence) == 0


def test_ready_in_mid_job_takes_the_slow_way(presence: Presence) -> None:
    admit(presence, JOB, leased=True)
    assert ready(presence) == SLOW


def test_a_working_robot_is_answered_with_its_orders(presence: Presence) -> None:
    admit(presence, JOB, leased=True)
    assert working(presence) == 0
    presence.mark_lines(["any:1"])
    assert working(presence) == 0, "who works gets no second job"
    presence.give_orders([(7, JOB, 20)])
    assert working(presence) == 40
    presence.give_orders([(7, JOB, 10)])
    assert working(presence) == 20
    admit(presence, JOB, leased=True, order=20)
    assert working(presence) == 40


@pytest.mark.parametrize(("job", "leased"), [(JOB, False), (OTHER, True), ("", False)])
def test_work_that_sql_does_not_know_of_takes_the_slow_way(
    presence: Presence, job: str, leased: bool
) -> None:
    """Not yet leased, another job, or none: SQL has to hear of it first."""
    admit(presence, job, leased=leased)
    assert working(presence) == SLOW


def test_a_beat_renews_presence_and_is_to_be_carried_once(presence: Presence) -> None:
    admit(presence, JOB, leased=True)
    presence.redis.pexpire(KEY.format(7), 1000)
    working(presence)
    working(presence)
    assert presence.redis.pttl(KEY.format(7)) > 40_000
    (seen,) = presence.take_beats()
    assert (seen.robot_id, seen.status, seen.job_guid) == (7, 3, JOB)
    assert 0 <= seen.seconds_ago < 5
    assert presence.take_beats() == []


def test_the_beat_said_twice_is_as_said_once(presence: Presence) -> None:
    """redis-py sends a script again when its connection breaks, and the first may have run."""
    admit(presence)
    presence.mark_lines(["any:1"])
    assert [ready(presence) for _ in range(3)] == [1, 1, 1]
    assert len(presence.take_beats()) == 1


@pytest.mark.parametrize("lost", ["presence", "all", "scripts", "field"])
def test_lost_keys_cost_the_slow_way_and_no_error(presence: Presence, lost: str) -> None:
    admit(presence, JOB, leased=True)
    working(presence)
    match lost:
        case "presence":
            presence.redis.delete(KEY.format(7))
        case "all":
            presence.redis.flushdb()
        case "scripts":
            presence.redis.script_flush()
        case "field":
            presence.redis.hdel(KEY.format(7), "job")
    assert working(presence) == (0 if lost == "scripts" else SLOW)
    admit(presence, JOB, leased=True)
    assert working(presence) == 0


# Orders, memory, lines ----------------------------------------------------------------------------------


def test_an_order_is_for_the_job_that_the_robot_works_on(presence: Presence) -> None:
    admit(presence, JOB, leased=True)
    presence.give_orders([(7, OTHER, 10), (8, JOB, 10)])
    assert working(presence) == 0
    assert presence.redis.exists(KEY.format(8)) == 0, "an order makes no presence"
    presence.give_orders([(7, JOB, 10), (7, JOB, 10)])
    assert working(presence) == 20
    admit(presence, OTHER, leased=True)
    assert working(presence, OTHER) == 0, "the next job has no orders"


def test_a_robot_that_took_a_job_is_heard_by_sql_until_its_run_is_known(presence: Presence) -> None:
    presence.bind(7, JOB)
    assert presence.redis.exists(KEY.format(7)) == 0, "a job makes no presence"
    admit(presence, order=20)
    presence.bind(7, JOB)
    assert (ready(presence), working(presence)) == (SLOW, SLOW)
    admit(presence, JOB, leased=True)
    presence.unbind(7, OTHER)  # the end of an earlier run, told late
    assert working(presence) == 0
    presence.unbind(7, JOB)
    assert (working(presence), ready(presence)) == (SLOW, 0)


def test_who_is_forgotten_takes_the_slow_way_once(presence: Presence) -> None:
    admit(presence)
    presence.forget([7, 7, 8])
    presence.forget([])
    assert ready(presence) == SLOW
    admit(presence)
    assert ready(presence) == 0


def test_a_line_is_unmarked_only_if_nothing_came_since_the_look(presence: Presence) -> None:
    lines = ["any:1", "group:3", "robot:7"]
    presence.mark_lines(["any:1", "group:3"])
    marks = presence.line_marks(lines)
    assert [bool(mark) for mark in marks] == [True, True, False]
    presence.mark_lines(["group:3"])  # a job came while somebody looked into SQL
    presence.clear_lines(lines, marks)
    assert set(presence.marked_lines()) == {"group:3"}
    presence.clear_lines(lines, marks)
    assert set(presence.marked_lines()) == {"group:3"}
    presence.clear_lines(["group:3"], presence.line_marks(["group:3"]))
    assert presence.marked_lines() == {}


def test_a_mark_that_was_never_there_is_not_cleared_when_it_comes(presence: Presence) -> None:
    marks = presence.line_marks(["any:1"])
    presence.mark_lines(["any:1"])
    presence.clear_lines(["any:1"], marks)
    assert set(presence.marked_lines()) == {"any:1"}


def test_a_mark_cleared_and_set_again_is_another(presence: Presence) -> None:
    """An old look must not match the new mark."""
    presence.mark_lines(["any:1"])
    old = presence.line_marks(["any:1"])
    presence.clear_lines(["any:1"], old)
    presence.mark_lines(["any:1"])
    presence.clear_lines(["any:1"], old)
    assert set(presence.marked_lines()) == {"any:1"}


def test_waiting_robots_are_woken_once_for_each_job(presence: Presence) -> None:
    listener = presence.redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
    listener.subscribe(WAKE_CHANNEL)
    listener.get_message(timeout=5)
    presence.mark_lines(["any:1", "any:1", "robot:7"])
    message = listener.get_message(timeout=5)
    assert message is not None
    assert message["data"].split() == [b"any:1", b"any:1", b"robot:7"]
    listener.close()


# What others read ---------------------------------------------------------------------------------------


def test_the_silent_are_told_from_the_present(presence: Presence) -> None:
    admit(presence)
    seen, silent = presence.look([7, 8])
    assert silent is None
    assert seen is not None
    assert (seen.robot_id, seen.status, seen.job_guid) == (7, 2, "")
    presence.redis.pexpire(KEY.format(7), 1)
    while presence.redis.exists(KEY.format(7)):
        pass
    assert presence.look([7]) == [None]
    assert presence.look([]) == []


def test_beats_that_could_not_be_carried_are_given_back(presence: Presence) -> None:
    admit(presence)
    ready(presence)
    taken = presence.take_beats()
    presence.return_beats(taken)
    presence.return_beats([])
    assert [beat.robot_id for beat in presence.take_beats()] == [7]
    presence.redis.sadd(BEATS, 99)  # whose presence has ended meanwhile
    assert presence.take_beats() == []


def test_a_paused_redis_is_an_error_within_its_timeout_and_then_at_once(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(presence_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    client = Redis.from_url(redis_server.url, socket_timeout=1, socket_connect_timeout=1)
    presence = Presence(client, absent_after_seconds=45)
    admit(presence)
    assert ready(presence) == 0
    redis_server.pause()
    with pytest.raises(RedisError):
        ready(presence)
    with monkeypatch.context() as asked:
        asked.setattr(presence, "_beat", None)  # nothing is sent
        for _ in range(20):
            with pytest.raises(RedisError):
                presence.beat(())
    redis_server.resume()

    def answers_after_a_pause() -> bool:
        now[0] += presence_module.PAUSE_AFTER_FAILURE_SECONDS
        return answers(presence)

    assert wait_for(answers_after_a_pause, 20)
    redis_server.restart()
    assert wait_for(answers_after_a_pause, 20), "scripts are loaded again into a Redis that forgot them"
    client.close()


def answers(presence: Presence) -> bool:
    try:
        return ready(presence) == 0
    except RedisError:
        return False


def test_many_beats_are_taken_in_portions(presence: Presence) -> None:
    for number in range(12):
        robot = Familiar(number, "auth", ("any:1",))
        presence.admit(robot, PLACE, 2, "", False, 0, False)
        assert beat(presence, robot, PLACE, "2", "") == 0
    taken: list[Seen] = []
    portions = []
    while portion := presence.take_beats(5):
        portions.append(len(portion))
        taken += portion
    assert portions == [5, 5, 2]
    assert {beat.robot_id for beat in taken} == set(range(12))
