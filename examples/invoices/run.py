"""Work through the inbox with the robots of a running Botswain, and write the ledger.

    BOTSWAIN_TOKEN=... python examples/invoices/run.py --server http://127.0.0.1:4500 --out DIR

Four steps, all in work(): publish the process, put the messages into the queue `invoices`, ask for three jobs
that work it off, put the results together. Exit status 0 only if every message was processed, every job
succeeded, and the ledger is what truth.json says."""

from __future__ import annotations

import argparse
import base64
import csv
import io
import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import httpx
from cluster import SUCCESS, Cluster, RefusedError
from ledger import Ledger, build
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

HERE = Path(__file__).parent
PROCESS = QUEUE = "invoices"
ROBOTS = 3  # jobs that share the queue, one a robot


def main() -> int:
    options = _options()
    token = os.environ.get("BOTSWAIN_TOKEN")
    if not token:
        print("BOTSWAIN_TOKEN is not set: put an API token of an operator into it", file=sys.stderr)
        return 2
    http = httpx.Client(base_url=options.server, headers={"Authorization": f"Bearer {token}"}, timeout=30)
    try:
        with http:
            return work(Cluster(http), options.out, options.timeout, Console())
    except (RefusedError, httpx.InvalidURL) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Not followed any longer; the jobs go on: GET /api/v1/jobs?process=invoices", file=sys.stderr)
        return 130


def work(cluster: Cluster, out: Path, timeout: float, console: Console) -> int:
    """The whole example against one cluster; gives the exit status."""
    version = cluster.publish(PROCESS, package(HERE / "process"))
    items = messages(HERE)
    cluster.fill(QUEUE, items)
    guids = cluster.submit([job(HERE, version)] * ROBOTS)
    console.print(f"{len(items)} messages in queue {QUEUE}, {ROBOTS} jobs for version {version} of {PROCESS}")
    follow(cluster, guids, len(items), timeout, console)
    ended, read = cluster.jobs(PROCESS, guids), cluster.resources(QUEUE)
    failed = [one for one in ended.values() if one["status"] != SUCCESS]
    for one in failed:
        console.print(f"job {one['guid']}: {one['state']}. {one['error'] or 'no reason given'}", markup=False)
    left = [one for one in read if one["status"] != "Processed" or not one["result"]]
    for one in left:
        why = one["error"] or "no result"
        console.print(f"message {one['reference']}: {one['status']}. {why}", markup=False)

    books = build(one["result"] for one in read if one not in left)
    books.write(out)
    show(books, console)
    console.print(f"written: {out / 'ledger.csv'} and {out / 'review.csv'}", markup=False)
    wrong = differences(books, json.loads((HERE / "truth.json").read_text("utf-8")))
    console.print(f"matches the generator's truth: [bold]{'no' if wrong else 'yes'}[/bold]")
    for line in wrong[:10]:
        console.print(f"  {line}", markup=False)
    return 1 if failed or left or wrong else 0


def package(folder: Path) -> bytes:
    """The folder as a zip, the same bytes from the same files: no times, no owners, no compression."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.rglob("*.py")):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix())
            entry.create_system = 3  # otherwise Windows and Unix write different bytes
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def messages(folder: Path) -> list[dict[str, Any]]:
    """One item of the queue a message. The message itself goes along: robots need not share a disk with the
    inbox."""
    return [
        {
            "reference": path.name,
            "value": {"content": base64.b64encode(path.read_bytes()).decode("ascii")},
        }
        for path in sorted((folder / "inbox").glob("*.eml"))
    ]


def job(folder: Path, version: int) -> dict[str, Any]:
    """A job that works the queue off. A robot that dies is followed by another: what it had taken is in the
    queue again."""
    with (folder / "suppliers.csv").open(encoding="utf-8", newline="") as file:
        suppliers = list(csv.DictReader(file))
    return {
        "process": PROCESS,
        "version": version,
        "arguments": {"suppliers": suppliers},
        "on_lost": "requeue",
        "max_attempts": 3,
    }


def follow(cluster: Cluster, guids: list[str], total: int, timeout: float, console: Console) -> None:
    """Show a progress bar, by what has become of the messages, until all jobs have ended."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("robots at work", total=total)
        for counts in cluster.follow(PROCESS, guids, QUEUE, timeout):
            bar.update(task, completed=counts["Processed"] + counts["Error"])


def show(books: Ledger, console: Console) -> None:
    """The summary as two tables."""
    summary = books.summary()
    outcome = Table("outcome", "messages", title="What became of the messages", title_justify="left")
    outcome.add_row("booked", str(summary["booked"]))
    outcome.add_row("for review", str(summary["review"]))
    for code, count in summary["problems"].items():
        outcome.add_row(f"  {code.replace('_', ' ')}", str(count))
    totals = Table("supplier", "invoices", title="Booked, in EUR", title_justify="left")
    for column in ("net", "VAT", "gross"):
        totals.add_column(column, justify="right")
    for one in summary["suppliers"]:
        totals.add_row(one["supplier"], str(one["invoices"]), one["net"], one["vat"], one["gross"])
    totals.add_section()
    totals.add_row("all", str(summary["booked"]), summary["net"], summary["vat"], summary["gross"])
    console.print(outcome, totals)


def differences(books: Ledger, truth: dict[str, Any]) -> list[str]:
    """Where the ledger is not what the generator knows to be true, as sentences; empty when it is."""
    outcomes = {result["message"]: _outcome(result) for result in (*books.booked, *books.review)}
    wrong = [
        f"{name}: expected {_outcome(expected)}, found {outcomes.get(name, 'no result')}"
        for name, expected in truth["messages"].items()
        if outcomes.get(name) != _outcome(expected)
    ]
    summary = books.summary()
    return wrong + [
        f"summary, {key}: expected {value}, found {summary[key]}"
        for key, value in truth["summary"].items()
        if summary[key] != value
    ]


def _outcome(message: dict[str, Any]) -> str:
    codes = sorted(one if isinstance(one, str) else one["code"] for one in message["problems"])
    return " ".join([message["outcome"], *codes])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Work through the example inbox. BOTSWAIN_TOKEN has the token."
    )
    parser.add_argument("--server", default="http://127.0.0.1:4500", help="where Botswain serves")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for ledger.csv and review.csv")
    parser.add_argument("--timeout", type=float, default=600, help="seconds to wait for the robots at most")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
