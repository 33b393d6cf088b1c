"""Laws about migrations: from the second on they only add, so that nodes of the version before run on."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import orchestrator
import workers
from tests.architecture.source_files import PROJECT

VERSIONS = PROJECT / "orchestrator/migrations/versions"
FIRST, FIRST_THAT_SAYS_HOW_OLD = "0001", "0006"
ADDING = {"create_table", "add_column", "create_index", "bulk_insert", "batch_alter_table", "f", "get_bind"}


def migrations() -> list[Path]:
    return sorted(path for path in VERSIONS.glob("[0-9]*.py") if path.name[:4] > FIRST)


def breaches(source: str) -> Iterator[str]:
    """What `upgrade()` does that code of the version before might not survive."""
    tree = ast.parse(source)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    functions.pop("downgrade", None)
    batches = {
        item.optional_vars.id
        for one in functions.values()
        for node in ast.walk(one)
        if isinstance(node, ast.With)
        for item in node.items
        if isinstance(item.optional_vars, ast.Name)
    }
    calls = [node for one in functions.values() for node in ast.walk(one) if isinstance(node, ast.Call)]
    made = {_text(call.args[0]) for call in calls if _operation(call, batches) == "create_table"}
    for call in calls:
        name = _operation(call, batches)
        if name == "execute":
            yield from _statement(call)
        elif name and name not in ADDING:
            yield f"line {call.lineno}: {name} changes what is there"
        elif name == "add_column":
            yield from _column(call)
        elif name == "create_index" and _is_true(call, "unique") and _text(call.args[1]) not in made:
            yield f"line {call.lineno}: a unique index refuses rows that old code may write"


def _operation(call: ast.Call, batches: set[str]) -> str:
    """The operation's name, where it is one of Alembic's: `op.x(…)`, or `batch.x(…)` within a batch."""
    match call.func:
        case ast.Attribute(value=ast.Name(id=of), attr=name) if of in {"op", *batches}:
            return name
    return ""


def _column(call: ast.Call) -> Iterator[str]:
    columns = [arg for arg in call.args if isinstance(arg, ast.Call)]
    for column in columns:
        if not _is_true(column, "nullable") and not any(k.arg == "server_default" for k in column.keywords):
            yield f"line {call.lineno}: a column that old code does not fill needs a server_default"


def _statement(call: ast.Call) -> Iterator[str]:
    said = ast.unparse(call.args[0])
    if not re.search(r"\binsert\b", said, re.I) or re.search(r"\b(drop|delete|alter|update)\b", said, re.I):
        yield f"line {call.lineno}: only rows may be added by a statement"


def _is_true(call: ast.Call, keyword: str) -> bool:
    values = [one.value for one in call.keywords if one.arg == keyword]
    return any(isinstance(value, ast.Constant) and value.value is True for value in values)


def _text(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""


@pytest.mark.parametrize("path", migrations(), ids=lambda path: path.stem)
def test_a_migration_only_adds(path: Path) -> None:
    assert list(breaches(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "mutant",
    [
        "op.drop_column('jobs', 'error')",
        "op.drop_table('waits')",
        "op.rename_table('jobs', 'orders')",
        "op.alter_column('jobs', 'error', type_=sa.String(10))",
        "op.add_column('jobs', sa.Column('more', sa.Integer(), nullable=False))",
        "op.add_column('jobs', sa.Column('more', sa.Integer()))",
        "op.create_index('uq_jobs_x', 'jobs', ['error'], unique=True)",
        "op.create_unique_constraint('uq_jobs_x', 'jobs', ['error'])",
        "op.execute('UPDATE jobs SET priority = 0')",
        "with op.batch_alter_table('jobs') as batch: batch.drop_column('error')",
    ],
)
def test_what_takes_away_is_found(mutant: str) -> None:
    assert list(breaches(f"def upgrade():\n    {mutant}\n")) != []
    assert list(breaches(f"def upgrade():\n    _more()\ndef _more():\n    {mutant}\n")) != []


@pytest.mark.parametrize(
    "addition",
    [
        "op.create_table('a', sa.Column('id', sa.Integer())); op.create_index('i', 'a', ['id'], unique=True)",
        "op.add_column('jobs', sa.Column('more', sa.Integer(), nullable=True))",
        "op.add_column('jobs', sa.Column('more', sa.Integer(), server_default='0', nullable=False))",
        "op.create_index('ix_jobs_more', 'jobs', ['more'], unique=False)",
        "op.execute(sa.insert(leases).values(name='x'))",
    ],
)
def test_what_adds_is_let_through(addition: str) -> None:
    assert list(breaches(f"def upgrade():\n    {addition}\n")) == []


@pytest.mark.parametrize("path", migrations(), ids=lambda path: path.stem)
def test_a_migration_says_how_old_the_code_may_be(path: Path) -> None:
    own = path.name[:4]
    found = re.search(r'^oldest_code = "(\d{4})"$', path.read_text(encoding="utf-8"), re.M)
    if own >= FIRST_THAT_SAYS_HOW_OLD:
        assert found is not None
        assert FIRST_THAT_SAYS_HOW_OLD <= found[1] <= own


def test_orchestrator_and_workers_are_of_one_version() -> None:
    assert workers.__version__ == orchestrator.__version__
