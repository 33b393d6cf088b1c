"""botswain up: a whole cluster on this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click

from orchestrator.cli.data_folder import DataFolder
from orchestrator.cli.embedded_cluster import ENDING, EmbeddedCluster, Size
from orchestrator.cli.ports import refuse_busy
from orchestrator.cli.supervisor import Supervisor

COUNT = click.IntRange(0, 64)


def say(line: str) -> None:
    """One calm line for people; standard output is for programs."""
    click.echo(line, err=True)


@click.command()
@click.option("--host", metavar="H", default="127.0.0.1", show_default=True, help="address to listen on")
@click.option("--port", metavar="P", type=click.IntRange(1, 65535), default=4500, show_default=True)
@click.option(
    "--data",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="BOTSWAIN_DATA",
    default="~/.botswain",
    show_default=True,
    help="database, secrets and logs (or BOTSWAIN_DATA)",
)
@click.option("--schedulers", metavar="N", type=COUNT, default=1, show_default=True)
@click.option("--workers", metavar="N", type=COUNT, default=1, show_default=True, help="worker nodes")
@click.option("--robots", metavar="N", type=COUNT, default=0, show_default=True)
@click.option("--no-flower", is_flag=True, help="without Flower, the monitor of Celery")
def up(host: str, port: int, data: Path, schedulers: int, workers: int, robots: int, no_flower: bool) -> None:
    """Run a whole cluster on this machine: its own Redis, API, schedulers, worker nodes, robots.

    Prints `ready http://H:PORT` on standard output when it serves. Ctrl-C ends everything. DATABASE_URL and
    REDIS_URL, where they are set, are used in place of SQLite and the embedded Redis.
    """
    size = Size(host, port, schedulers, workers, robots, not no_flower)
    run_cluster(data, size, lambda _, supervisor: supervisor.watch())


def run_cluster(data: Path, size: Size, then: Callable[[EmbeddedCluster, Supervisor], None]) -> None:
    """Start a cluster, announce it, do `then`, and end it; a signal ends it at any time, without an error."""
    refuse_busy(size.host, size.port)
    folder = DataFolder(data)
    held = folder.lock()
    refuse_busy(size.host, size.port)  # what an earlier cluster in the folder left behind has ended by now
    with Supervisor(folder, held, say, ENDING) as supervisor:
        cluster = EmbeddedCluster(folder, size, supervisor, say)
        say(f"Starting a cluster in {folder.path}")
        cluster.start()
        _announce(size)
        say(f"Console  {cluster.settings.address}/ (token in {folder.secrets / 'admin-token'})")
        cluster.start_the_rest()
        say("Ctrl-C ends everything.")
        then(cluster, supervisor)


def _announce(size: Size) -> None:
    host = f"[{size.host}]" if ":" in size.host else size.host
    click.echo(f"ready http://{host}:{size.port}")
    sys.stdout.flush()
