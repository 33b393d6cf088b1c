"""Presence of robots in Redis: what answers a steady heartbeat without SQL. All of it may be lost.

A robot's presence holds what SQL said when it last took the slow way. Verbs that change that announce it
after their commit; whatever is missing or different sends the next heartbeat to SQL again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from redis import ConnectionError as RedisAway
from redis import Redis
from redis import TimeoutError as RedisTimeout

from orchestrator.robots.scripts import Packed, Scripts

KEY = "botswain:robot:{}"
VOUCHER = "botswain:voucher:{}"
BEATS = "botswain:beats"
LINE = "botswain:line:{}"
WAKE_CHANNEL = "botswain:wake"
SLOW = -1
PAUSE_AFTER_FAILURE_SECONDS = 1.0
VOUCHER_MS = 5000

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Familiar:
    """What a process remembers of a robot between its heartbeats: its id and the lines it may look in.

    Checked at each beat against presence, so a memory that has gone stale only costs the slow way.
    """

    robot_id: int
    auth: str
    lines: tuple[str, ...]

    def keys(self) -> list[str]:
        return [KEY.format(self.robot_id), BEATS, *[LINE.format(line) for line in self.lines]]


def auth_of(robot: Any) -> str:
    """The digests, of a robot's row, that the Authorization of its beats must have."""
    return f"{robot.guid_digest}:{robot.secret_digest or ''}"


@dataclass(frozen=True)
class Seen:
    """A beat to be carried to SQL: how long ago it was, in seconds, and what it said."""

    robot_id: int
    status: int
    job_guid: str
    seconds_ago: float


@dataclass(frozen=True)
class Known:
    """What presence takes for true of a robot, as SQL once said. `job_guid` "": it has none.

    `auth`: the digests by which its beats are let in.
    """

    job_guid: str
    is_paused: bool
    auth: str = field(repr=False)


def _unless_away(
    method: Callable[Concatenate[Presence, Parameters], Result],
) -> Callable[Concatenate[Presence, Parameters], Result]:
    """Fail at once for a second after a failure: a paused Redis would hold every thread for its timeout."""

    @wraps(method)
    def guarded(self: Presence, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        if time.monotonic() < self.away_until:
            raise RedisAway("Redis did not answer a moment ago.")
        try:
            return method(self, *args, **kwargs)
        except (RedisAway, RedisTimeout):
            self.away_until = time.monotonic() + PAUSE_AFTER_FAILURE_SECONDS
            raise

    return guarded  # type: ignore[return-value]


class Presence:
    def __init__(self, redis: Redis, absent_after_seconds: float) -> None:
        self.redis = redis
        self.ttl_ms = int(absent_after_seconds * 1000)
        self.away_until = float("-inf")
        scripts = Scripts(redis)
        self._beat = scripts.named("beat")
        self._clear_line = scripts.named("clear_line")
        self._give_order = scripts.named("give_order")
        self._mark_lines = scripts.named("mark_lines")
        self._read_marks = scripts.named("read_marks")
        self._set_job = scripts.named("set_job")

    def pack_beat(self, robot: Familiar, place: str, status: str, job_guid: str) -> Packed:
        """A beat that can be sent many times: robots say the same for hours."""
        arguments: list[str | int] = [robot.auth, place, status, job_guid, self.ttl_ms, robot.robot_id]
        return self._beat.pack(robot.keys(), arguments)

    @_unless_away
    def beat(self, packed: Packed) -> int:
        """`SLOW`, or order * 2 + whether jobs wait: one round trip."""
        return cast(int, self._beat.call(packed))

    @_unless_away
    def admit(
        self, robot: Familiar, place: str, status: int, job_guid: str, leased: bool, order: int, paused: bool
    ) -> None:
        """Remember what SQL has just said, so that the next beats need not ask it."""
        seconds, micros = self.redis.time()
        known: dict[str, str | int] = {
            "auth": robot.auth,
            "place": place,
            "status": status,
            "job": job_guid,
            "leased": int(leased),
            "order": order,
            "paused": int(paused),
            "seen": seconds * 1000 + micros // 1000,
        }
        key = KEY.format(robot.robot_id)
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.hset(key, mapping=cast(Any, known))
            pipe.pexpire(key, self.ttl_ms)
            pipe.execute()

    @_unless_away
    def vouch(self, robot_id: int, auth: str) -> None:
        """SQL has just said that these are the robot's digests: for some seconds it need not be asked."""
        self.redis.set(VOUCHER.format(robot_id), auth, px=VOUCHER_MS)

    @_unless_away
    def is_vouched_for(self, robot_id: int, auth: str) -> bool:
        return self.redis.get(VOUCHER.format(robot_id)) == auth.encode()

    @_unless_away
    def forget(self, robot_ids: Iterable[int]) -> None:
        """The next beat, or other request, of these robots goes to SQL."""
        keys = [key.format(robot_id) for robot_id in set(robot_ids) for key in (KEY, VOUCHER)]
        if keys:
            self.redis.delete(*keys)

    @_unless_away
    def bind(self, robot_id: int, job_guid: str) -> None:
        """The robot has this job; its beats go to SQL until one of them has said what it does with it."""
        self._set_job(keys=[KEY.format(robot_id)], args=[job_guid, "*"])

    @_unless_away
    def unbind(self, robot_id: int, job_guid: str) -> None:
        """The robot has this job no longer: if that is the one it is known by, it is idle."""
        self._set_job(keys=[KEY.format(robot_id)], args=["", job_guid])

    @_unless_away
    def give_orders(self, orders: Iterable[tuple[int, str, int]]) -> None:
        """(robot id, job GUID, code) each."""
        for robot_id, job_guid, code in orders:
            self._give_order(keys=[KEY.format(robot_id)], args=[job_guid, code])

    # Lines ----------------------------------------------------------------------------------------------

    @_unless_away
    def mark_lines(self, lines: Sequence[str]) -> None:
        """Jobs have come into these lines: mark each, and wake as many waiting robots as there are jobs."""
        keys = [LINE.format(line) for line in sorted(set(lines))]
        self._mark_lines(keys=keys, args=[WAKE_CHANNEL, " ".join(lines)])

    @_unless_away
    def marked_lines(self) -> dict[str, str]:
        """Every marked line, with its mark."""
        prefix = LINE.format("")
        keys = [key.decode() for key in self.redis.scan_iter(match=f"{prefix}*", count=1000)]
        values = cast(list[bytes | None], self.redis.mget(keys)) if keys else []
        return {
            key.removeprefix(prefix): value.decode()
            for key, value in zip(keys, values, strict=True)
            if value is not None
        }

    @_unless_away
    def line_marks(self, lines: Sequence[str]) -> list[str]:
        """The marks as they are, to be given to `clear_lines` after a look at SQL."""
        values = cast(list[Any], self._read_marks(keys=[LINE.format(line) for line in lines], args=[]))
        return [value.decode() if isinstance(value, bytes) else value or "" for value in values]

    @_unless_away
    def clear_lines(self, lines: Sequence[str], marks: Sequence[str]) -> None:
        self._clear_line(keys=[LINE.format(line) for line in lines], args=list(marks))

    # What others read -----------------------------------------------------------------------------------

    @_unless_away
    def take_beats(self, limit: int = 500) -> list[Seen]:
        """Beats that are to be carried to SQL. Taken once: a lost carry is made good by the next beat."""
        ids = cast(list[bytes], self.redis.spop(BEATS, limit))
        return [seen for seen in self.look(int(robot_id) for robot_id in ids) if seen is not None]

    @_unless_away
    def waiting_beats(self) -> int:
        """Of how many robots there are beats to be carried."""
        return self.redis.scard(BEATS)

    @_unless_away
    def return_beats(self, beats: Sequence[Seen]) -> None:
        if beats:
            self.redis.sadd(BEATS, *[beat.robot_id for beat in beats])

    @_unless_away
    def known(self, robot_ids: Iterable[int] | None = None) -> dict[int, Known]:
        """What is known of these robots, or of all: to be held against SQL."""
        if robot_ids is None:
            prefix = len(KEY.format(""))
            keys = self.redis.scan_iter(match=KEY.format("*"), count=1000)
            robot_ids = [int(key[prefix:]) for key in keys if key[prefix:].isdigit()]
        ids = list(robot_ids)
        with self.redis.pipeline(transaction=False) as pipe:
            for robot_id in ids:
                pipe.hmget(KEY.format(robot_id), "job", "paused", "auth")
            found = pipe.execute()
        told = dict(zip(ids, found, strict=True))
        return {
            key: Known(job.decode(), paused == b"1", (auth or b"").decode())
            for key, (job, paused, auth) in told.items()
            if job is not None
        }

    @_unless_away
    def look(self, robot_ids: Iterable[int]) -> list[Seen | None]:
        """The last beat of each robot, or None where it is silent (or unknown here)."""
        ids = list(robot_ids)
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.time()
            for robot_id in ids:
                pipe.hmget(KEY.format(robot_id), "status", "job", "seen")
            (seconds, micros), *found = pipe.execute()
        now = seconds * 1000 + micros // 1000
        return [_seen(robot_id, values, now) for robot_id, values in zip(ids, found, strict=True)]


def _seen(robot_id: int, values: Sequence[bytes | None], now_ms: int) -> Seen | None:
    status, job, seen = values
    if status is None or seen is None:
        return None
    ago = max(0, now_ms - int(seen)) / 1000
    return Seen(robot_id, int(status), (job or b"").decode(), ago)
