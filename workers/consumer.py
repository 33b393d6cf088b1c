"""Celery's consumer, made proof against messages that it cannot read.

In celery 5.7 a message whose body is `[]` ends the worker with a ValueError, and so does anything in a queue
that is no envelope of kombu's. Whoever can write to the broker must not be able to end a node by a message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from celery.worker.consumer import Consumer as CeleryConsumer

log = structlog.get_logger(__name__)

UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


class Consumer(CeleryConsumer):
    """Drops what cannot be read, and goes on."""

    loop: Callable[..., Any]
    connection_errors: tuple[type[Exception], ...]
    channel_errors: tuple[type[Exception], ...]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._unguarded_loop = self.loop
        self.loop = self._guarded_loop

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Any], Any]:
        handle = super().create_task_handler(*arguments, **options)

        def guarded(message: Any) -> Any:
            try:
                return handle(message)
            except (*self.connection_errors, *self.channel_errors):
                raise
            except UNREADABLE as error:
                log.warning(
                    "message_dropped", reason=f"it cannot be read: {type(error).__name__}: {error}"[:300]
                )
                return message.ack_log_error(log, self.connection_errors)

        return guarded

    def _guarded_loop(self, *arguments: Any) -> Any:
        """What breaks in the transport itself has left the queue by then; a new connection goes on after it,
        as after any other trouble with the broker."""
        try:
            return self._unguarded_loop(*arguments)
        except (*self.connection_errors, *self.channel_errors):
            raise
        except UNREADABLE as error:
            log.warning("message_dropped", reason=f"it is no message: {type(error).__name__}: {error}"[:300])
            raise ConnectionResetError("a message in the queue was none") from error
