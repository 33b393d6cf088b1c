"""Laws about files: their names, their length, their language, and what must not stand in them."""

import ast
import re
import sys
from pathlib import PurePath

import pytest

from tests.architecture.source_files import PRODUCTION, PROJECT, project_files, python_files

# Names that say nothing about what is inside, so everything ends up there.
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "services", "manager", "managers"}
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:work|root|home/\w+|Users/\w+)/")
REGISTRY = re.compile(r"\b(?:pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|proxy\.golang\.org)\b")
LONGEST = 400  # lines; over 300 is a question, over 400 is the answer
MIGRATIONS = "orchestrator/migrations/versions/"  # written once, all tables in a row, and never changed
ROBOT_PYTHON = (3, 9)


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for name in project_files():
        try:
            text = (PROJECT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture, or a message that is broken on purpose
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                found.append(f"{name}:{number}: {line.strip()[:100]}")
    return found


def test_there_are_files_to_judge() -> None:
    assert {"Makefile", "pyproject.toml", "tests/architecture/test_files.py"} <= set(project_files())


def test_no_module_or_folder_has_an_empty_name() -> None:
    parts = {name: {PurePath(part).stem for part in PurePath(name).parts} for name in python_files()}
    assert {name: names & EMPTY_NAMES for name, names in parts.items() if names & EMPTY_NAMES} == {}


def test_no_file_names_a_folder_of_one_machine() -> None:
    assert lines_with(MACHINE_PATH) == []


def test_no_file_names_a_package_registry() -> None:
    assert lines_with(REGISTRY) == []


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (MACHINE_PATH, "data = '/home" + "/alice/data'"),
        (MACHINE_PATH, "cd /root" + "/botswain"),
        (REGISTRY, "index-url = https://pypi" + ".org/simple"),
    ],
)
def test_patterns_find_what_they_forbid(pattern: re.Pattern[str], line: str) -> None:
    assert pattern.search(line)
    assert not pattern.search("docs/work/home.md and ~/root/data")


def test_no_production_file_is_too_long() -> None:
    names = [name for name in python_files(*PRODUCTION) if not name.startswith(MIGRATIONS)]
    lengths = {name: len((PROJECT / name).read_text().splitlines()) for name in names}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_every_python_file_parses() -> None:
    for name in python_files():
        ast.parse((PROJECT / name).read_text(encoding="utf-8"), name)


def test_the_robot_parses_as_the_oldest_python_it_runs_on() -> None:
    for name in python_files("workers/robot"):
        ast.parse((PROJECT / name).read_text(encoding="utf-8"), name, feature_version=ROBOT_PYTHON)


def test_the_robot_imports_only_itself_and_the_standard_library() -> None:
    allowed = sys.stdlib_module_names | {"workers", "botswain", "botswain_broker"}
    foreign = [
        f"{name}: {module}"
        for name in python_files("workers/robot")
        for node in ast.walk(ast.parse((PROJECT / name).read_text(encoding="utf-8"), name))
        for module in imported(node)
        if module.partition(".")[0] not in allowed
    ]
    assert foreign == []


def imported(node: ast.AST) -> list[str]:
    """The absolute names that an import statement names; none for another node."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [node.module or ""]
    return []
