"""This version's source, and the one after it: a copy whose models and migrations have gone on."""

import shutil
from pathlib import Path

from orchestrator import __version__, schema

PROJECT = Path(__file__).parents[3]
NEXT_VERSION = "99.0.0"
COLUMN = "written_by"  # of the next version; a row of this version has the server's default
OLD, NEW = "this version", "the next one"

MIGRATION = '''"""What the version after this one adds

Revision: {new}, after: {own}
"""

import sqlalchemy as sa
from alembic import op

revision = "{new}"
down_revision = "{own}"
branch_labels = None
depends_on = None

oldest_code = "{own}"


def upgrade() -> None:
    op.create_table(
        "things_to_come",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_things_to_come")),
    )
    for table in ("jobs", "past_jobs", "tasks", "past_tasks"):
        column = sa.Column("{column}", sa.String(length=40), server_default="{old}", nullable=False)
        op.add_column(table, column)
'''


def next_version(folder: Path) -> Path:
    """The folder with the source of the next version, to be put first on PYTHONPATH."""
    for room in ("orchestrator", "scheduler", "workers"):
        shutil.copytree(PROJECT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "celeryconfig.py", folder)
    for room in ("orchestrator", "workers"):
        _replace(folder / room / "__init__.py", f'"{__version__}"', f'"{NEXT_VERSION}"')
    own = schema.newest()
    new = f"{int(own) + 1:04d}"
    text = MIGRATION.format(own=own, new=new, column=COLUMN, old=OLD)
    (folder / f"orchestrator/migrations/versions/{new}_things_to_come.py").write_text(text)
    guid = "    guid: Mapped[str] = mapped_column(Guid, unique=True)\n"
    more = f'    {COLUMN}: Mapped[str] = mapped_column(String(40), default="{NEW}", server_default="{OLD}")\n'
    for noun in ("jobs", "tasks"):
        _replace(folder / f"orchestrator/{noun}/model.py", guid, guid + more)
    return folder


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path}: {old!r}"
    path.write_text(text.replace(old, new), encoding="utf-8")
