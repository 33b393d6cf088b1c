"""Wake-ups over a real Redis: what is watched is told, and the rest is not."""

from __future__ import annotations

from redis import Redis

from orchestrator.triggers.wake_ups import FIRINGS, Listener, WakeUps, publish_watched

PATIENCE = 30.0


def test_a_wake_up_is_told_only_of_what_is_watched(redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        listener, sender = Listener(redis_url), WakeUps(redis)
        assert listener.wait(0.01) == set()
        publish_watched(redis, {"queue:1"})
        sender.send({"queue:1", "queue:2"})
        assert listener.wait(PATIENCE) == {"queue:1"}
        sender.send({"queue:2"})
        sender.send({FIRINGS})
        assert listener.wait(PATIENCE) == {FIRINGS}
        listener.close()


def test_without_a_word_of_what_is_watched_everything_is_told(redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        listener, sender = Listener(redis_url), WakeUps(redis)
        assert listener.wait(0.01) == set()
        sender.send({"queue:5"})
        assert listener.wait(PATIENCE) == {"queue:5"}
        listener.close()
