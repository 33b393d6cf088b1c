"""The files that the laws are about: what git tracks, and what it would with the next commit."""

import subprocess
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PRODUCTION = ("orchestrator", "scheduler", "workers")
# Written by others, and served as they wrote it.
VENDORED = "orchestrator/console/static/"


@cache
def project_files() -> tuple[str, ...]:
    """Paths relative to the project, without those that git ignores."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = sorted(set(listing.stdout.split("\0")) - {""})
    return tuple(name for name in names if (PROJECT / name).is_file() and not name.startswith(VENDORED))


def python_files(*folders: str) -> tuple[str, ...]:
    """Those ending in .py, of the whole project or of some folders of it."""
    prefixes = tuple(f"{folder}/" for folder in folders) or ("",)
    return tuple(name for name in project_files() if name.endswith(".py") and name.startswith(prefixes))
