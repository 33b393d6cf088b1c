"""What holds for every file of the agent: old syntax, standard library only, and one reproducible file."""

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

import workers.robot

ROBOT = Path(workers.robot.__file__).parent
SOURCES = sorted(ROBOT.rglob("*.py"))
# Modules that are gone or new somewhere between 3.9 and today, and names that 3.9 lacks.
NEWER = {
    "tomllib",
    "StrEnum",
    "UTC",
    "TaskGroup",
    "ExceptionGroup",
    "pairwise",
    "hardlink_to",
    "batched",
    "Self",
}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_it_compiles_on_python_3_9(source: Path) -> None:
    tree = ast.parse(source.read_text(encoding="utf-8"), feature_version=(3, 9))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not names & NEWER


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_no_annotation_is_evaluated_that_3_9_cannot(source: Path) -> None:
    tree = ast.parse(source.read_text(encoding="utf-8"))
    annotated = any(isinstance(node, (ast.FunctionDef, ast.AnnAssign)) for node in ast.walk(tree))
    quoted = source.name == "build.py"  # loaded by its path alone; it quotes what 3.9 could not evaluate
    assert (
        not annotated or quoted or "from __future__ import annotations" in source.read_text(encoding="utf-8")
    )


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_it_imports_the_standard_library_only(source: Path) -> None:
    tree = ast.parse(source.read_text(encoding="utf-8"))
    absolute = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    absolute |= {
        str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 0
    }
    beside = {module.stem for module in SOURCES if module.parent.name == "script"}
    assert {name.split(".")[0] for name in absolute} - beside <= sys.stdlib_module_names


def build_from(path: Path) -> Callable[[Path], None]:
    """As the server loads it: by its path, without importing `workers`."""
    spec = importlib.util.spec_from_file_location("robot_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    build: Callable[[Path], None] = module.build_pyz
    return build


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    copy = tmp_path / "robot"
    shutil.copytree(ROBOT, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for path in copy.rglob("*.py"):
        os.utime(path, (1, 1))
        path.chmod(0o600)
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__" / "left.py").write_text("")
    build_from(ROBOT / "build.py")(tmp_path / "a.pyz")
    build_from(copy / "build.py")(tmp_path / "b.pyz")
    assert (tmp_path / "a.pyz").read_bytes() == (tmp_path / "b.pyz").read_bytes()
    names = zipfile.ZipFile(tmp_path / "a.pyz").namelist()
    assert "__main__.py" in names and "botswain_robot/script/botswain.py" in names
    assert not [name for name in names if "build" in name or "__pycache__" in name]


def test_a_build_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "robot.pyz").write_text("old")
    build = build_from(ROBOT / "build.py")

    def full(self: zipfile.ZipFile, *_: object) -> NoReturn:
        raise OSError("No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OSError, match="No space"):
        build(tmp_path / "robot.pyz")
    assert [path.name for path in tmp_path.iterdir()] == ["robot.pyz"]
    assert (tmp_path / "robot.pyz").read_text() == "old"


def test_the_file_runs_with_nothing_else_at_hand(tmp_path: Path) -> None:
    build_from(ROBOT / "build.py")(tmp_path / "robot.pyz")
    command = [sys.executable, "-I", "-S", str(tmp_path / "robot.pyz"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--once" in done.stdout
