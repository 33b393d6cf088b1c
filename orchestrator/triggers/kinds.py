"""Every kind of trigger, by its name."""

from __future__ import annotations

from orchestrator.triggers.by_call import CALL
from orchestrator.triggers.by_cron import CRON
from orchestrator.triggers.by_interval import INTERVAL
from orchestrator.triggers.by_job_end import JOB_END
from orchestrator.triggers.by_once import ONCE
from orchestrator.triggers.by_queue import QUEUE
from orchestrator.triggers.kind import Kind

KINDS: dict[str, Kind] = {kind.name: kind for kind in (CRON, INTERVAL, ONCE, QUEUE, CALL, JOB_END)}
