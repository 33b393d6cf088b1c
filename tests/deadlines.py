"""Time limits: said as the promise is, and measured so that a machine with too much to do keeps them too.

What is late by a fault is late by far: a test waits at the other side of the limit for tens of seconds. Where
order, causes or counts tell the same, they are asserted, and not the time.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

STARVED = 4.0  # so many times longer may all take where several processes wait for each processor


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is inside takes at most so long on a quiet machine, and `STARVED` times as long on this one."""
    begun = time.monotonic()
    yield
    took = time.monotonic() - begun
    assert took <= seconds * STARVED, f"{took:.2f} s; promised are {seconds:.2f} s on a quiet machine"
