"""Which partitions a tenant's tasks go to."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from orchestrator.tasks.model import PARTITIONS
from orchestrator.tasks.spread import Spread, share_of


def test_seventeen_tenants_have_partitions_that_no_other_has() -> None:
    shares = [share_of(tenant) for tenant in range(1, 18)]
    assert sorted(partition for share in shares for partition in share) == list(range(PARTITIONS))
    assert share_of(18) == share_of(2)
    assert all(set(share_of(tenant)) <= set(range(PARTITIONS)) for tenant in (0, 19, 10**9))


def test_blocks_of_a_batch_go_round_the_share() -> None:
    spread = Spread()
    given = [spread.next(1) for _ in range(640)]
    blocks = [given[start : start + 10] for start in range(0, 640, 10)]
    assert all(len(set(block)) == 1 for block in blocks)
    assert Counter(block[0] for block in blocks) == dict.fromkeys(share_of(1), 2)
    firsts = [block[0] for block in blocks]
    assert all(after == (before + 1) % 32 for before, after in pairwise(firsts))


def test_tenants_do_not_disturb_each_others_blocks() -> None:
    spread = Spread()
    mixed = [(spread.next(1), spread.next(2)) for _ in range(10)]
    assert len({ours for ours, _ in mixed}) == 1
    assert {theirs for _, theirs in mixed} < set(share_of(2))
