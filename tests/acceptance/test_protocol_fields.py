"""Every field of the three calls, as a form and as JSON, in every spelling that a robot may use."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.acceptance.cluster import Cluster, Robot, eventually
from tests.acceptance.cluster.robot import IN_PROGRESS, READY, SUCCESS, WORKING

Send = Callable[[Robot, str, str, dict[str, object]], httpx.Response]


def as_form(robot: Robot, method: str, path: str, fields: dict[str, object]) -> httpx.Response:
    return robot.http.request(method, path, data=fields)


def as_json(robot: Robot, method: str, path: str, fields: dict[str, object]) -> httpx.Response:
    return robot.http.request(method, path, json=fields)


@pytest.mark.parametrize("send", [as_form, as_json])
def test_the_whole_loop(shared_cluster: Cluster, process: str, send: Send) -> None:
    robot = shared_cluster.new_robot()
    job = shared_cluster.api.ask_and_hand_out(process, robot=robot.name, arguments={"month": "Мая", "n": 3})
    about = {"RobotGUID": robot.guid, "Machine": "М-1", "IP": "10.1.2.3", "MAC": "AA-BB", "JobType": 1}
    idle = {**about, "Status": READY, "JobGUID": "", "JobName": "", "Unknown": "ignored"}
    busy = {**about, "Status": WORKING, "JobGUID": job, "JobName": "invoices.py"}

    assert send(robot, "POST", "/api/robot/heartbeat", idle).json()["HasNewJob"] == 1
    consume = {"RobotGUID": robot.guid, "Status": READY}
    handed = send(robot, "POST", "/api/robot/consumeNextJob", consume).json()
    assert handed["ConsumeJobErrorCode"] == 0 and handed["ErrorText"] == ""
    assert json.loads(handed["Job"])["GUID"] == job
    begun = send(robot, "PUT", "/api/job/update", {"guid": job, "status": IN_PROGRESS})
    assert begun.json() == {"guid": job, "status": IN_PROGRESS, "ErrorText": ""}
    assert send(robot, "POST", "/api/robot/heartbeat", busy).json()["HeartbeatErrorCode"] == 0
    result = {"sum": 12.5, "names": ["Ñandú"]}
    ended = {
        "guid": job,
        "status": SUCCESS,
        "progress": 100,
        "error": "",
        "result": result if send is as_json else json.dumps(result),
    }
    answer = send(robot, "PUT", "/api/job/update", ended)
    assert (answer.status_code, answer.json()["status"]) == (200, SUCCESS)
    done = shared_cluster.api.job(job)
    assert (done["status"], done["result"], done["progress"]) == (SUCCESS, result, 100)


def test_what_is_handed_out_says_what_to_run(shared_cluster: Cluster, process: str) -> None:
    robot = shared_cluster.new_robot()
    arguments = {"file": "März.csv", "deep": [1, {"a": None}]}
    guid = shared_cluster.api.ask_and_hand_out(process, robot=robot.name, arguments=arguments, priority=7)
    answer = robot.consume(Status=READY).json()
    parts = {part: json.loads(answer[part]) for part in ("Job", "ProcessVersion", "Task")}

    job = parts["Job"]
    assert {"GUID", "Name", "Status", "Priority", "Attempt", "CreatedAt"} <= set(job)
    assert (job["GUID"], job["Status"], job["Priority"], job["Attempt"]) == (guid, 1, 7, 1)
    assert job["CreatedAt"] == shared_cluster.api.job(guid)["created_at"]
    version = parts["ProcessVersion"]
    assert {"GUID", "Name", "Version", "PackageURL", "Sha256"} <= set(version)
    assert (version["Name"], version["Version"]) == (f"{process}.py", 1)
    assert parts["Task"] == {"GUID": guid, "Name": job["Name"], "QueueGUID": None, "Parameters": arguments}


def test_the_page_s_own_spelling_of_task_is_served(shared_cluster: Cluster, process: str) -> None:
    robot = shared_cluster.new_robot()
    nothing = robot.consume().json()
    assert nothing["Task"] == nothing[" Task "] == "null"
    shared_cluster.api.ask_and_hand_out(process, robot=robot.name, arguments={"a": 1})
    answer = robot.consume().json()
    assert answer[" Task "] == answer["Task"]
    assert json.loads(answer[" Task "])["Parameters"] == {"a": 1}


def test_without_a_job_each_part_is_the_string_null(shared_cluster: Cluster) -> None:
    answer = shared_cluster.new_robot().consume()
    assert answer.status_code == 200
    assert answer.json()["ConsumeJobErrorCode"] == 102
    assert [answer.json()[part] for part in ("Job", "ProcessVersion", "Task")] == ["null"] * 3


def test_the_package_is_read_with_the_robot_s_own_authentication(
    shared_cluster: Cluster, process: str
) -> None:
    robot = shared_cluster.new_robot()
    shared_cluster.api.ask_and_hand_out(process, robot=robot.name)
    version = robot.begin().version
    package = robot.http.get(version["PackageURL"])
    assert package.status_code == 200
    assert hashlib.sha256(package.content).hexdigest() == version["Sha256"]
    assert httpx.get(version["PackageURL"], timeout=30).status_code == 401


def test_a_zip_is_run_by_its_entry(shared_cluster: Cluster) -> None:
    api = shared_cluster.api
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as package:
        package.writestr("__main__.py", "print('main')")
    robot = shared_cluster.new_robot()
    process = f"zipped-for-{robot.name}"
    api.post("/processes", {"name": process})
    api.call(
        "POST",
        f"/processes/{process}/versions",
        files={"package": ("all.zip", content.getvalue(), "application/zip")},
    )
    api.ask_and_hand_out(process, robot=robot.name)
    assert robot.take().version["Name"] == "__main__.py"


SPELLINGS: dict[str, Callable[[str], str]] = {
    "upper case": str.upper,
    "braces": lambda guid: "{" + guid + "}",
    "spaces": lambda guid: f"  {guid} ",
    "all of it": lambda guid: " {" + guid.upper() + "} ",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_guid_is_read_in_any_case_in_braces_and_with_spaces(
    shared_cluster: Cluster, process: str, spelling: str
) -> None:
    spell = SPELLINGS[spelling]
    known = shared_cluster.new_robot()
    job = shared_cluster.api.ask_and_hand_out(process, robot=known.name)
    robot = Robot(shared_cluster.url, spell(known.guid), spell(known.guid))
    assert robot.beat().json()["HasNewJob"] == 1
    assert robot.take().guid == job
    assert robot.update(spell(job), IN_PROGRESS).status_code == 200
    assert robot.beat(WORKING, spell(job)).json()["HeartbeatErrorCode"] == 0
    assert robot.update(spell(job), SUCCESS).json()["status"] == SUCCESS
    assert shared_cluster.api.job(job)["status"] == SUCCESS


def test_where_a_robot_runs_is_kept_shown_and_searchable(shared_cluster: Cluster) -> None:
    robot, other = shared_cluster.new_robot(), shared_cluster.new_robot()
    about = {"Machine": f"М-{robot.name}", "IP": "10.9.8.7", "MAC": "0A-0B-0C-0D-0E-0F"}
    robot.beat(**about)
    other.beat()

    def shown() -> Any:
        row = shared_cluster.api.get(f"/robots/{robot.name}")
        assert [row["machine"], row["ip"], row["mac"]] == list(about.values()), row
        assert (row["status"], row["last_seen"] is None) == (READY, False)
        return row

    eventually(shown, "the robot's machine is shown")
    found = shared_cluster.api.get("/robots", machine=about["Machine"])["items"]
    assert [row["name"] for row in found] == [robot.name]


UGLY: dict[str, str | bytes] = {
    "nul": "a\x00b",
    "long": "x" * 5000,
    "emoji": "🤖" * 40,
    "sql": "'; DROP TABLE robots; --",
    "surrogate": b"%ED%A0%80",
    "not utf-8": b"%FF%FE",
}


@pytest.mark.parametrize("ugly", UGLY)
@pytest.mark.parametrize("field", ["Machine", "IP", "MAC", "JobName", "JobGUID", "Status", "Wait"])
def test_no_text_in_a_field_is_a_server_error(shared_cluster: Cluster, field: str, ugly: str) -> None:
    robot = shared_cluster.new_robot()
    value = UGLY[ugly]
    status = "" if field == "Status" else "&Status=2"
    known = f"RobotGUID={robot.guid}{status}&"
    encoded = value if isinstance(value, bytes) else str(httpx.QueryParams({"v": value}))[2:].encode()
    response = robot.http.post(
        "/api/robot/heartbeat",
        content=known.encode() + field.encode() + b"=" + encoded,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert response.status_code in (200, 400), response.text
    if response.status_code == 400:
        assert field in response.json()["ErrorText"] or "body" in response.json()["ErrorText"]
    assert shared_cluster.api.get(f"/robots/{robot.name}")["name"] == robot.name
