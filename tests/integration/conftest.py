"""What the tests of the verbs share: a scene on each of the three databases, or on one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.scene import Scene


@pytest.fixture
def scene(migrated_database_url: str) -> Iterator[Scene]:
    """The verbs on a migrated database, with a published process."""
    with Scene.open(migrated_database_url) as opened:
        opened.publish()
        yield opened


def on(*dialects: str) -> pytest.MarkDecorator:
    """Only on these databases."""
    return pytest.mark.parametrize("dialect", dialects, indirect=True, scope="session")
