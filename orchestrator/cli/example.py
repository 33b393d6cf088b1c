"""botswain example: a cluster with three robots, and examples/invoices worked through by them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import click

from orchestrator.cli import lifeline
from orchestrator.cli.embedded_cluster import EmbeddedCluster, Size
from orchestrator.cli.refusal import Refusal
from orchestrator.cli.supervisor import Leave, Supervisor
from orchestrator.cli.up import run_cluster, say

CHECKOUT = Path(__file__).parents[2]
PROGRAM = Path("examples", "invoices", "run.py")


@click.command()
@click.option("--port", metavar="P", type=click.IntRange(1, 65535), default=4500, show_default=True)
@click.option("--once", is_flag=True, help="end when the work is done, with its exit status")
def example(port: int, once: bool) -> None:
    """Start a cluster with three robots in ./.botswain and let them work through the invoices example.

    It is part of the source, not of the installed package: run it from a checkout, best by `make run`.
    """
    checkout = find_checkout()
    data = Path(os.environ.get("BOTSWAIN_DATA") or checkout / ".botswain")
    status = 130  # as after Ctrl-C

    def then(cluster: EmbeddedCluster, supervisor: Supervisor) -> None:
        nonlocal status
        status = work(cluster, supervisor, checkout / PROGRAM, data / "ledger")
        if not once:
            say(f"Console  {cluster.settings.address}/. Ctrl-C ends everything.")
            supervisor.watch()

    run_cluster(data, Size("127.0.0.1", port, 1, 1, 3, has_flower=True), then)
    if once:
        sys.exit(status)


def find_checkout() -> Path:
    """The folder with pyproject.toml and examples/. Raises `Refusal` where there is none."""
    for folder in (CHECKOUT, Path.cwd()):
        if (folder / "pyproject.toml").is_file() and (folder / PROGRAM).is_file():
            return folder
    raise Refusal(f"{PROGRAM} is not here: run this from a checkout of Botswain's source")


def work(cluster: EmbeddedCluster, supervisor: Supervisor, program: Path, out: Path) -> int:
    """Run the example on this terminal while the cluster is looked after; its exit status."""
    out.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, str(program), "--server", cluster.settings.address, "--out", str(out)],
        env={**os.environ, "BOTSWAIN_TOKEN": cluster.settings.admin_token},
        stdin=subprocess.DEVNULL,
        preexec_fn=lifeline.bind_to(os.getpid(), signal.SIGTERM),
    )
    try:
        while process.poll() is None:
            supervisor.watch(0.5)
    except Leave:
        process.terminate()
        raise
    finally:
        process.wait()
    return process.returncode
