"""The parts of an embedded cluster: what each is told, and what it is not."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli import embedded_redis, parts, ports, sqlite_schema
from orchestrator.cli.child import describe
from orchestrator.cli.data_folder import DataFolder
from orchestrator.cli.embedded_cluster import database_settings
from orchestrator.cli.parts import Cluster, Part
from orchestrator.cli.refusal import Refusal
from orchestrator.cli.robot_guids import guids_of

SECRETS = ("database-password", "redis-password", "the-secret-key", "the-admin-token")


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    database, redis, key, token = SECRETS
    return Cluster(
        folder=tmp_path,
        host="127.0.0.1",
        port=4500,
        database={"DATABASE_URL": f"mysql+pymysql://clerk:{database}@db/botswain"},
        redis_url=f"unix://:{redis}@/run/redis.sock?db=0",
        secret_key=key,
        admin_token=token,
    )


def told(part: Part) -> list[int]:
    """Which of the secrets are in the part's environment."""
    text = "\n".join(part.environment.values())
    return [number for number, secret in enumerate(SECRETS) if secret in text]


def test_each_part_is_told_what_it_needs(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTSWAIN_SECRET_KEY", SECRETS[2])
    monkeypatch.setenv("DB_PASSWORD", SECRETS[0])
    made = {
        "api": cluster.api(),
        "scheduler": cluster.scheduler(2, 3),
        "worker": cluster.worker(1, "node-token"),
        "flower": cluster.flower(5555, "flower-password"),
        "robot": cluster.robot("robot-1", "da8bc2f0-8065-4385-b867-405e66b8e151"),
    }
    assert {name: told(part) for name, part in made.items()} == {
        "api": [0, 1, 2, 3],
        "scheduler": [0, 1, 2],
        "worker": [1],
        "flower": [1],
        "robot": [],
    }
    assert made["scheduler"].environment["SCHEDULER_CLUSTER_ID"] == "2"
    assert made["scheduler"].environment["SCHEDULER_CLUSTER_SIZE"] == "3"
    for part in made.values():
        assert not any(secret in " ".join(part.argv) + repr(part) for secret in SECRETS)
    assert not any(secret in repr(cluster) for secret in SECRETS)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:4500"),
        ("0.0.0.0", "http://127.0.0.1:4500"),
        ("::", "http://[::1]:4500"),
        ("::1", "http://[::1]:4500"),
    ],
)
def test_parts_reach_the_api_on_this_machine(cluster: Cluster, host: str, address: str) -> None:
    from dataclasses import replace

    assert replace(cluster, host=host).address == address


def test_celery_is_told_its_queues() -> None:
    argv = parts.scheduler_argv(2)
    assert argv[argv.index("--queues") + 1] == "node.scheduler-2"
    argv = parts.worker_argv("press", 3)
    assert argv[argv.index("--queues") + 1] == "activities,node.press"


def test_the_given_database_is_used_wherever_the_parts_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABASE_URL", "DB_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    assert database_settings(tmp_path) == {"DATABASE_URL": f"sqlite:///{tmp_path}/botswain.db"}
    monkeypatch.setenv("DATABASE_URL", "sqlite:///other.db")
    assert database_settings(tmp_path / "x") == {"DATABASE_URL": f"sqlite:///{tmp_path}/other.db"}
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("DB_HOST", "db")
    assert database_settings(tmp_path) == {"DB_HOST": "db"}


def test_a_secret_is_made_once_and_private(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    made = folder.secret("admin-token")
    assert len(made) >= 32
    assert folder.secret("admin-token") == made
    path = folder.secrets / "admin-token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    assert folder.read_secret("admin-token") == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert folder.read_secret("nothing") == ""


def test_a_large_log_is_set_aside(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    path = folder.logs / "api.log"
    path.write_bytes(b"x" * 6_000_000 + b"\none\n\ntwo\n")
    assert folder.last_lines("api", 2) == ["one", "two"]
    os.close(folder.open_log("api"))
    assert path.stat().st_size == 0
    assert path.with_suffix(".log.1").stat().st_size > 6_000_000


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refusal, match=r"--data .*file.* cannot be used"):
        DataFolder(tmp_path / "file" / "data")


def test_a_long_path_gets_its_socket_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    near = Path("/srv/botswain/redis")
    assert embedded_redis.socket_folder(near) == near
    short = embedded_redis.socket_folder(Path("/srv") / ("deep/" * 30))
    assert short.parent == tmp_path
    assert stat.S_IMODE(short.stat().st_mode) == 0o700
    short.chmod(0o755)
    with pytest.raises(Refusal, match="belongs to somebody else"):
        embedded_redis.socket_folder(Path("/srv") / ("deep/" * 30))


def test_redis_keeps_everything_and_opens_for_nobody_else(tmp_path: Path) -> None:
    redis = embedded_redis.EmbeddedRedis(DataFolder(tmp_path / 'a "quoted" folder'))
    part = redis.part()
    configuration = Path(part.argv[1]).read_text()
    for line in ("port 0", "unixsocketperm 700", "appendonly yes", "maxmemory-policy noeviction"):
        assert f"{line}\n" in configuration
    assert '\\"quoted\\"' in configuration
    assert stat.S_IMODE(Path(part.argv[1]).stat().st_mode) == 0o600
    assert not redis.answers()


def test_the_newest_migration_is_the_one_that_alembic_means() -> None:
    from alembic.script import ScriptDirectory

    from orchestrator import schema

    assert ScriptDirectory.from_config(schema._alembic()).get_current_head() == schema.newest()


def test_a_database_whose_schema_is_not_known_is_not_current(tmp_path: Path) -> None:
    assert not sqlite_schema.is_current("mysql+pymysql://db/botswain")
    assert not sqlite_schema.is_current(f"sqlite:///{tmp_path / 'none.db'}")
    (tmp_path / "file.db").write_text("no database")
    assert not sqlite_schema.is_current(f"sqlite:///{tmp_path / 'file.db'}")


class Server:
    """Robots by name, as the server has them."""

    def __init__(self, **robots: str) -> None:
        self.robots = robots

    def has_robot(self, name: str) -> bool:
        return name in self.robots

    def make_robot(self, name: str, guid: str) -> None:
        self.robots[name] = guid


def test_robots_keep_their_guids(tmp_path: Path) -> None:
    folder, server, said = DataFolder(tmp_path), Server(), list[str]()
    made = guids_of(["robot-1", "robot-2"], folder, server, said.append)
    assert made == server.robots
    assert guids_of(["robot-1"], folder, server, said.append) == {"robot-1": made["robot-1"]}
    assert guids_of(["robot-1"], folder, Server(), said.append) == {"robot-1": made["robot-1"]}
    assert said == []
    assert stat.S_IMODE((tmp_path / "robots.json").stat().st_mode) == 0o600


def test_a_robot_whose_guid_is_lost_is_left_out_and_said(tmp_path: Path) -> None:
    said: list[str] = []
    assert guids_of(["robot-1"], DataFolder(tmp_path), Server(**{"robot-1": "?"}), said.append) == {}
    assert "robot-1 is not started" in said[0]


def test_a_host_of_another_machine_is_refused() -> None:
    with pytest.raises(Refusal, match=r"cannot listen on 192\.0\.2\.1, port 4500"):
        ports.refuse_busy("192.0.2.1", 4500)


def test_a_death_is_described() -> None:
    assert describe(-9) == "was ended by SIGKILL"
    assert describe(78) == "has ended with exit status 78"


def test_help_imports_nothing_that_takes_long() -> None:
    program = (
        "import sys; from orchestrator.cli import command_line, up, example, nodes, supervisor\n"
        "from click.testing import CliRunner\n"
        "assert CliRunner().invoke(command_line.botswain, ['--help']).exit_code == 0\n"
        "slow = {'sqlalchemy', 'pydantic', 'celery', 'flask', 'httpx', 'rich', 'redis'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


def test_the_example_needs_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.cli import example

    assert example.find_checkout() == Path(__file__).parents[3]
    monkeypatch.setattr(example, "CHECKOUT", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refusal, match="run this from a checkout"):
        example.find_checkout()
