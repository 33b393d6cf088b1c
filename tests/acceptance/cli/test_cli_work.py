"""The daily work of a developer and an operator, against a real cluster with a robot."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.cli.conftest import Up

GREETS = """
from botswain import arguments, result

result({"hello": arguments["name"], "n": arguments["n"]})
"""
FAILS = "raise SystemExit('the supplier \\x1b[31mis not there')\n"


def test_a_script_is_published_run_and_looked_at(up: Callable[..., Up], tmp_path: Path) -> None:
    cluster = up("--workers", "0", "--no-flower", "--robots", "1")
    folder = tmp_path / "greets"
    folder.mkdir()
    (folder / "__main__.py").write_text(GREETS)
    (tmp_path / "fails.py").write_text(FAILS)

    published = cluster.run("publish", str(folder), "--process", "greets")
    assert (published.returncode, published.stdout[:24]) == (0, "greets version 1 publish"), published.stderr
    assert "already published" in cluster.run("publish", str(folder), "--process", "greets").stdout
    assert cluster.run("publish", str(tmp_path / "fails.py"), "--process", "fails").returncode == 0

    ran = cluster.run("run", "greets", "-a", "name=Ana", "-a", "n=3", "--wait")
    assert (ran.returncode, json.loads(ran.stdout)) == (0, {"hello": "Ana", "n": 3}), ran.stderr
    failed = cluster.run("run", "fails", "--robot", "robot-1", "--wait")
    assert failed.returncode == 3
    assert "the supplier" in failed.stderr
    assert "\x1b" not in failed.stderr

    listed = json.loads(cluster.run("jobs", "list", "--json").stdout)
    assert [job["state"] for job in listed] == ["Failed", "Success"]
    guid = listed[0]["guid"]
    for command in (["jobs"], ["jobs", "list", "--state", "Failed"], ["jobs", "show", guid]):
        shown = cluster.run(*command)
        assert shown.returncode == 0
        assert guid in shown.stdout
    assert "it failed" in cluster.run("jobs", "explain", guid).stdout.lower()
    again = cluster.run("jobs", "retry", guid).stdout.strip()
    assert json.loads(cluster.run("jobs", "show", again, "--json").stdout)["retry_of"] == guid

    refused = cluster.run("run", "nosuch")
    assert (refused.returncode, refused.stderr) == (1, "botswain: process: there is no process 'nosuch'\n")
    assert cluster.run("jobs", "stop", guid).returncode == 1
    seen = cluster.run("cluster")
    assert "1 of 1 schedulers up" in seen.stdout
    assert "1" * 64 in seen.stdout
