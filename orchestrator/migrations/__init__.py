"""The schema's one history, for SQLite, MariaDB and PostgreSQL alike."""

from __future__ import annotations

from pathlib import Path

VERSIONS = Path(__file__).parent / "versions"


def newest() -> str:
    """The last revision. Revisions are numbers of four digits, and grow; each file's name begins with one."""
    return max(path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*.py"))
