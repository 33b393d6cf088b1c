"""Conditions as data: what a search of resources asks for, checked when it is read, never run as code.

{"status": "New", "parameters.region": {"in": ["ES", "PT"]}, "any": [{"priority": {"gte": 5}}, …]}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from orchestrator.errors import Invalid
from orchestrator.resources.model import STATUS_BY_NAME, STATUS_NAMES, ResourceStatus

PLAIN_FIELDS = ("status", "priority", "reference", "created_at", "updated_at", "tags")
OPERATORS = ("eq", "ne", "in", "nin", "lt", "lte", "gt", "gte", "contains", "exists")
TAG_OPERATORS = ("all", "any", "none")
PARTS_LIMIT = 100
TEXT_LIMIT = 1000
INDEXES = frozenset(str(number) for number in range(1000))  # of lists within a value
_MISSING = object()


@dataclass(frozen=True)
class Clause:
    """One field, one operator, one operand."""

    field: str
    operator: str
    operand: Any

    def holds(self, row: Mapping[str, Any]) -> bool:
        found = _find(row, self.field)
        if self.field == "tags":
            return _TAG_TESTS[self.operator](set(found), set(self.operand))
        if self.operator == "exists":
            is_there = found is not _MISSING and not (self.field == "reference" and found is None)
            return bool(is_there == self.operand)
        return _TESTS[self.operator](found, self.operand)


@dataclass(frozen=True)
class Condition:
    """All of `clauses` hold and, for each group in `alternatives`, all clauses of at least one member."""

    clauses: tuple[Clause, ...] = ()
    alternatives: tuple[tuple[Condition, ...], ...] = ()

    @classmethod
    def read(cls, where: Any, field: str = "where") -> Condition:
        """Raises `Invalid` naming the place, such as `where.parameters.region.between`."""
        condition = _read(where, field)
        if sum(1 for _ in condition.walk()) > PARTS_LIMIT:
            raise Invalid.field(field, f"it has more than {PARTS_LIMIT} parts")
        return condition

    def walk(self) -> Iterator[Clause]:
        yield from self.clauses
        for group in self.alternatives:
            for member in group:
                yield from member.walk()

    def and_also(self, other: Condition) -> Condition:
        """The condition that holds where both do."""
        return Condition(self.clauses + other.clauses, self.alternatives + other.alternatives)

    def holds(self, row: Mapping[str, Any]) -> bool:
        return all(clause.holds(row) for clause in self.clauses) and all(
            any(member.holds(row) for member in group) for group in self.alternatives
        )

    def names(self, field: str) -> bool:
        return any(clause.field == field for clause in self.walk())

    @property
    def statuses(self) -> frozenset[ResourceStatus]:
        """The statuses that a resource must be in to fit: what the index is asked for."""
        fitting = {
            status
            for status in ResourceStatus
            if all(c.holds({"status": STATUS_NAMES[status]}) for c in self.clauses if c.field == "status")
        }
        return frozenset(fitting)

    @property
    def terms(self) -> tuple[int, ...]:
        """Index entries of which a fitting resource has each: equality of parameters, tags that must be."""
        found = []
        for clause in self.clauses:
            if clause.field == "tags" and clause.operator == "all":
                found += [tag_term(tag) for tag in clause.operand]
            elif clause.field.startswith("parameters.") and clause.operator == "eq":
                found.append(parameter_term(clause.field.removeprefix("parameters."), clause.operand))
        return tuple(found)


def tag_term(tag: str) -> int:
    return _term(["tag", tag])


def parameter_term(name: str, value: Any) -> int:
    return _term(["parameter", name, value])


def _term(parts: Sequence[Any]) -> int:
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1  # as much as a signed 64-bit column takes


def terms_of(tags: Sequence[str], parameters: Mapping[str, Any]) -> set[int]:
    """The index entries of a resource: one for each tag and parameter."""
    return {tag_term(tag) for tag in tags} | {
        parameter_term(name, _normal(value)) for name, value in parameters.items()
    }


# Reading ------------------------------------------------------------------------------------------------


def _read(where: Any, field: str) -> Condition:
    if not isinstance(where, dict):
        raise Invalid.field(field, "it must be an object of fields and values")
    clauses: list[Clause] = []
    alternatives = []
    for name, wanted in where.items():
        place = f"{field}.{name}"
        if name == "any":
            if not isinstance(wanted, list) or not wanted:
                raise Invalid.field(place, "it must be a list of conditions, at least one")
            alternatives.append(tuple(_read(one, f"{place}.{index}") for index, one in enumerate(wanted)))
        else:
            clauses += _read_field(name, wanted, place)
    return Condition(tuple(clauses), tuple(alternatives))


def _read_field(name: str, wanted: Any, place: str) -> Iterator[Clause]:
    known = name in PLAIN_FIELDS or name.startswith(("parameters.", "value."))
    if not known or name.endswith("."):
        raise Invalid.field(place, "there is no such field: see the list in the reference of conditions")
    if name == "tags":
        yield from _read_tags(wanted, place)
        return
    operations = wanted if isinstance(wanted, dict) else {"eq": wanted}
    if not operations:
        raise Invalid.field(place, f"it names no operator: {', '.join(OPERATORS)}")
    for operator, operand in operations.items():
        if operator not in OPERATORS:
            raise Invalid.field(f"{place}.{operator}", f"it is not an operator: {', '.join(OPERATORS)}")
        yield Clause(name, operator, _read_operand(name, operator, operand, f"{place}.{operator}"))


def _read_tags(wanted: Any, place: str) -> Iterator[Clause]:
    operations = (
        wanted if isinstance(wanted, dict) else {"all": [wanted] if isinstance(wanted, str) else wanted}
    )
    for operator, tags in operations.items():
        if operator not in TAG_OPERATORS:
            raise Invalid.field(f"{place}.{operator}", "tags take all, any or none, each with a list")
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise Invalid.field(f"{place}.{operator}", "it must be a list of tags")
        yield Clause("tags", operator, tuple(tags))


def _read_operand(name: str, operator: str, operand: Any, place: str) -> Any:
    if operator == "exists":
        if not isinstance(operand, bool):
            raise Invalid.field(place, "it must be true or false")
        return operand
    if operator in ("in", "nin"):
        if not isinstance(operand, list):
            raise Invalid.field(place, "it must be a list")
        return tuple(_read_value(name, one, place) for one in operand)
    if operator == "contains" and (not isinstance(operand, str) or len(operand) > TEXT_LIMIT):
        raise Invalid.field(place, f"it must be a text of up to {TEXT_LIMIT} characters")
    if operator in ("lt", "lte", "gt", "gte") and not _is_ordered(operand):
        raise Invalid.field(place, "it must be a number or a text")
    return _read_value(name, operand, place) if operator != "contains" else operand


def _read_value(name: str, value: Any, place: str) -> Any:
    if name == "status" and (not isinstance(value, str) or value not in STATUS_BY_NAME):
        raise Invalid.field(place, f"{value!r} is not a status: {', '.join(STATUS_BY_NAME)}")
    if name == "priority" and (isinstance(value, bool) or not isinstance(value, int)):
        raise Invalid.field(place, "it must be a whole number")
    if name == "reference" and not isinstance(value, str | None):
        raise Invalid.field(place, "it must be a text")
    if name in ("created_at", "updated_at"):
        return _moment(value, place)
    return _normal(value)


def _moment(value: Any, place: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise Invalid.field(place, "it must be a time like 2026-03-01T09:30:00Z") from None
    raise Invalid.field(place, "the time says no offset; end it with Z for UTC")


def _normal(value: Any) -> Any:
    """1 and 1.0 are one number in JSON, at any depth."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_normal(item) for item in value]
    if isinstance(value, dict):
        return {name: _normal(item) for name, item in value.items()}
    return value


# Holding ------------------------------------------------------------------------------------------------


def _find(row: Mapping[str, Any], field: str) -> Any:
    head, _, path = field.partition(".")
    if not path:
        return row.get(field, _MISSING)
    found = row.get(head)
    if head == "parameters":  # a parameter's name may hold dots itself
        return _normal(found.get(path, _MISSING)) if isinstance(found, dict) else _MISSING
    for step in path.split("."):
        if isinstance(found, dict) and step in found:
            found = found[step]
        elif isinstance(found, list) and step in INDEXES and int(step) < len(found):
            found = found[int(step)]
        else:
            return _MISSING
    return _normal(found)


def _is_ordered(value: Any) -> bool:
    return isinstance(value, int | float | str | datetime) and not isinstance(value, bool)


def _same(found: Any, wanted: Any) -> bool:
    """JSON's equality, at any depth: true is not 1."""
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_same, found, wanted))
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(_same(found[name], wanted[name]) for name in found)
    return isinstance(found, bool) == isinstance(wanted, bool) and bool(found == wanted)


def _compare(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def comparable(found: Any, wanted: Any) -> bool:
        if found is _MISSING or not _is_ordered(found) or isinstance(found, str) != isinstance(wanted, str):
            return False
        return isinstance(found, datetime) == isinstance(wanted, datetime) and test(found, wanted)

    return comparable


def _contains(found: Any, wanted: str) -> bool:
    if isinstance(found, str):
        return wanted in found
    return isinstance(found, list) and any(_same(item, wanted) for item in found)


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": _same,
    "ne": lambda found, wanted: not _same(found, wanted),
    "in": lambda found, wanted: any(_same(found, one) for one in wanted),
    "nin": lambda found, wanted: not any(_same(found, one) for one in wanted),
    "lt": _compare(lambda found, wanted: bool(found < wanted)),
    "lte": _compare(lambda found, wanted: bool(found <= wanted)),
    "gt": _compare(lambda found, wanted: bool(found > wanted)),
    "gte": _compare(lambda found, wanted: bool(found >= wanted)),
    "contains": _contains,
}
_TAG_TESTS: dict[str, Callable[[set[str], set[str]], bool]] = {
    "all": lambda found, wanted: wanted <= found,
    "any": lambda found, wanted: bool(wanted & found),
    "none": lambda found, wanted: not wanted & found,
}
