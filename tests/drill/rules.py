"""What the changes of tasks must show, whatever was done to the schedulers.

The changes are those that the database itself has written down (`witness.py`), in the order in which it made
them; no word of a scheduler is taken for anything. Each rule answers with sentences, one for each breach.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from orchestrator.tasks.model import TaskStatus

QUEUED, CLAIMED, SUCCEEDED = TaskStatus.QUEUED, TaskStatus.CLAIMED, TaskStatus.SUCCEEDED
POSTPONED = TaskStatus.POSTPONED


@dataclass(frozen=True)
class Change:
    """A task went `before` → `after` by the hand of `writer`, when its partition was `owner`'s."""

    task: int
    partition: int
    position: int
    before: int
    after: int
    fence_before: int
    fence: int
    writer: str  # the number of a scheduler; "": somebody else
    owner: str  # the number of the scheduler that had the partition; "": nobody


def nothing_is_lost(changes: Sequence[Change], tasks: Collection[int]) -> Iterator[str]:
    """Every accepted task was finished."""
    last = {change.task: change.after for change in changes}
    for task in tasks:
        if last.get(task) != SUCCEEDED:
            yield f"task {task} was left {last.get(task, QUEUED)}"


def finished_once(changes: Sequence[Change], _: Collection[int]) -> Iterator[str]:
    """Nothing happens to a task after its end."""
    ended: set[int] = set()
    for change in changes:
        if change.task in ended:
            yield f"task {change.task} went on to {change.after} after its end, by {change.writer}"
        if change.after == SUCCEEDED:
            ended.add(change.task)


def taken_by_the_owner(changes: Sequence[Change], _: Collection[int]) -> Iterator[str]:
    """A task is taken from the line by the scheduler that has the partition, and its fence grows by one."""
    for change in changes:
        if change.after != CLAIMED and (change.before, change.after) != (QUEUED, SUCCEEDED):
            continue
        if change.writer != change.owner:
            yield (
                f"task {change.task} of partition {change.partition} was taken by {change.writer}, "
                f"but the partition was {change.owner or 'nobody'}'s"
            )
        if change.before != QUEUED or change.fence != change.fence_before + 1:
            yield f"task {change.task} was taken from {change.before} with fence {change.fence}"


def finished_by_the_claimer(changes: Sequence[Change], _: Collection[int]) -> Iterator[str]:
    """What a claim allows is written by who made it, while it stands. Anything else is a stale write.

    What is finished from the line, without a claim, is for `taken_by_the_owner` to judge.
    """
    holder: dict[int, tuple[str, int]] = {}
    for change in changes:
        if change.after == CLAIMED:
            holder[change.task] = (change.writer, change.fence)
        elif change.after == QUEUED:
            holder.pop(change.task, None)
        elif (change.before, change.after) == (CLAIMED, SUCCEEDED) and holder.get(change.task) != (
            change.writer,
            change.fence,
        ):
            claim = holder.get(change.task, ("nobody", 0))
            yield (
                f"task {change.task} was finished by {change.writer} with fence {change.fence}, "
                f"but it was claimed by {claim[0]} with fence {claim[1]}"
            )


def first_come_first_served(changes: Sequence[Change], _: Collection[int]) -> Iterator[str]:
    """In each partition tasks are finished in the order of their places. Who was set aside has left it."""
    aside = set(set_aside(changes))
    reached: dict[int, int] = defaultdict(lambda: -1)
    for change in changes:
        if change.after == SUCCEEDED and change.task not in aside:
            if change.position < reached[change.partition]:
                yield f"partition {change.partition}: {change.position} after {reached[change.partition]}"
            reached[change.partition] = max(change.position, reached[change.partition])


def set_aside(changes: Sequence[Change]) -> list[int]:
    """The tasks that let others pass, because schedulers died at them."""
    return sorted({change.task for change in changes if change.after == POSTPONED})


Rule = Callable[[Sequence[Change], Collection[int]], Iterator[str]]
RULES: dict[str, Rule] = {
    "tasks lost": nothing_is_lost,
    "tasks finished twice": finished_once,
    "tasks out of order in a partition": first_come_first_served,
    "tasks taken by another than the owner": taken_by_the_owner,
    "stale writes accepted": finished_by_the_claimer,
}


def breaches(changes: Sequence[Change], tasks: Collection[int]) -> dict[str, list[str]]:
    """The sentences of each rule; nothing but empty lists is a cluster that kept its word."""
    return {name: list(rule(changes, tasks)) for name, rule in RULES.items()}
