"""What a trigger asks for at each firing: the order for its jobs, between names and the trigger's row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.errors import Invalid
from orchestrator.jobs import lifecycle as jobs
from orchestrator.jobs.lifecycle import NewJob
from orchestrator.processes import lifecycle as processes
from orchestrator.transaction import Transaction


def order_of(tx: Transaction, trigger: Any, arguments: Mapping[str, Any] | None = None) -> NewJob:
    """The order for one job; `arguments` are added to the trigger's own. Raises `Conflict` where the robot is
    gone, `Invalid` where two kinds of arguments cannot be merged."""
    robot, group = jobs.names_of_target(tx, trigger.target)
    return NewJob(
        process=processes.name_of(tx, trigger.process_id),
        version=trigger.version,
        robot=robot,
        group=group,
        arguments=_merged(trigger.arguments, arguments),
        priority=trigger.priority,
        max_attempts=trigger.max_attempts,
        on_lost=trigger.on_lost,
        max_run_seconds=trigger.max_run_seconds,
    )


def _merged(own: Any, added: Mapping[str, Any] | None) -> Any:
    if not added:
        return own
    if not isinstance(own, dict):
        raise Invalid.field("arguments", "those of the trigger are no object, so none can be added to them")
    return {**own, **added}
