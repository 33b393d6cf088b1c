"""Who is answered what: identities that are missing, unknown or another's, and fields that cannot be read."""

import base64
import json
import uuid
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.acceptance.cluster import Cluster, Robot
from tests.acceptance.cluster.robot import IN_PROGRESS, NOT_FOUND, SUCCESS

HEARTBEAT, CONSUME, UPDATE = "/api/robot/heartbeat", "/api/robot/consumeNextJob", "/api/job/update"
METHODS = {HEARTBEAT: "POST", CONSUME: "POST", UPDATE: "PUT"}
FIELDS = {
    HEARTBEAT: {"HeartbeatErrorCode", "ErrorText", "HasNewJob"},
    CONSUME: {"ConsumeJobErrorCode", "ErrorText", "Job", "ProcessVersion", "Task"},
    UPDATE: {"guid", "status", "ErrorText"},
}
LIMIT = 8 * 1024 * 1024
every_call = pytest.mark.parametrize("path", [HEARTBEAT, CONSUME, UPDATE])


@pytest.fixture
def robot(shared_cluster: Cluster) -> Iterator[Robot]:
    robot = shared_cluster.new_robot()
    yield robot
    robot.close()


def body(path: str, guid: str) -> dict[str, object]:
    if path == UPDATE:
        return {"guid": str(uuid.uuid4()), "status": SUCCESS}
    return {"RobotGUID": guid, "Status": 2}


def code_of(path: str, answer: dict[str, object]) -> object:
    return answer.get("HeartbeatErrorCode" if path == HEARTBEAT else "ConsumeJobErrorCode", NOT_FOUND)


def judge_fields(path: str, response: httpx.Response) -> dict[str, object]:
    """Every answer has the protocol's fields, and one sentence that says what is wrong."""
    answer: dict[str, object] = response.json()
    assert FIELDS[path] <= set(answer), answer
    assert answer["ErrorText"]
    return answer


@every_call
@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Basic %%%",
        "Basic " + base64.b64encode(b"\xff\xfe\xfd").decode(),
        "Bearer 4b1c7a52-6d0c-4f0e-9a37-1d2f3c4b5a69",
        "Digest username=robot",
    ],
)
def test_who_is_not_named_is_401(shared_cluster: Cluster, path: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    response = httpx.request(
        METHODS[path],
        shared_cluster.url + path,
        data=body(path, str(uuid.uuid4())),
        headers=headers,
        timeout=30,
    )
    assert response.status_code == 401, response.text
    assert response.headers["WWW-Authenticate"].startswith("Basic")
    assert code_of(path, judge_fields(path, response)) == NOT_FOUND


@pytest.mark.parametrize("path", [HEARTBEAT, CONSUME])
def test_an_unknown_guid_is_told_101_as_one_that_was_deleted(shared_cluster: Cluster, path: str) -> None:
    deleted = shared_cluster.new_robot()
    shared_cluster.api.call("DELETE", f"/robots/{deleted.name}")
    answers = []
    for guid in (str(uuid.uuid4()), deleted.guid):
        stranger = Robot(shared_cluster.url, guid)
        response = stranger.http.post(path, data=body(path, guid))
        assert response.status_code == 200, response.text
        assert code_of(path, judge_fields(path, response)) == NOT_FOUND
        answers.append(response.json())
    assert answers[0] == answers[1]
    if path == CONSUME:
        assert [answers[0][part] for part in ("Job", "ProcessVersion", "Task")] == ["null"] * 3


def test_an_unknown_guid_updates_nothing(shared_cluster: Cluster, process: str) -> None:
    robot = shared_cluster.new_robot()
    job = shared_cluster.api.ask_and_hand_out(process, robot=robot.name)
    robot.begin()
    stranger = Robot(shared_cluster.url, str(uuid.uuid4()))
    response = stranger.update(job, SUCCESS)
    assert response.json()["status"] is None and response.json()["ErrorText"]
    assert shared_cluster.api.job(job)["status"] == IN_PROGRESS


def test_many_unknown_guids_are_slowed_down_and_a_known_robot_never(
    shared_cluster: Cluster, robot: Robot
) -> None:
    # An address of its own, so that the other tests' strangers are not slowed down with these.
    with httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.66"), timeout=30) as http:

        def beat(guid: str) -> httpx.Response:
            basic = "Basic " + base64.b64encode(guid.encode()).decode()
            return http.post(
                shared_cluster.url + HEARTBEAT,
                data={"RobotGUID": guid, "Status": 2},
                headers={"Authorization": basic},
            )

        statuses: list[int] = []
        for _ in range(2000):
            response = beat(str(uuid.uuid4()))
            statuses.append(response.status_code)
            if len(statuses) % 20 == 0:
                assert beat(robot.guid).status_code == 200
            if statuses[-5:] == [429] * 5:
                break
        assert set(statuses) <= {200, 429}
        assert statuses[-1] == 429, f"{len(statuses)} strangers, and none was slowed down"
        assert code_of(HEARTBEAT, judge_fields(HEARTBEAT, response)) == NOT_FOUND
        for _ in range(50):
            answer = beat(robot.guid)
            assert answer.status_code == 200 and answer.json()["HeartbeatErrorCode"] == 0


@pytest.mark.parametrize("path", [HEARTBEAT, CONSUME])
@pytest.mark.parametrize("exists", [True, False])
def test_a_robot_speaks_only_for_itself(
    shared_cluster: Cluster, robot: Robot, path: str, exists: bool
) -> None:
    other = shared_cluster.new_robot().guid if exists else str(uuid.uuid4())
    response = robot.http.post(path, data=body(path, other))
    assert response.status_code == 403, response.text
    assert code_of(path, judge_fields(path, response)) == NOT_FOUND


HEARTBEAT_MISTAKES = [
    ("Status", "abc"),
    ("Status", "9"),
    ("Status", "-1"),
    ("Status", "2.5"),
    ("Status", ""),
    ("JobGUID", "not-a-guid"),
    ("JobType", "seven"),
    ("JobType", "7"),
    ("Wait", "abc"),
    ("Wait", "-1"),
    ("Wait", "nan"),
    ("RobotGUID", "not-a-guid"),
]


@pytest.mark.parametrize(("field", "value"), HEARTBEAT_MISTAKES)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_heartbeat_field_out_of_its_table_is_400_and_named(
    robot: Robot, field: str, value: str, as_json: bool
) -> None:
    fields = {"RobotGUID": robot.guid, "Status": "2", "JobType": "1", field: value}
    kind = {"json": fields} if as_json else {"data": fields}
    response = robot.http.post(HEARTBEAT, **kind)  # type: ignore[arg-type]
    assert response.status_code == 400, response.text
    assert field in str(judge_fields(HEARTBEAT, response)["ErrorText"])


@pytest.mark.parametrize("value", ["abc", "7", "-1"])
def test_a_consume_field_out_of_its_table_is_400_and_named(robot: Robot, value: str) -> None:
    response = robot.consume(Status=value)
    assert response.status_code == 400, response.text
    answer = judge_fields(CONSUME, response)
    assert "Status" in str(answer["ErrorText"])
    assert [answer[part] for part in ("Job", "ProcessVersion", "Task")] == ["null"] * 3


UPDATE_MISTAKES = [
    ("status", "42"),
    ("status", "abc"),
    ("status", "-1"),
    ("status", "9"),
    ("status", ""),
    ("guid", "not-a-guid"),
    ("guid", ""),
    ("result", "{not json"),
    ("progress", "abc"),
    ("progress", "101"),
    ("progress", "-1"),
]


@pytest.mark.parametrize(("field", "value"), UPDATE_MISTAKES)
def test_an_update_field_out_of_its_table_is_400_named_and_changes_nothing(
    shared_cluster: Cluster, process: str, field: str, value: str
) -> None:
    robot = shared_cluster.new_robot()
    job = shared_cluster.api.ask_and_hand_out(process, robot=robot.name)
    robot.begin()
    before = shared_cluster.api.job(job)
    response = robot.http.put(UPDATE, data={"guid": job, "status": SUCCESS, field: value})
    assert response.status_code == 400, response.text
    assert field in str(judge_fields(UPDATE, response)["ErrorText"])
    assert shared_cluster.api.job(job) == before


@every_call
@pytest.mark.parametrize("content", [b"{", b"[]", b'"text"', b"null", b"\xff\xfe"])
def test_a_body_that_is_no_json_object_is_400(robot: Robot, path: str, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    response = robot.http.request(METHODS[path], path, content=content, headers=headers)
    assert response.status_code == 400, response.text
    judge_fields(path, response)


@every_call
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "application/json"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_8_mib_is_413(
    shared_cluster: Cluster, robot: Robot, path: str, kind: str, chunked: bool
) -> None:
    fields = {**body(path, robot.guid), "Note": "x" * LIMIT}
    content = (
        json.dumps(fields).encode()
        if kind == "application/json"
        else "&".join(f"{name}={value}" for name, value in fields.items()).encode()
    )
    pieces = (content[start : start + 65536] for start in range(0, len(content), 65536))
    response = robot.http.request(
        METHODS[path], path, content=pieces if chunked else content, headers={"Content-Type": kind}
    )
    assert response.status_code == 413, response.text
    judge_fields(path, response)


@pytest.mark.parametrize("spell", [str, lambda guid: guid + ":"], ids=["guid", "guid and an empty secret"])
def test_the_guid_alone_is_enough(shared_cluster: Cluster, spell: Callable[[str], str]) -> None:
    known = shared_cluster.new_robot()
    robot = Robot(shared_cluster.url, known.guid, spell(known.guid))
    assert robot.beat().json()["HeartbeatErrorCode"] == 0


def test_a_robot_with_a_secret_is_not_believed_without_it(shared_cluster: Cluster) -> None:
    known = shared_cluster.new_robot()
    assert known.beat().json()["HeartbeatErrorCode"] == 0
    secret = shared_cluster.api.post(f"/robots/{known.name}/secret")["secret"]
    trusted = Robot(shared_cluster.url, known.guid, f"{known.guid}:{secret}")
    assert trusted.beat().json()["HeartbeatErrorCode"] == 0
    for credentials in (known.guid, f"{known.guid}:", f"{known.guid}:wrong"):
        answer = Robot(shared_cluster.url, known.guid, credentials).beat()
        assert answer.json()["HeartbeatErrorCode"] == NOT_FOUND, credentials
    assert trusted.beat().json()["HeartbeatErrorCode"] == 0


def test_a_job_of_another_robot_and_one_that_does_not_exist_are_the_same_404(
    shared_cluster: Cluster, process: str, robot: Robot
) -> None:
    owner = shared_cluster.new_robot()
    job = shared_cluster.api.ask_and_hand_out(process, robot=owner.name)
    owner.begin()
    nothing = str(uuid.uuid4())
    others, nobodys = robot.update(job, SUCCESS), robot.update(nothing, SUCCESS)
    assert (others.status_code, nobodys.status_code) == (404, 404)
    assert judge_fields(UPDATE, others) | {"guid": nothing} == judge_fields(UPDATE, nobodys)
    assert others.json()["guid"] == job
    assert shared_cluster.api.job(job)["status"] == IN_PROGRESS


def test_a_job_that_was_handed_out_and_not_consumed_is_404(
    shared_cluster: Cluster, process: str, robot: Robot
) -> None:
    job = shared_cluster.api.ask_and_hand_out(process, robot=robot.name)
    assert robot.update(job, IN_PROGRESS).status_code == 404
