"""The activities that this node has: what installed packages name in the group `botswain.activities`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

from workers.activities.activity import Activity, ActivityError

GROUP = "botswain.activities"


class Registry:
    """Names are read at the node's start; a module is imported when its activity is first asked for."""

    def __init__(self, points: Sequence[EntryPoint] | None = None) -> None:
        found = entry_points(group=GROUP) if points is None else points
        self._points = {point.name: point for point in found}

    @property
    def names(self) -> list[str]:
        return sorted(self._points)

    def find(self, name: str) -> Activity:
        """Raises `ActivityError` where this node has no such activity, or its package is broken."""
        point = self._points.get(name)
        if point is None:
            raise ActivityError(f"This node has no activity {name!r}; it has: {', '.join(self.names)}.")
        try:
            activity = point.load()
        except Exception as error:
            raise ActivityError(
                f"The activity {name} ({point.value}) cannot be loaded: {type(error).__name__}: {error}"
            ) from error
        if not callable(activity):
            raise ActivityError(f"The activity {name} ({point.value}) is no function.")
        return activity  # type: ignore[no-any-return]
