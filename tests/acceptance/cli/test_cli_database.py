"""migrate, check and token: as processes of their own where they do well, and in this one where not."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli.conftest import Here, botswain

SECRET = "a-secret-key-of-the-tests-long-enough"


def test_what_is_wrong_is_said_all_at_once(botswain_here: Here) -> None:
    checked = botswain_here("check")
    assert checked.returncode == 1
    said = checked.stdout.splitlines()
    assert [line.split()[0] for line in said] == ["DATABASE_URL", "REDIS_URL", "BOTSWAIN_SECRET_KEY"]
    for ended in (botswain("api"), botswain_here("migrate")):
        assert ended.returncode == 1
        assert ended.stderr.splitlines() == [f"botswain: {line}" for line in said]


AWAY = {
    "DATABASE_URL": "mysql+pymysql://clerk:hunter2@127.0.0.1:1/botswain",
    "REDIS_URL": "redis://:hunter2@127.0.0.1:1/0",
}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            AWAY | {"DATABASE_URL": "what"},
            ["SCHEDULER_THREADS", "DATABASE_URL", "BOTSWAIN_SECRET_KEY", "the Redis"],
        ),
        (
            {"DB_HOST": "127.0.0.1", "DB_PORT": "many", "REDIS_URL": AWAY["REDIS_URL"]},
            ["DB_PORT", "SCHEDULER_THREADS", "BOTSWAIN_SECRET_KEY", "the Redis"],
        ),
        (
            AWAY | {"DB_PORT": "many"},
            ["DB_PORT", "SCHEDULER_THREADS", "BOTSWAIN_SECRET_KEY", "the database", "the Redis"],
        ),
    ],
)
def test_a_wrong_setting_hides_nothing_that_is_away(
    botswain_here: Here, settings: dict[str, Any], told: list[str]
) -> None:
    checked = botswain_here("check", **settings, SCHEDULER_THREADS="0")
    assert checked.returncode == 1
    lines = checked.stdout.splitlines()
    assert len(lines) == len(told), lines
    assert all(line.startswith(start) for line, start in zip(lines, told, strict=True)), lines
    assert "hunter2" not in checked.stdout + checked.stderr
    assert "Traceback" not in checked.stderr


def test_a_database_is_migrated_checked_and_given_a_token(
    botswain_here: Here, tmp_path: Path, redis_url: str
) -> None:
    url = f"sqlite:///{tmp_path / 'botswain.db'}"
    settings: dict[str, Any] = {"DATABASE_URL": url, "REDIS_URL": redis_url, "BOTSWAIN_SECRET_KEY": SECRET}
    empty = botswain_here("check", **settings)
    assert (empty.returncode, empty.stdout) == (
        1,
        "the database has no schema yet: run botswain migrate first\n",
    )
    assert botswain("migrate", **settings).returncode == 0
    fine = botswain("check", **settings)
    assert (fine.returncode, fine.stdout) == (0, "")

    made = botswain_here("token", "create", "--role", "node", "--name", "press", **settings)
    assert made.returncode == 0
    token = made.stdout.removesuffix("\n")
    assert token.startswith("bsw_")
    assert "\n" not in token
    with sqlite3.connect(tmp_path / "botswain.db") as database:
        rows = database.execute("SELECT name, role, digest FROM api_tokens").fetchall()
    assert [row[:2] for row in rows] == [("press", "node")]
    assert token not in json.dumps(rows)


def test_a_database_that_is_away_is_named_without_its_password(botswain_here: Here, redis_url: str) -> None:
    settings: dict[str, Any] = {"REDIS_URL": redis_url, "BOTSWAIN_SECRET_KEY": SECRET}
    away = "mysql+pymysql://clerk:hunter2@127.0.0.1:1/botswain"
    for command in (["check"], ["migrate"], ["token", "create", "--role", "admin"]):
        ended = botswain_here(*command, DATABASE_URL=away, **settings)
        assert ended.returncode == 1
        said = ended.stdout + ended.stderr
        assert "127.0.0.1:1/botswain" in said
        assert "hunter2" not in said
        assert "Traceback" not in said


def test_a_redis_that_throws_things_away_is_said(botswain_here: Here, tmp_path: Path, redis_url: str) -> None:
    import redis

    url = f"sqlite:///{tmp_path / 'botswain.db'}"
    settings: dict[str, Any] = {"DATABASE_URL": url, "REDIS_URL": redis_url, "BOTSWAIN_SECRET_KEY": SECRET}
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            said = botswain_here("check", **settings).stdout
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert "maxmemory-policy allkeys-lru" in said
