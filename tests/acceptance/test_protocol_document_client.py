"""A robot copied from the page that the protocol comes from gets its jobs and reports them done."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.acceptance.cluster import Cluster
from tests.acceptance.cluster.robot import SUCCESS
from tests.acceptance.sherpa import robot_script


def test_the_document_s_own_client_completes_its_jobs(
    shared_cluster: Cluster, process: str, tmp_path: Path
) -> None:
    api, known = shared_cluster.api, shared_cluster.new_robot()
    jobs = [api.ask_and_hand_out(process, robot=known.name, arguments={"n": n}) for n in range(2)]
    (tmp_path / f"{process}.py").write_text("print('the script ran')\n")
    (tmp_path / "robot.py").write_text(robot_script(shared_cluster.url, known.guid), encoding="utf-8")

    robot = subprocess.run(
        [sys.executable, "robot.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", "NO_PROXY": "127.0.0.1"},
    )

    assert robot.returncode == 0, robot.stderr
    assert [api.job(job)["status"] for job in jobs] == [SUCCESS, SUCCESS]
    for job in jobs:
        assert [entry["event"] for entry in api.history(job)].count("start") == 1
    lines = robot.stdout.splitlines()
    assert lines.count("the script ran") == 2
    answers = [json.loads(line) for line in lines if line.startswith("{")]
    assert [answer["status"] for answer in answers] == [8, SUCCESS, 8, SUCCESS]
    assert lines[-3:] == ["0", "", "0"]
