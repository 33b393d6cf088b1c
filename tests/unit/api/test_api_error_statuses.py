"""Every error that is raised on purpose has its HTTP status."""

from __future__ import annotations

from orchestrator import errors
from orchestrator.api.problems import STATUSES


def test_every_error_on_purpose_has_a_status() -> None:
    def kinds(root: type[errors.BotswainError]) -> set[type[errors.BotswainError]]:
        return {root}.union(*[kinds(kind) for kind in root.__subclasses__()])

    known = {kind for kind in kinds(errors.BotswainError) if kind.__module__ == "orchestrator.errors"}
    without = {kind for kind in known if not set(kind.__mro__) & set(STATUSES)}
    assert without == {errors.BotswainError, errors.ConfigurationError}
