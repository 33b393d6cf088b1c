"""What is wrong with the cluster, or will be: what its nodes found around them, and what SQL shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.insights.duties import DutyView


@dataclass(frozen=True)
class NoticeView:
    """`code` is one of those in the documentation; `nodes` are those that say so, none where it is of all."""

    code: str
    sentence: str
    nodes: list[str]


def notices(
    living: Sequence[Any], workers: Sequence[Any], has_master: bool, duties: Sequence[DutyView]
) -> list[NoticeView]:
    """`living` are the rows of the schedulers that live, `workers` those of the worker nodes."""
    return [*_of_cluster(living, has_master), *_of_duties(duties), *_of_nodes([*living, *workers])]


def _of_cluster(living: Sequence[Any], has_master: bool) -> list[NoticeView]:
    if not living:
        return [NoticeView("no_scheduler", "No scheduler lives: nothing is handed out. Start one", [])]
    if not has_master:
        said = "No scheduler is master: lost runs are not ended, and nothing that waits for the clock is done"
        return [NoticeView("no_master", said, [])]
    return []


def _of_duties(duties: Sequence[DutyView]) -> list[NoticeView]:
    told = []
    for duty in duties:
        if duty.failures:
            said = f"The duty {duty.name} fails ({duty.failures} in a row): {duty.error}"
            told.append(NoticeView("duty_fails", said, [duty.node]))
    return told


def _of_nodes(living: Sequence[Any]) -> list[NoticeView]:
    """What several say in the same words is told once."""
    told: dict[tuple[str, str], list[str]] = {}
    for row in living:
        for notice in (row.surroundings or {}).get("notices", []):
            told.setdefault((notice["code"], notice["sentence"]), []).append(row.name)
    return [NoticeView(code, sentence, nodes) for (code, sentence), nodes in told.items()]
