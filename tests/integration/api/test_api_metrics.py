"""What Prometheus reads: no caller can make it longer by what it says."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.integration.api.conftest import Caller

pytestmark = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)


def test_methods_and_addresses_that_nobody_knows_are_counted_as_one(admin: Caller) -> None:
    before = requests(admin.get("/metrics").text.splitlines())
    for number in range(3):
        assert admin(f"BREW{number}", "/api/v1/cluster").status_code == 405
        assert admin.get(f"/nowhere/{number}").status_code == 404
    after = requests(admin.get("/metrics").text.splitlines())
    assert after - before == {
        'botswain_requests_total{method="other",route="none",status="405"} 3.0',
        'botswain_requests_total{method="GET",route="none",status="404"} 3.0',
        'botswain_requests_total{method="GET",route="get_metrics",status="200"} 1.0',
    }


def requests(lines: Iterable[str]) -> set[str]:
    return {line for line in lines if line.startswith("botswain_requests_total")}
