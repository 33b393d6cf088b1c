"""botswain api: the API and the console under granian."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

BACKLOG = 2048
CONNECTIONS = 2048  # per process
_SECRETS = ("BOTSWAIN_SECRET_KEY", "BOTSWAIN_ADMIN_TOKEN", "DATABASE_URL", "DB_PASSWORD", "REDIS_URL")


@click.command()
@click.option(
    "--grace",
    metavar="SECONDS",
    type=click.IntRange(1, 60),
    default=5,
    show_default=True,
    help="time for open requests when it is ended",
)
def api(grace: int) -> None:
    """Run the API and the console. BOTSWAIN_HOST, BOTSWAIN_PORT, BOTSWAIN_API_PROCESSES and
    BOTSWAIN_API_THREADS say where and how; `botswain check` says what else is needed.
    """
    from orchestrator import logs
    from orchestrator.cli.ports import refuse_busy
    from orchestrator.config import Config

    config = Config.load()
    refuse_busy(config.host, config.port)
    refuse_schema(config)
    logs.configure()
    raise_file_limit()
    with metrics_folder():
        serve(config, grace)


def refuse_schema(config: Any) -> None:
    """Where the schema does not go with this code. A database that is away is waited for."""
    from sqlalchemy import exc

    from orchestrator import schema
    from orchestrator.cli.database import engine_of
    from orchestrator.errors import ConfigurationError

    engine = engine_of(config)
    try:
        problem = schema.problem(engine)
    except exc.DBAPIError:
        problem = None
    finally:
        engine.dispose()  # nothing of it may live on in the forked processes
    if problem:
        raise ConfigurationError([problem])


def serve(config: Any, grace: int) -> None:
    """Serve until a signal ends it.

    A thread that waits in a long poll costs nothing but itself, so there are many. Granian counts idle
    connections against its `backpressure`, not requests: with as few as there are threads, robots that keep
    their connections open would lock everybody else out.
    """
    from granian import Granian
    from granian.constants import Interfaces

    import orchestrator.app  # noqa: F401  (the processes are forked from this one, and share it)

    server = Granian(
        "orchestrator.app:create_app",
        config.host,
        config.port,
        interface=Interfaces.WSGI,
        workers=config.api_processes,
        blocking_threads=config.api_threads,
        blocking_threads_idle_timeout=600,
        backpressure=CONNECTIONS,
        backlog=BACKLOG,
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=grace,
        log_dictconfig=_LOGGING,
    )
    server.serve(target_loader=load, wrap_loader=False)


def load() -> Any:
    """The application of one process; it ends with the process that started it."""
    from orchestrator.app import create_app
    from orchestrator.cli.lifeline import tie_to_parent
    from orchestrator.errors import BotswainError

    tie_to_parent(signal.SIGKILL)
    try:
        application = create_app()
    except BotswainError as error:
        click.echo(f"botswain: {error.detail}", err=True)
        sys.exit(1)
    for name in _SECRETS:  # granian puts the environment into each request's
        os.environ.pop(name, None)
    return application


@contextmanager
def metrics_folder() -> Iterator[None]:
    """Where the processes add their counts up: PROMETHEUS_MULTIPROC_DIR, emptied, or a folder for now."""
    given = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if given:
        Path(given).mkdir(parents=True, exist_ok=True)
        for counts in Path(given).glob("*.db"):
            counts.unlink(missing_ok=True)
        yield
        return
    with tempfile.TemporaryDirectory(prefix="botswain-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        yield


def raise_file_limit() -> None:
    """As many open connections as the system allows, instead of the usual 1,024."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


_LOGGING = {
    "formatters": {name: {"()": "orchestrator.logs.formatter"} for name in ("generic", "access")},
    "handlers": {
        "console": {"formatter": "generic", "class": "logging.StreamHandler", "stream": "ext://sys.stderr"},
        "access": {"formatter": "access", "class": "logging.StreamHandler", "stream": "ext://sys.stderr"},
    },
}
