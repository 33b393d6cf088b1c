"""The configuration of every part, read from the environment, frozen, and able to list all its mistakes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from orchestrator import failpoints
from orchestrator.errors import ConfigurationError
from orchestrator.window import NotAWindow, Window

Seconds = float
Days = float
MOVED = ("jobs", "tasks", "resources", "audit")
AUTO = 0  # in place of a scheduler's number: one is leased


def _cluster_id(given: Any) -> int:
    if given == "auto":
        return AUTO
    if not str(given).isdigit() or int(given) < 1:
        raise ValueError("must be a number from 1 on, or auto")
    return int(given)


class Config(BaseModel):
    """Settings by the names of their environment variables. Durations are seconds."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, extra="ignore")

    database_url_given: SecretStr = Field(SecretStr(""), alias="DATABASE_URL")
    db_host: str = Field("", alias="DB_HOST")
    db_port: int = Field(3306, alias="DB_PORT", ge=1, le=65535)
    db_name: str = Field("botswain", alias="DB_NAME")
    db_user: str = Field("botswain", alias="DB_USER")
    db_password: SecretStr = Field(SecretStr(""), alias="DB_PASSWORD")
    db_pool_size: int = Field(5, alias="BOTSWAIN_DB_POOL_SIZE", ge=1, le=100)
    redis_url_given: SecretStr = Field(SecretStr(""), alias="REDIS_URL")

    secret_key: SecretStr = Field(SecretStr(""), alias="BOTSWAIN_SECRET_KEY")
    admin_token: SecretStr = Field(SecretStr(""), alias="BOTSWAIN_ADMIN_TOKEN")

    host: str = Field("127.0.0.1", alias="BOTSWAIN_HOST")
    port: int = Field(4500, alias="BOTSWAIN_PORT", ge=0, le=65535)
    api_processes: int = Field(2, alias="BOTSWAIN_API_PROCESSES", ge=1, le=64)
    api_threads: int = Field(80, alias="BOTSWAIN_API_THREADS", ge=2, le=1000)
    waiting_capacity: int = Field(64, alias="BOTSWAIN_WAITING_CAPACITY", ge=0, le=900)
    max_body_bytes: int = Field(8 * 1024 * 1024, alias="BOTSWAIN_MAX_BODY_BYTES", ge=1024)
    max_package_bytes: int = Field(8 * 1024 * 1024, alias="BOTSWAIN_MAX_PACKAGE_BYTES", ge=1024)

    heartbeat_seconds: Seconds = Field(10, alias="BOTSWAIN_HEARTBEAT_SECONDS", gt=0)
    run_lease_seconds: Seconds = Field(45, alias="BOTSWAIN_RUN_LEASE_SECONDS", gt=0)
    abort_grace_seconds: Seconds = Field(30, alias="BOTSWAIN_ABORT_GRACE_SECONDS", gt=0)

    scheduler_cluster_id: Annotated[int, BeforeValidator(_cluster_id)] = Field(
        1, alias="SCHEDULER_CLUSTER_ID"
    )
    scheduler_cluster_size: int = Field(1, alias="SCHEDULER_CLUSTER_SIZE", ge=1, le=64)
    scheduler_threads: int = Field(1, alias="SCHEDULER_THREADS", ge=1, le=64)
    scheduler_batch: int = Field(10, alias="SCHEDULER_BATCH", ge=1, le=1000)
    scheduler_interval: Seconds = Field(1, alias="SCHEDULER_INTERVAL", gt=0, le=60)
    scheduler_master: Literal["0", "1", "auto"] = Field("auto", alias="SCHEDULER_MASTER")
    scheduler_working_path: Path = Field(
        Path("~/.botswain/scheduler"), alias="SCHEDULER_WORKING_PATH", validate_default=True
    )
    forget_nodes_seconds: Seconds = Field(86400, alias="BOTSWAIN_FORGET_NODES_SECONDS", ge=0)
    least_free_bytes: int = Field(1024**3, alias="BOTSWAIN_LEAST_FREE_BYTES", ge=0)
    partition_lease_seconds: Seconds = Field(15, alias="BOTSWAIN_PARTITION_LEASE_SECONDS", gt=0)

    maintenance_window_given: str = Field("daily 01:00-05:00 UTC", alias="BOTSWAIN_MAINTENANCE_WINDOW")
    move_jobs_after: Days = Field(30, alias="BOTSWAIN_MOVE_JOBS_AFTER_DAYS", ge=0, le=36500)
    move_tasks_after: Days = Field(7, alias="BOTSWAIN_MOVE_TASKS_AFTER_DAYS", ge=0, le=36500)
    move_resources_after: Days = Field(30, alias="BOTSWAIN_MOVE_RESOURCES_AFTER_DAYS", ge=0, le=36500)
    move_audit_after: Days = Field(90, alias="BOTSWAIN_MOVE_AUDIT_AFTER_DAYS", ge=0, le=36500)
    keep_jobs: Days = Field(0, alias="BOTSWAIN_KEEP_JOBS_DAYS", ge=0, le=36500)
    keep_tasks: Days = Field(0, alias="BOTSWAIN_KEEP_TASKS_DAYS", ge=0, le=36500)
    keep_resources: Days = Field(0, alias="BOTSWAIN_KEEP_RESOURCES_DAYS", ge=0, le=36500)
    keep_audit: Days = Field(0, alias="BOTSWAIN_KEEP_AUDIT_DAYS", ge=0, le=36500)
    failpoints: str = Field("", alias="BOTSWAIN_FAILPOINTS")
    testing: Literal["", "1"] = Field("", alias="BOTSWAIN_TESTING")

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **changes: Any) -> Config:
        """Read the environment; raise `ConfigurationError` with every mistake at once."""
        reading = cls.read(os.environ if environ is None else environ, **changes)
        if problems := reading.problems():
            raise ConfigurationError(problems)
        return reading.config

    @classmethod
    def read(cls, environ: Mapping[str, str], **changes: Any) -> Reading:
        """What can be read, whatever is wrong."""
        values: dict[str, Any] = _set_values(environ) | changes
        try:
            return Reading(cls.model_validate(values), {})
        except ValidationError as error:
            unreadable = {item["loc"][0]: _sentence(item) for item in error.errors()}
            return Reading(cls.model_validate(_without(values, set(unreadable))), unreadable)

    def problems(self) -> list[str]:
        """What is wrong with settings that each can be read: a sentence each, with what to do."""
        return [
            *self.database_problems(),
            *self.redis_problems(),
            *self._secret_problems(),
            *self._cluster_problems(),
            *self._history_problems(),
            *self._failpoint_problems(),
        ]

    def _failpoint_problems(self) -> list[str]:
        _, problems = failpoints.read(self.failpoints)
        if self.failpoints and not self.testing:
            problems.append(
                "BOTSWAIN_FAILPOINTS is set, and has this process killed or stopped: unset it; "
                "a test that means it sets BOTSWAIN_TESTING=1 as well"
            )
        return problems

    def _cluster_problems(self) -> list[str]:
        if self.scheduler_cluster_id <= self.scheduler_cluster_size:
            return []
        return [
            f"SCHEDULER_CLUSTER_ID is {self.scheduler_cluster_id}, above SCHEDULER_CLUSTER_SIZE "
            f"({self.scheduler_cluster_size}): number the schedulers from 1 to the size"
        ]

    def _history_problems(self) -> list[str]:
        found = []
        try:
            Window.read(self.maintenance_window_given)
        except NotAWindow as error:
            found.append(f"BOTSWAIN_MAINTENANCE_WINDOW: {error}")
        for name in MOVED:
            after, kept = self.move_after_days(name), self.keep_days(name)
            if 0 < kept < after:
                found.append(
                    f"BOTSWAIN_KEEP_{name.upper()}_DAYS is {kept:g}, below "
                    f"BOTSWAIN_MOVE_{name.upper()}_AFTER_DAYS ({after:g}): what is kept is moved first; "
                    "keep it for longer, or move it earlier (0 keeps it for ever)"
                )
        return found

    def database_problems(self) -> list[str]:
        given = self.database_url_given.get_secret_value()
        if not given and not self.db_host:
            return ["DATABASE_URL is not set: give a URL (sqlite:///…, mysql+pymysql://…) or DB_HOST"]
        try:
            backend = self.database_url.get_backend_name()
        except (ArgumentError, ValueError):  # the latter where the port is no number
            return ["DATABASE_URL cannot be read: it must look like mysql+pymysql://user:password@host/name"]
        if backend not in ("sqlite", "mysql", "postgresql"):
            return [f"DATABASE_URL names {backend}: SQLite, MariaDB and PostgreSQL are supported"]
        return []

    def redis_problems(self) -> list[str]:
        given = self.redis_url_given.get_secret_value()
        if not given:
            return ["REDIS_URL is not set: give a URL (redis://:password@host:6379/0, unix:///path?db=0)"]
        if not given.startswith(("redis://", "rediss://", "unix://")):
            return ["REDIS_URL cannot be read: it must start with redis://, rediss:// or unix://"]
        try:
            urlsplit(given).port  # noqa: B018  (it is read only when it is asked for)
        except ValueError:
            return ["REDIS_URL cannot be read: its port is not a number from 0 to 65535"]
        return []

    def _secret_problems(self) -> list[str]:
        found = []
        if len(self.secret_key.get_secret_value()) < 32:
            found.append(
                "BOTSWAIN_SECRET_KEY is missing or shorter than 32 characters: set a long random text"
            )
        token = self.admin_token.get_secret_value()
        if token and len(token) < 16:
            found.append("BOTSWAIN_ADMIN_TOKEN is shorter than 16 characters: set a longer one, or none")
        return found

    @cached_property
    def database_url(self) -> URL:
        """The URL with the driver filled in; `DB_HOST` and its companions mean MariaDB."""
        given = self.database_url_given.get_secret_value()
        if not given:
            return URL.create(
                "mysql+pymysql",
                username=self.db_user,
                password=self.db_password.get_secret_value() or None,
                host=self.db_host,
                port=self.db_port,
                database=self.db_name,
                query={"charset": "utf8mb4"},
            )
        url = make_url(given)
        drivers = {"mysql": "mysql+pymysql", "mariadb": "mysql+pymysql", "postgresql": "postgresql+psycopg"}
        return url.set(drivername=drivers.get(url.get_backend_name(), url.drivername))

    @cached_property
    def maintenance_window(self) -> Window:
        return Window.read(self.maintenance_window_given)

    def move_after_days(self, table: str) -> Days:
        """Days after its end until a row of this table (one of `MOVED`) moves to history."""
        return float(getattr(self, f"move_{table}_after"))

    def keep_days(self, table: str) -> Days:
        """Days after its end until a row is deleted from history; 0: never."""
        return float(getattr(self, f"keep_{table}"))

    @property
    def redis_url(self) -> str:
        return self.redis_url_given.get_secret_value()

    def derived_key(self, purpose: str) -> bytes:
        """A 32-byte key for one purpose, so that no two uses of the secret key share one."""
        secret = self.secret_key.get_secret_value().encode()
        return hmac.new(secret, f"botswain:{purpose}".encode(), hashlib.sha256).digest()

    @cached_property
    def _digest_key(self) -> bytes:
        return self.derived_key("digest")

    def digest(self, secret: str) -> str:
        """What is stored and compared in place of a robot's GUID or a token: HMAC-SHA-256, hex."""
        return hmac.new(self._digest_key, secret.encode(), hashlib.sha256).hexdigest()

    def derived_text(self, purpose: str) -> str:
        return base64.urlsafe_b64encode(self.derived_key(purpose)).decode().rstrip("=")


@dataclass(frozen=True)
class Reading:
    """`config` has the defaults of what is `unreadable`: by variable, a sentence each."""

    config: Config
    unreadable: Mapping[int | str, str]

    def problems(self) -> list[str]:
        return [*self.unreadable.values(), *self.config.problems()]

    def names_database(self) -> bool:
        """Whether it can be told which database is meant, whatever else is wrong."""
        by_url = self.config.database_url_given.get_secret_value()
        return not self.config.database_problems() and (bool(by_url) or "DB_PORT" not in self.unreadable)

    def names_redis(self) -> bool:
        return not self.config.redis_problems()


def _set_values(environ: Mapping[str, str]) -> dict[str, str]:
    """An empty variable means the default: compose files set variables to nothing to unset them."""
    return {name: value for name, value in environ.items() if value != ""}


def _without(values: dict[str, Any], unreadable: set[int | str]) -> dict[str, Any]:
    """The rest, so that its mistakes can be told in the same breath."""
    names = {name for name, field in Config.model_fields.items() if field.alias in unreadable}
    return {name: value for name, value in values.items() if name not in unreadable | names}


def _sentence(item: Any) -> str:
    name = ".".join(str(part) for part in item["loc"])
    message = str(item["msg"]).removeprefix("Value error, ")
    given = f" (it is {item['input']!r})" if name and isinstance(item["input"], str) else ""
    return f"{name}: {message}{given}" if name else message
