"""The fault drill in its short form: each of `make drill`'s drills, with a few of its harms."""

import pytest

from tests.conftest import missing
from tests.drill.__main__ import DRILLS
from tests.drill.master_moves import NAME as OF_ITS_OWN
from tests.drill.options import Options
from tests.servers import MissingServerError


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", [name for name in DRILLS if name != OF_ITS_OWN])
def test_what_is_promised_is_kept(name: str) -> None:
    try:
        findings = list(DRILLS[name](Options.short()))
    except MissingServerError as reason:
        missing(reason)
        raise
    assert findings
    assert [finding.as_line() for finding in findings if finding.is_met is False] == []
