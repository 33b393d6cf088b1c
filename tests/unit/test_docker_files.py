"""The files in docker/, held to the commands, settings and servers that there are. No engine is needed."""

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import click
import pytest
import redis
import yaml  # type: ignore[import-untyped]
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import create_engine, text

from orchestrator.api.processes import FORM_ROOM
from orchestrator.cli.command_line import COMMANDS, botswain
from orchestrator.config import Config
from tests.architecture.source_files import PROJECT
from tests.conftest import missing, private
from tests.servers import MariaDB, MissingServerError
from tests.servers.ports import free_port
from tests.servers.processes import die_with_parent
from tests.servers.programs import find
from tests.servers.server import wait_for

DOCKER = PROJECT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "botswain"}
SECRETS = {"BOTSWAIN_SECRET_KEY", "BOTSWAIN_ADMIN_TOKEN", "DB_PASSWORD", "MARIADB_ROOT_PASSWORD"}
SECRETS |= {"REDIS_PASSWORD", "FLOWER_PASSWORD"}
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")


def botswain_calls() -> Iterator[tuple[str, list[str]]]:
    """(service, words after `botswain`) of every call, the ones within a shell's script too."""
    for name, service in OURS.items():
        words = list(service["command"])
        script = words[2] if words[:2] == ["sh", "-ec"] else shlex.join(words)
        for call in re.findall(r"(?<![-/])\bbotswain ([^;|&>\n]+)", script):
            yield name, shlex.split(call)
    yield "the image", instruction("CMD")[1:]


def instruction(name: str) -> list[str]:
    """The last instruction of this name in the Dockerfile that has a list of words."""
    return [str(word) for word in yaml.safe_load(re.findall(rf"^{name} (\[.*\])$", DOCKERFILE, re.M)[-1])]


def variables(text: str) -> set[tuple[str, str]]:
    """Names in ${…}, and what follows them: `:?` where they must be given, `:-` where they may be."""
    return set(re.findall(r"(?<!\$)\$\{([A-Z_]+)(:[?-])?[^}]*\}", text))


@pytest.mark.parametrize(("service", "call"), list(botswain_calls()))
def test_every_command_and_option_exists(service: str, call: list[str]) -> None:
    assert call[0] in COMMANDS, f"{service}: botswain {call[0]}"
    command: click.Command | None = botswain.get_command(click.Context(botswain), call[0])
    if isinstance(command, click.Group):
        command = command.commands[call[1]]
    assert command is not None
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in call if word.startswith("--")} <= known, f"{service}: {call}"


def test_every_part_is_there() -> None:
    calls = {service: call[0] for service, call in botswain_calls()}
    parts = {"api", "scheduler", "worker", "flower"}
    assert parts <= set(calls.values())
    assert {"nginx", "mariadb", "redis", "scheduler-1", "scheduler-2"} <= set(SERVICES)
    assert SERVICES["api"]["deploy"]["replicas"] > 1


def test_every_setting_is_documented() -> None:
    documented = (PROJECT / "docs/reference/configuration.md").read_text(encoding="utf-8")
    given = {name for service in OURS.values() for name in service["environment"]}
    given |= set(re.findall(r"\b(BOTSWAIN_[A-Z_]+)=", DOCKERFILE))
    assert {name for name in given if f"`{name}`" not in documented} == set()


def test_env_example_names_every_variable_and_holds_no_secret() -> None:
    lines = (DOCKER / "env.example").read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    used = variables((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    assert set(given) == {name for name, _ in used}
    assert {name for name, value in given.items() if value and name in SECRETS} == set()
    may_be_empty = {name for name, guard in used if name in SECRETS and guard != ":?"}
    assert may_be_empty == {"BOTSWAIN_ADMIN_TOKEN"}  # an empty password must be an error, not an open door


def test_no_secret_is_an_argument() -> None:
    for name, service in SERVICES.items():
        words = service.get("command", [])
        named = {variable for variable, _ in variables(" ".join(words))}
        assert not SECRETS & named, name  # compose would put it into the list


def test_schedulers_are_numbered_and_find_their_places() -> None:
    nodes = [service for name, service in OURS.items() if name.startswith("scheduler-")]
    numbers = [int(node["environment"]["SCHEDULER_CLUSTER_ID"]) for node in nodes]
    assert numbers == list(range(1, len(nodes) + 1))
    assert {node["environment"]["SCHEDULER_CLUSTER_SIZE"] for node in nodes} == {str(len(nodes))}
    assert [node["hostname"] for node in nodes] == [f"scheduler-{number}" for number in numbers]


def test_services_end_in_order_and_tell_their_health() -> None:
    for name, service in SERVICES.items():
        assert service["stop_grace_period"] in ("20s", "60s"), name
        if name != "api":  # its check is the image's
            assert "healthcheck" in service, name


def test_the_image_runs_as_nobody_special_and_is_made_of_files_that_exist() -> None:
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.M)[-1] not in ("root", "0")
    assert "/healthz" in instruction("    CMD")[-1]
    sources = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.M)
        for source in line.split()[:-1]
    ]
    assert [source for source in sources if not (PROJECT / source).exists()] == []
    allowed = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert {line[1:] for line in allowed if line.startswith("!")} == set(sources)
    assert not re.search(r"^(ARG|ENV).*(PASSWORD|SECRET|TOKEN)", DOCKERFILE, re.M)


def test_nginx_accepts_its_configuration(tmp_path: Path) -> None:
    try:
        nginx = find("nginx", package="nginx")
    except MissingServerError as reason:
        pytest.skip(str(reason))
    written = (DOCKER / "nginx.conf").read_text(encoding="utf-8")
    assert "api:4500" in written
    here = written.replace("api:4500", "127.0.0.1:4500").replace("/tmp/nginx.pid", str(tmp_path / "pid"))
    (tmp_path / "nginx.conf").write_text(here)
    said = subprocess.run(
        [nginx, "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")], capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr


def test_nginx_lets_robots_wait_and_bodies_through() -> None:
    written = (DOCKER / "nginx.conf").read_text(encoding="utf-8")
    longest_wait = 55
    assert int(re.findall(r"proxy_read_timeout (\d+)s;", written)[0]) > longest_wait + 5
    limits = [Config.model_fields["max_body_bytes"].default // 2**20, "m"]
    limits += [(Config.model_fields["max_package_bytes"].default + FORM_ROOM) // 2**10, "k"]
    said = re.findall(r"client_max_body_size (\d+)([mk]);", written)
    assert [part for number, unit in said for part in (int(number), unit)] == limits
    assert "proxy_set_header X-Forwarded-For" in written  # or strangers would pass for this machine
    assert "$http_authorization" not in written


def test_nginx_logs_no_secret_of_a_trigger(tmp_path: Path) -> None:
    """Nobody answers behind it, so that it has an error to log as well."""
    try:
        nginx = find("nginx", package="nginx")
    except MissingServerError as reason:
        pytest.skip(str(reason))
    port = free_port()
    written = (DOCKER / "nginx.conf").read_text(encoding="utf-8")
    for theirs, here in (
        ("api:4500", "127.0.0.1:1"),
        ("listen 4500", f"listen 127.0.0.1:{port}"),
        ("/tmp/nginx.pid", str(tmp_path / "pid")),
    ):
        written = written.replace(theirs, here)
    (tmp_path / "nginx.conf").write_text(written)
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [nginx, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-g", "daemon off;"],
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )
    try:
        paths = ("/api/v1/calls/bstr_secret", "/api//v1/%63alls/bstr_secret?a=1", "/api/v1/jobs/plain")
        for path in paths:
            assert wait_for(lambda path=path: answers_502(port, path), 10)
    finally:
        process.terminate()
        process.wait(10)
    logged = (tmp_path / "log").read_text()
    assert "/api/v1/jobs/plain" in logged and logged.count("/api/v1/calls/...") >= 2
    assert "bstr_secret" not in logged


def answers_502(port: int, path: str) -> bool:
    with suppress(OSError):
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("POST", path, body="{}")
        return connection.getresponse().status == 502
    return False


@pytest.fixture
def redis_of_compose(tmp_path: Path) -> Iterator[tuple[str, int, int]]:
    """Redis started by exactly the command and file of compose.yaml: password, port, pid."""
    try:
        program = find("redis-server", package="redis-server")
    except MissingServerError as reason:
        missing(reason)
    port, password = free_port(), "0123456789abcdef"
    written = (DOCKER / "redis.conf").read_text(encoding="utf-8")
    for theirs, here in (("bind * -::*", "bind 127.0.0.1"), ("port 6379", f"port {port}")):
        assert theirs in written
        written = written.replace(theirs, here)
    (tmp_path / "redis.conf").write_text(written.replace("dir /data", f"dir {tmp_path}"))
    words = [word.replace("$$", "$") for word in SERVICES["redis"]["command"]]
    words[-1] = words[-1].replace("/etc/redis/redis.conf", str(tmp_path / "redis.conf"))
    process = subprocess.Popen(
        words,
        env={"PATH": f"{Path(program).parent}:{os.environ['PATH']}", "REDIS_PASSWORD": password},
        stdout=subprocess.DEVNULL,
        preexec_fn=die_with_parent(signal.SIGKILL),
    )
    try:
        yield password, port, process.pid
    finally:
        process.terminate()
        process.wait(10)


def test_redis_starts_as_compose_says(redis_of_compose: tuple[str, int, int]) -> None:
    password, port, pid = redis_of_compose

    def answers(**how: Any) -> bool:
        with redis.Redis(port=port, retry=Retry(NoBackoff(), 0), **how) as client:
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.AuthenticationError):
                return False

    assert wait_for(lambda: answers(password=password), 10)
    assert not answers()
    with redis.Redis(port=port, password=password, decode_responses=True) as client:
        settings = client.config_get("maxmemory-policy", "appendonly", "maxmemory")
    assert settings == {"maxmemory-policy": "noeviction", "appendonly": "yes", "maxmemory": str(512 * 2**20)}
    assert password.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.fixture
def mariadb_of_compose() -> Iterator[Any]:
    yield from private(lambda: MariaDB(settings=SERVICES["mariadb"]["command"]))


def test_mariadb_starts_as_compose_says(mariadb_of_compose: Any) -> None:
    engine = create_engine(mariadb_of_compose.url)
    with engine.connect() as connection:
        asked = text("SELECT @@global.tx_isolation, @@innodb_flush_log_at_trx_commit, @@max_connections")
        assert tuple(connection.execute(asked).one()) == ("READ-COMMITTED", 1, 300)
    engine.dispose()
