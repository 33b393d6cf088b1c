"""The configuration: every mistake at once, and no secret in any text of it."""

from __future__ import annotations

import traceback

import pytest
from pydantic import ValidationError

from orchestrator.config import AUTO, Config
from orchestrator.errors import ConfigurationError

SECRET = "s3cret-" * 6
GOOD = {
    "DATABASE_URL": "mysql://botswain:pa55-of-the-database@db/botswain",
    "REDIS_URL": "redis://:pa55-of-redis@redis:6379/0",
    "BOTSWAIN_SECRET_KEY": SECRET,
    "BOTSWAIN_ADMIN_TOKEN": "t0ken-of-the-admin",
}
SECRETS = ("pa55-of-the-database", "pa55-of-redis", SECRET, "t0ken-of-the-admin")


def problems(**changes: str) -> list[str]:
    with pytest.raises(ConfigurationError) as wrong:
        Config.load(GOOD | changes)
    return wrong.value.problems


def test_a_good_configuration_has_no_problems() -> None:
    config = Config.load(GOOD)
    assert config.problems() == []
    assert config.database_url.drivername == "mysql+pymysql"
    assert config.redis_url == GOOD["REDIS_URL"]


def test_nothing_set_names_everything_that_must_be() -> None:
    with pytest.raises(ConfigurationError) as wrong:
        Config.load({})
    assert [problem.split()[0] for problem in wrong.value.problems] == [
        "DATABASE_URL",
        "REDIS_URL",
        "BOTSWAIN_SECRET_KEY",
    ]


def test_a_scheduler_s_number_may_be_left_to_the_cluster() -> None:
    assert Config.load(GOOD | {"SCHEDULER_CLUSTER_ID": "auto"}).scheduler_cluster_id == AUTO
    for wrong in ("0", "-1", "1.5", "two"):
        (found,) = problems(SCHEDULER_CLUSTER_ID=wrong)
        assert found == f"SCHEDULER_CLUSTER_ID: must be a number from 1 on, or auto (it is {wrong!r})"


def test_every_mistake_is_told_at_once() -> None:
    wrong = {
        "BOTSWAIN_PORT": "many",
        "SCHEDULER_BATCH": "0",
        "SCHEDULER_MASTER": "perhaps",
        "SCHEDULER_CLUSTER_ID": "3",
        "SCHEDULER_CLUSTER_SIZE": "2",
        "DATABASE_URL": "oracle://there",
        "REDIS_URL": "http://there",
        "BOTSWAIN_SECRET_KEY": "short",
        "BOTSWAIN_ADMIN_TOKEN": "short",
    }
    found = problems(**wrong)
    for name in wrong:
        assert any(name in problem for problem in found), (name, found)
    assert len(found) == 8  # cluster id and size make one


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("BOTSWAIN_PORT", "65536"),
        ("BOTSWAIN_HEARTBEAT_SECONDS", "0"),
        ("BOTSWAIN_RUN_LEASE_SECONDS", "-1"),
        ("SCHEDULER_CLUSTER_ID", "0"),
        ("SCHEDULER_CLUSTER_SIZE", "0"),
        ("SCHEDULER_CLUSTER_SIZE", "65"),
        ("SCHEDULER_THREADS", "0"),
        ("SCHEDULER_THREADS", "1.5"),
        ("SCHEDULER_INTERVAL", "soon"),
        ("BOTSWAIN_MAX_BODY_BYTES", "12"),
    ],
)
def test_a_value_out_of_its_range_is_named_with_what_was_given(name: str, given: str) -> None:
    (problem,) = problems(**{name: given})
    assert problem.startswith(f"{name}:")
    assert repr(given) in problem


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite", "://"])
def test_a_database_url_that_cannot_be_read_is_said(url: str) -> None:
    (problem,) = problems(DATABASE_URL=url)
    assert problem.startswith("DATABASE_URL")


def test_an_empty_variable_means_the_default() -> None:
    assert Config.load(GOOD | {"BOTSWAIN_PORT": "", "BOTSWAIN_ADMIN_TOKEN": ""}).port == 4500


def test_db_host_and_its_companions_mean_mariadb() -> None:
    given = {"DATABASE_URL": "", "DB_HOST": "db", "DB_PASSWORD": "p@ss/word", "DB_PORT": "3307"}
    url = Config.load(GOOD | given).database_url
    assert (url.drivername, url.host, url.port, url.password) == ("mysql+pymysql", "db", 3307, "p@ss/word")
    assert "p@ss/word" not in str(url)


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("sqlite:///x.db", "sqlite"),
        ("mariadb://u:p@h/d", "mysql+pymysql"),
        ("mysql+pymysql://u:p@h/d", "mysql+pymysql"),
        ("postgresql://u:p@h/d", "postgresql+psycopg"),
    ],
)
def test_the_driver_is_filled_in(given: str, driver: str) -> None:
    assert Config.load(GOOD | {"DATABASE_URL": given}).database_url.drivername == driver


def test_it_cannot_be_changed() -> None:
    config = Config.load(GOOD)
    with pytest.raises(ValidationError):
        config.port = 1


def test_no_secret_is_in_a_text_of_the_configuration() -> None:
    config = Config.load(GOOD)
    config.digest("something")  # keys and URLs that were worked out must not show either
    texts = [repr(config), str(config), f"{config}", str(config.database_url), repr(config.database_url)]
    texts += [str(config.model_dump()), config.model_dump_json()]
    for secret in SECRETS:
        assert not [text for text in texts if secret in text]


def test_no_secret_is_in_an_exception() -> None:
    given = GOOD | {
        "DATABASE_URL": "mysql://botswain:pa55-of-the-database@db:port/x",
        "BOTSWAIN_PORT": "x",
        "BOTSWAIN_ADMIN_TOKEN": "t0ken",
        "REDIS_URL": "http://:pa55-of-redis@redis",
        "BOTSWAIN_SECRET_KEY": "too-sh0rt",
    }
    try:
        Config.load(given)
    except ConfigurationError as error:
        text = "".join(traceback.format_exception(error)) + repr(error) + repr(error.__context__)
    for secret in ("pa55-of-the-database", "pa55-of-redis", "too-sh0rt", "t0ken"):
        assert secret not in text


def test_keys_of_two_purposes_differ_and_digests_are_of_the_secret_key() -> None:
    config, other = Config.load(GOOD), Config.load(GOOD | {"BOTSWAIN_SECRET_KEY": "x" * 40})
    assert config.derived_key("a") == config.derived_key("a") != config.derived_key("b")
    assert len(config.derived_key("a")) == 32
    assert config.digest("guid") == config.digest("guid") != other.digest("guid")


def test_a_redis_port_that_is_no_number_is_said() -> None:
    assert problems(REDIS_URL="redis://:x@redis:port/0") == [
        "REDIS_URL cannot be read: its port is not a number from 0 to 65535"
    ]


def test_mistakes_in_values_given_by_name_are_told_too() -> None:
    with pytest.raises(ConfigurationError) as wrong:
        Config.load({}, port="x")
    assert len(wrong.value.problems) == 4


def test_the_settings_of_history_are_checked_with_the_others() -> None:
    found = problems(
        BOTSWAIN_MAINTENANCE_WINDOW="nightly",
        BOTSWAIN_KEEP_JOBS_DAYS="10",
        BOTSWAIN_MOVE_TASKS_AFTER_DAYS="-1",
    )
    assert [problem.split(":")[0].split()[0] for problem in found] == [
        "BOTSWAIN_MOVE_TASKS_AFTER_DAYS",
        "BOTSWAIN_MAINTENANCE_WINDOW",
        "BOTSWAIN_KEEP_JOBS_DAYS",
    ]
    config = Config.load(GOOD | {"BOTSWAIN_KEEP_JOBS_DAYS": "30.5", "BOTSWAIN_MOVE_AUDIT_AFTER_DAYS": "0"})
    assert [config.keep_days("jobs"), config.move_after_days("audit")] == [30.5, 0]
