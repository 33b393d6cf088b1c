"""What the histories of resources must show, whatever was done to the cluster.

A history is what `GET /api/v1/resources/{id}/history` answers. `Evidence` is what the robots themselves
were told. In the drills every robot writes only to what it has taken with a lock.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Entry = Mapping[str, Any]
Histories = Mapping[str, Sequence[Entry]]  # by the resource's id
GRANTS, WRITES = ("take", "lock"), ("change", "finish", "fail", "delete")


@dataclass(frozen=True)
class Evidence:
    """A robot was answered 200: `what` is take, change or finish; its fence is that of its grant."""

    what: str
    resource: str
    run: str
    fence: int


@dataclass
class Held:
    run: str | None
    until: datetime | None

    def at(self, moment: datetime) -> bool:
        return self.until is None or self.until > moment


def finished_once(histories: Histories, _: Sequence[Evidence]) -> Iterator[str]:
    """Each resource is finished, and once."""
    for resource, entries in histories.items():
        count = sum(entry["event"] == "finish" for entry in entries)
        last = [entry for entry in entries if entry["event"] != "refused"][-1:]
        if count != 1 or last[0]["status"] != "Processed":
            yield f"resource {resource} was finished {count} times, and is {last and last[0]['status']}"


def fences_grow(histories: Histories, told: Sequence[Evidence]) -> Iterator[str]:
    """A fence belongs to one grant."""
    for resource, entries in histories.items():
        fences = [entry["fence"] for entry in entries if entry["event"] in GRANTS]
        if fences != sorted(set(fences)):
            yield f"resource {resource} was granted with the fences {fences}"
    grants = Counter((one.resource, one.fence) for one in told if one.what == "take")
    yield from (f"fence {key} was told to {count} robots" for key, count in grants.items() if count > 1)


def no_grant_while_held(histories: Histories, _: Sequence[Evidence]) -> Iterator[str]:
    """No lock is given while another run holds it."""
    for resource, entries in histories.items():
        for entry, held in replay(entries):
            if entry["event"] in GRANTS:
                for mode in {"read", *entry["detail"]["locks"]}:
                    lock = held.get(mode)
                    if lock and lock.run != entry["run"] and lock.at(moment(entry["at"])):
                        yield f"resource {resource}: {mode} of {lock.run} was given to {entry['run']}"


def no_stale_write(histories: Histories, told: Sequence[Evidence]) -> Iterator[str]:
    """No run writes after the resource has passed on to another."""
    for resource, entries in histories.items():
        latest = None
        for entry in entries:
            if entry["event"] in GRANTS:
                latest = entry["run"]
            elif entry["event"] in WRITES and entry["run"] != latest:
                yield f"resource {resource}: {entry['event']} by {entry['run']}, but it was with {latest}"
    finishers: dict[str, set[str]] = defaultdict(set)
    for one in told:
        if one.what == "finish":
            finishers[one.resource].add(one.run)
    yield from (f"resource {key} was finished by {runs}" for key, runs in finishers.items() if len(runs) > 1)


def answers_are_kept(histories: Histories, told: Sequence[Evidence]) -> Iterator[str]:
    """What a robot was told is in the history."""
    kept = {
        (entry["event"], resource, entry["run"])
        for resource, entries in histories.items()
        for entry in entries
    }
    for one in told:
        if (one.what, one.resource, one.run) not in kept:
            yield f"{one} is not in the history"


Rule = Callable[[Histories, Sequence[Evidence]], Iterator[str]]
RULES: tuple[Rule, ...] = (
    finished_once,
    fences_grow,
    no_grant_while_held,
    no_stale_write,
    answers_are_kept,
)


def breaches(histories: Histories, told: Sequence[Evidence]) -> list[str]:
    return [f"{rule.__name__}: {one}" for rule in RULES for one in rule(histories, told)]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def replay(entries: Sequence[Entry]) -> Iterator[tuple[Entry, dict[str, Held]]]:
    """Each entry with the locks as they were before it."""
    held: dict[str, Held] = {}
    for entry in entries:
        yield entry, held
        detail, event = entry["detail"], entry["event"]
        if event in GRANTS:
            until = moment(detail["until"]) if detail["until"] else None
            held |= {mode: Held(entry["run"], until) for mode in detail["locks"]}
        elif event in ("unlock", "lock_expired", "undelivered"):
            held = {mode: lock for mode, lock in held.items() if mode not in detail["locks"]}
        elif event == "run_ended":
            held = {m: lock for m, lock in held.items() if lock.until or lock.run != entry["run"]}
        elif event in ("finish", "fail"):
            held = {mode: lock for mode, lock in held.items() if lock.run != entry["run"]}
