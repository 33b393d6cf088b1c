"""A machine that runs Botswain has what pyproject.toml declares, and nothing that only tests bring along."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[2]

OWN = {"botswain", "pip", "setuptools"}
# SQLAlchemy, kombu, rich and Flask use them where they are, and go on without them.
OPTIONAL = {"greenlet", "pyyaml", "attrs", "python-dotenv"}

# Every module of ours, and what Celery, Flower and the server import only when they start.
IMPORT_ALL = """
import importlib, json, pkgutil, sys
import orchestrator, scheduler, workers
for package in (orchestrator, scheduler, workers):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if ".migrations." not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
for name in ("celeryconfig", "celery.bin.celery", "kombu.transport.redis", "flower.command", "granian"):
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def declared() -> set[str]:
    """The distributions that `pip install .` brings: those declared, and what they require in turn."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    found: set[str] = set()
    wanted = [Requirement(text) for text in project["dependencies"]]
    seen: set[tuple[str, str]] = set()
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        found.add(name)
        for extra in {"", *requirement.extras}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                wanted += required_by(name, extra)
    return found


def required_by(name: str, extra: str) -> Iterator[Requirement]:
    try:
        texts = metadata.requires(name) or []
    except metadata.PackageNotFoundError:  # for another system
        return
    for requirement in map(Requirement, texts):
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def test_what_runs_imports_only_what_is_declared() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    distributions = metadata.packages_distributions()
    imported = {canonicalize_name(d) for name in json.loads(ran.stdout) for d in distributions.get(name, [])}
    assert imported - declared() - OWN - OPTIONAL == set()
