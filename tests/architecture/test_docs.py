"""Laws about the documentation: its links lead somewhere, and what it says of names is what the code says."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest

from orchestrator.cli.command_line import COMMANDS, botswain
from orchestrator.config import Config
from tests.architecture.source_files import PRODUCTION, PROJECT, project_files, python_files

FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.M | re.S)
LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.M)
VARIABLE = re.compile(
    r"(?<![A-Z_])(?:(?:BOTSWAIN|SCHEDULER|FLOWER|PROMETHEUS)_[A-Z_]*[A-Z]|LOG_LEVEL|DATABASE_URL|REDIS_URL|DB_[A-Z]+)"
    r"(?![A-Z_*])"
)
ROW_NAME = re.compile(r"^\| `([^`]+)` \|", re.M)
LONG_OPTION = re.compile(r"--[a-z][a-z-]*")
QUADRANTS = ("tutorial", "how-to", "reference", "explanation")


@cache
def pages() -> dict[str, str]:
    """Every Markdown page of the project, by its path."""
    return {
        name: (PROJECT / name).read_text(encoding="utf-8") for name in project_files() if name.endswith(".md")
    }


def prose(page: str) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", page)


def anchors(page: str) -> set[str]:
    """The names that a page's headings get: lower case, no punctuation, blanks as dashes."""
    titles = [re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in HEADING.findall(prose(page))]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links() -> Iterator[tuple[str, str]]:
    for name, text in pages().items():
        for target in LINK.findall(prose(text)):
            if not target.startswith(("http://", "https://", "mailto:")):
                yield name, target


def test_every_link_leads_somewhere() -> None:
    dead = []
    for name, target in links():
        path, _, anchor = target.partition("#")
        found = (PROJECT / name).parent.joinpath(path).resolve() if path else PROJECT / name
        if not found.exists() or (anchor and anchor not in anchors(found.read_text(encoding="utf-8"))):
            dead.append(f"{name}: {target}")
    assert dead == []


def test_every_page_of_the_docs_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [PROJECT / "README.md"]
    by_page: dict[Path, list[str]] = {}
    for name, target in links():
        by_page.setdefault(PROJECT / name, []).append(target.partition("#")[0])
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        waiting += [page.parent.joinpath(target).resolve() for target in by_page.get(page, []) if target]
    docs = {PROJECT / name for name in pages() if name.startswith("docs/")}
    assert {str(page.relative_to(PROJECT)) for page in docs - reached} == set()


def test_the_docs_have_four_parts() -> None:
    parts = {Path(name).parts[1] for name in pages() if name.startswith("docs/") and name.count("/") > 1}
    assert parts == set(QUADRANTS)


# Settings -----------------------------------------------------------------------------------------------


def settings_in_code() -> set[str]:
    files = [*python_files(*PRODUCTION), "celeryconfig.py", "examples/invoices/run.py"]
    texts = [(PROJECT / name).read_text(encoding="utf-8") for name in files]
    return {found for text in texts for found in VARIABLE.findall(text)}


def test_every_setting_is_documented_and_every_documented_one_exists() -> None:
    written = pages()["docs/reference/configuration.md"]
    documented = {name for name in re.findall(r"`([A-Z_]+)`", written) if VARIABLE.fullmatch(name)}
    in_code = settings_in_code()
    assert {"undocumented": in_code - documented, "unknown": documented - in_code} == {
        "undocumented": set(),
        "unknown": set(),
    }


@pytest.mark.parametrize("field", Config.model_fields.values(), ids=lambda field: str(field.alias))
def test_documented_defaults_are_the_defaults(field: Any) -> None:
    default = getattr(field.default, "get_secret_value", lambda: field.default)()
    written = pages()["docs/reference/configuration.md"]
    row = re.search(rf"^\| `{field.alias}` \| ([^|]*) \|", written, re.M)
    assert row is not None
    assert row[1] == (str(default) or "none")


# Logs ---------------------------------------------------------------------------------------------------


LOGGING = {f"log.{level}" for level in ("debug", "info", "warning", "error", "exception")}


def logged_events() -> set[str]:
    """What `log.info(…)` and its like are given first, in whatever part."""
    found: set[str] = set()
    for name in python_files(*PRODUCTION):
        for node in ast.walk(ast.parse((PROJECT / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and ast.unparse(node.func) in LOGGING:
                texts = [one.value for one in ast.walk(node.args[0]) if isinstance(one, ast.Constant)]
                found |= {text for text in texts if isinstance(text, str)}
    return found


def test_every_log_event_is_documented_and_every_documented_one_exists() -> None:
    written = pages()["docs/reference/log-events.md"]
    first_cells = [line.split("|")[1] for line in written.splitlines() if line.startswith("| `")]
    documented = {event for cell in first_cells for event in re.findall(r"`([a-z_]+)`", cell)}
    in_code = logged_events()
    assert {"undocumented": in_code - documented, "unknown": documented - in_code} == {
        "undocumented": set(),
        "unknown": set(),
    }


# Commands -----------------------------------------------------------------------------------------------


def test_every_command_is_documented() -> None:
    written = pages()["docs/reference/command.md"]
    assert {name for name in COMMANDS if f"\n## botswain {name}" not in written} == set()


def options_of(command: click.Command) -> set[str]:
    """The long options of a command and of those below it."""
    below = command.commands.values() if isinstance(command, click.Group) else ()
    own = {option for one in command.params for option in one.opts if option.startswith("--")}
    return own.union(*[options_of(one) for one in below])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented_and_every_documented_one_exists(name: str) -> None:
    command = botswain.get_command(click.Context(botswain), name)
    assert command is not None
    section = re.split(r"^## ", pages()["docs/reference/command.md"], flags=re.M)
    written = next(text for text in section if text.startswith(f"botswain {name}\n"))
    documented = {
        option for code in re.findall(r"`([^`]+)`", written) for option in LONG_OPTION.findall(code)
    }
    assert documented == options_of(command)


def test_every_command_in_the_docs_exists() -> None:
    said = re.compile(r"(?:^|[`$(;&|] ?|(?:run|exec) )botswain ([a-z][a-z-]*)", re.M)
    named = [(name, found) for name, text in pages().items() for found in said.findall(text)]
    assert len(named) > 10
    assert [(page, command) for page, command in named if command not in COMMANDS] == []


# Errors -------------------------------------------------------------------------------------------------


def codes_in_code() -> Iterator[str]:
    """The `code = "…"` of every class of the orchestrator."""
    for name in python_files("orchestrator"):
        for node in ast.walk(ast.parse((PROJECT / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                yield from (code for statement in node.body if (code := assigned_code(statement)))


def assigned_code(statement: ast.stmt) -> str:
    match statement:
        case ast.Assign(targets=[ast.Name(id="code")], value=ast.Constant(value=str(code))):
            return code
    return ""


def test_every_error_code_is_documented() -> None:
    codes = set(codes_in_code())
    assert {"invalid", "stale_fence"} <= codes
    documented = set(ROW_NAME.findall(pages()["docs/reference/error-codes.md"]))
    assert codes - documented == set()


def test_every_reason_of_explain_is_documented() -> None:
    found: set[str] = set()
    for name in python_files("orchestrator/insights"):
        for node in ast.walk(ast.parse((PROJECT / name).read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="Reason"), args=[ast.Constant(value=str(code)), *_]):
                    found.add(code)
    assert "not_before" in found
    documented = set(ROW_NAME.findall(pages()["docs/reference/error-codes.md"]))
    assert found - documented == set()


# Metrics ------------------------------------------------------------------------------------------------


def test_every_metric_is_documented_and_every_documented_one_exists() -> None:
    source = (PROJECT / "orchestrator/api/metrics.py").read_text(encoding="utf-8")
    kinds = {"Counter", "Gauge", "Histogram", "GaugeMetricFamily", "CounterMetricFamily", "_family"}
    made = {
        node.args[0].value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in kinds
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    written = ROW_NAME.findall(pages()["docs/reference/metrics.md"])
    documented = {name.removesuffix("_total") for name in written if re.fullmatch(r"botswain_\w+", name)}
    assert documented == made


# Dependencies -------------------------------------------------------------------------------------------


def test_every_dependency_is_listed_and_every_listed_one_is_a_dependency() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted += extra
    names = {re.match(r"[A-Za-z0-9._-]+", one)[0].lower() for one in wanted}  # type: ignore[index]
    listed = {name.lower() for name in ROW_NAME.findall(pages()["docs/dependencies.md"])}
    assert {"missing": names - listed, "gone": listed - names} == {"missing": set(), "gone": set()}
