"""Rows that are changed one by one: which errors are a row's own."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator.errors import Unavailable
from orchestrator.transaction import Transaction
from scheduler.maintenance.each import each
from scheduler.term import Term, TermOver

ROWS = [SimpleNamespace(id=number, tenant_id=number * 10) for number in (1, 2, 3)]


class OneByOne:
    """Stands for a term: a transaction for each call."""

    steps: list[str]

    def __init__(self) -> None:
        self.steps = []

    def run(self, work: Any) -> Any:
        tx = Transaction(cast(Any, None), 0, cast(Any, None), cast(Any, None))
        result = work(tx)
        self.steps.append(tx.step)
        return result


def change(tx: Transaction, row: Any) -> Counter[str]:
    if row.id == 2:
        raise KeyError("poison")
    return Counter(changed=tx.tenant_id)


def test_each_row_has_a_transaction_of_its_tenant_and_one_that_raises_is_counted() -> None:
    term = OneByOne()
    assert each(cast(Term, term), ROWS, change, step="lose") == {"changed": 40, "not_done": 1}
    assert term.steps == ["lose", "lose"]


@pytest.mark.parametrize("ending", [TermOver, Unavailable])
def test_what_is_not_a_row_s_own_ends_the_round(ending: type[Exception]) -> None:
    def over(tx: Transaction, row: Any) -> Counter[str]:
        raise ending

    with pytest.raises(ending):
        each(cast(Term, OneByOne()), ROWS, over)
