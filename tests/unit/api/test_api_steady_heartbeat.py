"""The layer in front of Flask: what it cannot read goes on to Flask untouched, and nothing breaks there."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from redis import Redis

from orchestrator.api.steady_heartbeat import SteadyHeartbeat
from orchestrator.robots.presence import Familiar, Presence
from orchestrator.robots.scripts import Packed
from orchestrator.wiring import Parts

FORM, JSON = "application/x-www-form-urlencoded", "application/json"


class Steady(Presence):
    """Knows of nothing new, and asks no Redis."""

    def __init__(self) -> None:
        super().__init__(Redis(), 30)

    def beat(self, packed: Packed) -> int:
        return 0


class Door:
    """The layer, with a robot that it knows, and a Flask that notes which bodies it was handed."""

    def __init__(self) -> None:
        self.handed_on: list[bytes] = []
        parts = cast(Parts, SimpleNamespace(presence=Steady()))
        self._layer = SteadyHeartbeat(self._flask, parts, cast(Any, None))
        self._layer.remember("Basic known", "r1", Familiar(1, "digest", ("line",)))

    def _flask(self, environ: dict[str, Any], _start_response: Any) -> list[bytes]:
        self.handed_on.append(environ["wsgi.input"].read())
        return [b"from Flask"]

    def send(self, body: bytes, kind: str) -> bytes:
        environ = {
            "PATH_INFO": "/api/robot/heartbeat",
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": kind,
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_AUTHORIZATION": "Basic known",
            "wsgi.input": io.BytesIO(body),
        }
        return b"".join(self._layer(environ, lambda *_: None))


def test_a_plain_beat_of_a_known_robot_is_answered_here() -> None:
    door = Door()
    assert json.loads(door.send(b"RobotGUID=r1&Status=3&Wait=5", FORM))["HasNewJob"] == 0
    assert door.handed_on == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param(b"[" * 8000, JSON, id="deeply nested"),
        pytest.param("RobotGUID=r1&Status=3&Wait=²".encode(), FORM, id="a digit that is no number"),
        pytest.param(b'{"RobotGUID": "r1", "Status": 3, "Machine": "\\ud800"}', JSON, id="half a surrogate"),
        pytest.param(b'{"RobotGUID": "r1", "Status": %s}' % (b"9" * 5000), JSON, id="a number too long"),
        pytest.param(b"RobotGUID=r1&Status=3&Machine=\xff", FORM, id="not UTF-8"),
        pytest.param(b"RobotGUID=r1&Status=3&Machine=%ff", FORM, id="not UTF-8, quoted"),
        pytest.param(b"RobotGUID=r1&Status=3", FORM + "; charset=windows-1251", id="another encoding"),
        pytest.param(b"RobotGUID=r1&Status=3&Status=2", FORM, id="given twice"),
        pytest.param(b"RobotGUID=r1&Status=2&JobGUID=x", FORM, id="no GUID"),
    ],
)
def test_what_cannot_be_read_is_handed_on_to_be_named(body: bytes, kind: str) -> None:
    door = Door()
    assert door.send(body, kind) == b"from Flask"
    assert door.handed_on == [body]
