"""Every Celery setting, for schedulers, worker nodes, Flower and whoever sends a hint.

A Celery message is a hint of work that SQL holds. Hence: acknowledged early, kept without results, never
delayed, and JSON only, so that whoever can write to the broker still cannot run code. The reasons, with
what was measured of each, are in docs/explanation/celery.md.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit


def broker_url_for(redis_url: str) -> str:
    """Kombu's form of a Redis URL: it has a scheme of its own for a unix socket."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    credentials = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    database = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair).get("db", "0")
    return f"redis+socket://{credentials}{parts.path}?virtual_host={database}"


broker_url = broker_url_for(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
broker_transport_options = {
    "global_keyprefix": "botswain:celery:",
    "socket_timeout": 20,
    "socket_connect_timeout": 3,
    "socket_keepalive": True,
    "health_check_interval": 10,
}

# Whoever can write to the broker must not be able to run code.
accept_content = ["json"]
worker_consumer = "workers.consumer:Consumer"  # nor end a node by a message that cannot be read
task_serializer = "json"
result_serializer = "json"

# A worker that holds an unacknowledged message when Redis goes away dies with an AttributeError in this
# version (6 of 6 runs); with early acknowledgement it lives (2 of 2). Lost hints are found by the sweep.
task_acks_late = False
task_ignore_result = True
task_store_errors_even_if_ignored = False
result_backend = None
worker_prefetch_multiplier = 1
worker_hijack_root_logger = False
worker_send_task_events = True
task_send_sent_event = False
event_queue_expires = 30
worker_cancel_long_running_tasks_on_connection_loss = False

task_create_missing_queues = True
task_default_queue = "activities"
# One entry a task name: who sends by name, and who is allowed to run it, is the same list.
task_routes = {
    "scheduler.wake": {"queue": "unrouted"},  # always sent to a named node's own queue
    "workers.perform": {"queue": "activities"},
}
