"""A node's place on the server, and that it is given up for good."""

import threading
from collections.abc import Callable
from typing import Any, cast

from workers.registration import Place, Registration
from workers.server import Orders, Server
from workers.settings import Settings


class SlowServer:
    """Remembers the calls in the order in which they ended; a registration but the first takes its time."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.is_asked, self.may_answer = threading.Event(), threading.Event()

    def register(self, facts: dict[str, Any]) -> Orders:
        if self.ended:
            self.is_asked.set()
            assert self.may_answer.wait(10)
        self.ended.append("register")
        return Orders(lease_seconds=0.3, drain=False, close_sessions=())

    def leave(self, incarnation: str) -> None:
        self.ended.append("leave")


def test_a_call_on_its_way_does_not_take_the_place_again(settings: Callable[..., Settings]) -> None:
    server = SlowServer()
    place = Place(settings())
    registration = Registration(cast(Server, server), place, dict, lambda orders: None, lambda why: None)
    registration.join_cluster(lambda seconds: None)
    registration.start()
    assert server.is_asked.wait(10)
    leaving = threading.Thread(target=registration.leave)
    leaving.start()
    leaving.join(0.1)  # without a wait it would have left by now
    server.may_answer.set()
    leaving.join(10)
    registration.join(10)
    assert server.ended == ["register", "register", "leave"]
