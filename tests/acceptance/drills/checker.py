"""What the histories of jobs must show, whatever was done to the cluster.

A history is what `GET /api/v1/jobs/{guid}/history` answers: entries in order, each with `at` (RFC 3339),
`event`, `status`, `attempt`, `fence`, `robot`, and, where a scheduler was at work, `partition` and `seq`.
Each rule answers with sentences, one for each breach.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

Entry = Mapping[str, Any]
Histories = Mapping[str, Sequence[Entry]]  # by the job's GUID
Rule = Callable[[Histories], Iterator[str]]

TERMINAL = {3, 4, 5, 7}
LIVE = {2, 6, 8}


def no_job_is_lost(histories: Histories) -> Iterator[str]:
    """J1: every job that was accepted is there and has ended."""
    for job, entries in histories.items():
        if not entries:
            yield f"job {job} has no history"
        elif entries[-1]["status"] not in TERMINAL:
            yield f"job {job} has not ended: {_tell(entries[-1])}"


def one_end(histories: Histories) -> Iterator[str]:
    """J2: at most one terminal transition is accepted, and nothing comes after it."""
    for job, entries in histories.items():
        ends = [index for index, entry in enumerate(entries) if entry["status"] in TERMINAL]
        if ends and ends[0] < len(entries) - 1:
            yield f"job {job} went on after its end: {_tell(entries[ends[0] + 1])}"


def one_start_an_attempt(histories: Histories) -> Iterator[str]:
    """J4: an attempt starts at most once, and a fence belongs to one attempt and one robot."""
    for job, entries in histories.items():
        starts = [entry for entry in entries if entry["event"] == "start"]
        for key in ("attempt", "fence"):
            seen: set[int] = set()
            for start in starts:
                if start[key] in seen:
                    yield f"job {job} started twice with {key} {start[key]}"
                seen.add(start[key])


def one_run_of_a_job(histories: Histories) -> Iterator[str]:
    """A run starts only when the run before it has ended."""
    for job, entries in histories.items():
        for before, entry in pairwise(entries):
            if entry["event"] == "start" and before["status"] in LIVE:
                yield f"job {job} started while it ran: {_tell(before)}, {_tell(entry)}"


def first_come_first_served(histories: Histories) -> Iterator[str]:
    """J5: in each partition, jobs are handed out for the first time in the order in which they arrived."""
    handed_out = defaultdict(list)
    for entries in histories.values():
        first = next((entry for entry in entries if entry["event"] == "dispatch"), None)
        if first is not None and first["attempt"] == 1:
            handed_out[first["partition"]].append((_when(first), first["seq"]))
    for partition, moments in handed_out.items():
        for before, after in pairwise(sorted(moments)):
            if after[0] > before[0] and after[1] < before[1]:
                yield f"partition {partition}: seq {before[1]} was handed out before {after[1]}"


def order_of_arrival_is_gapless(histories: Histories) -> Iterator[str]:
    """J5: a place in a partition belongs to one job."""
    places: dict[tuple[int, int], str] = {}
    for job, entries in histories.items():
        for place in {(entry["partition"], entry["seq"]) for entry in entries if entry["seq"] is not None}:
            if places.setdefault(place, job) != job:
                yield f"jobs {places[place]} and {job} share the place {place[1]} of partition {place[0]}"


def one_live_run_a_robot(histories: Histories) -> Iterator[str]:
    """A robot's next run starts when its last one has ended."""
    runs = defaultdict(list)
    for job, entries in histories.items():
        for begun, ended in _runs(entries):
            runs[begun["robot"]].append((_when(begun), _when(ended) if ended else None, job))
    for robot, spans in runs.items():
        for before, after in pairwise(sorted(spans, key=lambda span: span[0])):
            if before[1] is None or after[0] < before[1]:
                yield f"robot {robot} ran job {after[2]} while it ran job {before[2]}"


RULES: dict[str, Rule] = {
    "J1": no_job_is_lost,
    "J2": one_end,
    "J4": one_start_an_attempt,
    "one run of a job": one_run_of_a_job,
    "J5": first_come_first_served,
    "J5 places": order_of_arrival_is_gapless,
    "one live run a robot": one_live_run_a_robot,
}


def breaches(histories: Histories) -> list[str]:
    """All breaches of all rules; an empty list is a cluster that kept its word."""
    return [f"{name}: {sentence}" for name, rule in RULES.items() for sentence in rule(histories)]


def _runs(entries: Sequence[Entry]) -> Iterator[tuple[Entry, Entry | None]]:
    begun: Entry | None = None
    for entry in entries:
        if begun is not None and entry["status"] not in LIVE:
            yield begun, entry
            begun = None
        if entry["event"] == "start":
            begun = entry
    if begun is not None:
        yield begun, None


def _when(entry: Entry) -> datetime:
    return datetime.fromisoformat(entry["at"])


def _tell(entry: Entry) -> str:
    return f"{entry['event']} to {entry['status']} at {entry['at']}"
