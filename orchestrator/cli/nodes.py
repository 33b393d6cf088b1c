"""botswain scheduler, worker, flower: each becomes the Celery process that it names."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import click

from orchestrator.cli import parts
from orchestrator.cli.refusal import Refusal

NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@click.command()
def scheduler() -> None:
    """Run one scheduler; SCHEDULER_CLUSTER_ID and SCHEDULER_CLUSTER_SIZE say which of how many.

    SCHEDULER_CLUSTER_ID=auto takes the lowest number that is free, and the cluster has as many as run.
    """
    given = os.environ.get("SCHEDULER_CLUSTER_ID") or "1"
    if given != "auto" and (not given.isdigit() or int(given) < 1):
        raise Refusal(f"SCHEDULER_CLUSTER_ID must be a number from 1 on, or auto (it is {given!r})")
    become(parts.scheduler_argv(given))


@click.command()
@click.option(
    "--name", metavar="N", envvar="BOTSWAIN_NODE_NAME", help="this node's name [default: the host's]"
)
@click.option(
    "--threads",
    metavar="N",
    type=click.IntRange(1, 256),
    envvar="BOTSWAIN_WORKER_THREADS",
    default=4,
    show_default=True,
    help="activities at a time",
)
def worker(name: str | None, threads: int) -> None:
    """Run one worker node: activities, and the sessions of unattended robots on this machine.

    It needs BOTSWAIN_SERVER, BOTSWAIN_NODE_TOKEN (`botswain token create --role node`) and REDIS_URL.
    """
    name = name or f"worker-{socket.gethostname().partition('.')[0]}"
    if not NODE_NAME.fullmatch(name):
        raise Refusal(f"--name {name!r}: a node's name is made of letters, digits, dots, dashes, underscores")
    os.environ["BOTSWAIN_NODE_NAME"] = name
    become(parts.worker_argv(name, threads))


@click.command()
def flower() -> None:
    """Run Flower, the monitor of Celery, on FLOWER_ADDRESS (127.0.0.1) and FLOWER_PORT (5555).

    FLOWER_BASIC_AUTH=user:password is needed: Flower can end workers. Its /metrics and /healthcheck are open
    to whoever reaches it.
    """
    if not re.fullmatch(r"[^:,]+:[^,]+", os.environ.get("FLOWER_BASIC_AUTH", "")):
        raise Refusal("FLOWER_BASIC_AUTH is not set: give it user:password, without a comma")
    port = os.environ.get("FLOWER_PORT") or "5555"
    if not port.isdigit():
        raise Refusal(f"FLOWER_PORT must be a number (it is {port!r})")
    become(parts.flower_argv(os.environ.get("FLOWER_ADDRESS") or "127.0.0.1", int(port)))


def become(argv: list[str]) -> None:
    """Replace this process, so that signals reach the one that works."""
    if not os.environ.get("REDIS_URL"):
        raise Refusal("REDIS_URL is not set: give a URL (redis://:password@host:6379/0, unix:///path?db=0)")
    _refuse_foreign_settings()
    os.execv(argv[0], argv)  # noqa: S606


def _refuse_foreign_settings() -> None:
    """Celery looks for its settings in the present folder first."""
    found = Path("celeryconfig.py").absolute()
    ours = Path(__file__).parents[2] / "celeryconfig.py"
    if found.exists() and not (ours.exists() and found.samefile(ours)):
        raise Refusal(f"{found} would be taken for Botswain's settings of Celery: start from another folder")
