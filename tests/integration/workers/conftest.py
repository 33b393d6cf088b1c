"""The settings and contexts of the unit tests, beside real servers."""

from tests.unit.workers.conftest import context, settings

__all__ = ["context", "settings"]
