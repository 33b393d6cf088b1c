"""An agent in a session authenticates with the session's GUID, which is new each time."""

import uuid

import pytest

from tests.acceptance.robot.conftest import FakeServer, StartAgent

SCRIPT = "from botswain import result\nresult(42)"


@pytest.mark.parametrize(("robot", "delivered"), [("robot-1", True), ("robot-2", False)])
def test_a_result_outlives_the_session_for_its_own_robot(
    server: FakeServer, start: StartAgent, robot: str, delivered: bool
) -> None:
    job = server.add(SCRIPT)
    server.fault = lambda call: "before" if call.kind == "end" else None
    agent = start(BOTSWAIN_ROBOT_GUID=str(uuid.uuid4()), BOTSWAIN_ROBOT_ID="robot-1")
    server.until(lambda: "end" in server.kinds())
    agent.kill()
    server.fault = lambda call: None
    assert start("--once", BOTSWAIN_ROBOT_GUID=str(uuid.uuid4()), BOTSWAIN_ROBOT_ID=robot).ends() == 0
    assert (job.status == 4) == delivered
