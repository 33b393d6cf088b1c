"""Imports point down, as pyproject.toml draws it for import-linter."""

import subprocess
import sys

import pytest

from tests.architecture.source_files import PROJECT


def test_imports_point_down() -> None:
    pytest.importorskip("importlinter", reason="import-linter is installed by `make check`")
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    lint = subprocess.run(
        [sys.executable, "-c", program, "--no-cache"], cwd=PROJECT, capture_output=True, text=True
    )
    assert lint.returncode == 0, lint.stdout + lint.stderr
