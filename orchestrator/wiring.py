"""The parts that the API and the schedulers share, put together from one configuration."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import structlog
from redis import ConnectionError as RedisAway
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import Engine, create_engine

from orchestrator import failpoints
from orchestrator.config import Config
from orchestrator.database import engine_options, prepare
from orchestrator.jobs import announcements
from orchestrator.resources import proposals
from orchestrator.resources.proposals import Proposals
from orchestrator.robots.presence import WAKE_CHANNEL, Presence
from orchestrator.tasks.hints import Hints
from orchestrator.transaction import Transactions
from orchestrator.triggers import by_job_end, wake_ups
from orchestrator.triggers.wake_ups import WakeUps

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Parts:
    config: Config
    transactions: Transactions
    redis: Redis
    presence: Presence
    hints: Hints
    proposals: Proposals

    @property
    def run_lease(self) -> timedelta:
        return timedelta(seconds=self.config.run_lease_seconds)


def open_engine(config: Config, connections: int = 1) -> Engine:
    """`connections`: how many its process must be able to have at once, whatever the setting says."""
    url = config.database_url
    return prepare(create_engine(url, **engine_options(url, max(config.db_pool_size, connections))))


def open_redis(config: Config) -> Redis:
    """A client for short calls: it fails within a second rather than hold a request, or a batch of jobs.

    Its default of 10 retries and 5 s would; a blocking call needs a client of its own without a timeout.
    """
    return Redis.from_url(
        config.redis_url,
        socket_timeout=1,
        socket_connect_timeout=1,
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisAway,)),  # a stale connection, not a slow server
        health_check_interval=0,
    )


def _arm_failpoints(text: str) -> None:
    failpoints.arm(text)
    if text:
        log.warning("failpoints_set", points=text, detail="This process is meant to fail: a test runs it.")


def assemble(config: Config, engine: Engine) -> Parts:
    _arm_failpoints(config.failpoints)
    redis = open_redis(config)
    transactions = Transactions(engine)
    presence = Presence(redis, config.run_lease_seconds)
    hints = Hints(redis, config.redis_url)
    own_proposals = Proposals(redis, WAKE_CHANNEL)
    announcements.subscribe(transactions, presence, hints)
    proposals.subscribe(transactions, own_proposals)
    wake_ups.subscribe(transactions, WakeUps(redis))
    by_job_end.accompany(transactions)
    return Parts(config, transactions, redis, presence, hints, own_proposals)
