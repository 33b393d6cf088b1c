"""The fault drill in its short form: each of `make drill`'s drills, with a few of its harms."""

import pytest

from tests.acceptance.cluster.fixtures import LONG_DRILLS
from tests.conftest import missing
from tests.drill import master_moves, mutants, node_clocks, rolling
from tests.drill.__main__ import DRILLS
from tests.drill.options import Options
from tests.servers import MissingServerError

# A test of its own has the first. What the others do is in shorter tests as well (of draining, of upgrades,
# of the checker and of leases), and they would take `make test` beyond its ten minutes.
ELSEWHERE = {master_moves.NAME} | (set() if LONG_DRILLS else {rolling.NAME, mutants.NAME, node_clocks.NAME})


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", [name for name in DRILLS if name not in ELSEWHERE])
def test_what_is_promised_is_kept(name: str) -> None:
    try:
        findings = list(DRILLS[name](Options.short()))
    except MissingServerError as reason:
        missing(reason)
        raise
    assert findings
    assert [finding.as_line() for finding in findings if finding.is_met is False] == []
