"""Which partitions a scheduler should take, and which it should give back: by numbers, or by how many live.

Both say what to do next from what is seen now. A member that sees something else for a moment does no harm:
a partition has one owner, by its lease, whatever they think.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from orchestrator.tasks.model import PARTITIONS


@dataclass(frozen=True)
class Step:
    take: list[int]
    give_back: list[int]


def by_number(
    me: int, size: int, living: Collection[int], owned: Collection[int], free: Collection[int]
) -> Step:
    """Each partition has a home among the numbers 1 to `size`; those whose home is away are guests with
    whoever comes first. `living` are the numbers of the members that serve."""

    def home(partition: int) -> int:
        return partition % size + 1

    take = [p for p in sorted(free) if home(p) == me or home(p) not in living]
    return Step(take, [p for p in sorted(owned) if home(p) != me and home(p) in living])


def by_count(me: int, living: Collection[int], owned: Collection[int], free: Collection[int]) -> Step:
    """Equal shares, to within one, of as many as live. When one comes or goes, only what must move does."""
    if me not in living:
        return Step([], [])
    share, rest = divmod(PARTITIONS, len(living))
    share += sorted(living).index(me) < rest
    if len(owned) > share:
        return Step([], sorted(owned)[share:])
    return Step(sorted(free)[: share - len(owned)], [])
