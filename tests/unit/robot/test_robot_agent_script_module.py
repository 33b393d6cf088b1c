"""`import botswain` in a script, at a developer's desk and under the agent."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import workers.robot

SCRIPT_MODULE = Path(workers.robot.__file__).parent / "script"


def run(source: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT_MODULE), "PYTHONIOENCODING": "utf-8", **variables}
    return subprocess.run(
        [sys.executable, "-c", source], env=environment, capture_output=True, encoding="utf-8", check=False
    )


def test_at_a_desk_it_prints() -> None:
    done = run(
        "from botswain import *\nprint(arguments, job, task, should_stop())\nprogress(50, 'шаг')\n"
        "result({'a': 1})\nlog('so', n=1)\nraise_if_stopping()"
    )
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["{} {} {} False", "progress: 50 % шаг", 'result: {"a": 1}', "so n=1"]


@pytest.mark.parametrize("percent", ["-1", "100.1", "float('nan')"])
def test_progress_outside_its_range_is_a_mistake(percent: str) -> None:
    assert (
        "ValueError: progress is a percentage" in run(f"import botswain\nbotswain.progress({percent})").stderr
    )


def test_an_unknown_name_is_an_import_error() -> None:
    assert "ImportError" in run("from botswain import argument").stderr


def test_under_the_agent_it_reads_and_writes_files(tmp_path: Path) -> None:
    folder = tmp_path / "Счёт ñ"
    folder.mkdir()
    (folder / "arguments.json").write_text(
        json.dumps({"arguments": {"n": 1}, "job": {"GUID": "g"}, "task": {}})
    )
    (folder / "stop").touch()
    done = run(
        "import botswain\nfrom botswain import *\nassert arguments is botswain.arguments\n"
        "result(arguments['n'])\nresult(2)\nprogress(7)\nprint(should_stop(), job['GUID'])\n"
        "raise_if_stopping()",
        BOTSWAIN_RUN_FOLDER=str(folder),
        BOTSWAIN_ARGUMENTS=str(folder / "arguments.json"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "True g\n", "")
    assert (folder / "result.json").read_text() == "2" and (folder / "stopped").exists()
    assert json.loads((folder / "progress.json").read_text()) == {"percent": 7, "text": ""}


def test_a_result_that_is_refused_leaves_the_one_before(tmp_path: Path) -> None:
    done = run("from botswain import result\nresult(1)\nresult({1})", BOTSWAIN_RUN_FOLDER=str(tmp_path))
    assert "not JSON serializable" in done.stderr and (tmp_path / "result.json").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
