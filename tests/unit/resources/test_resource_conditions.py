"""Conditions against an evaluator that is too simple to be wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import Invalid
from orchestrator.resources.conditions import Condition, tag_term, terms_of
from orchestrator.resources.model import STATUS_NAMES, ResourceStatus

STATUSES = list(STATUS_NAMES.values())
TAGS = ["red", "green", "blue"]
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([0.5, 1.0, -0.0]), st.sampled_from("ab")
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xy01"), inner, max_size=3),
    max_leaves=6,
)
rows = st.fixed_dictionaries(
    {
        "status": st.sampled_from(STATUSES),
        "priority": st.integers(0, 3),
        "reference": st.none() | st.sampled_from("ab"),
        "tags": st.lists(st.sampled_from(TAGS), unique=True),
        "parameters": st.dictionaries(st.sampled_from(["x", "y", "x.y"]), values, max_size=3),
        "value": values,
        "created_at": st.just(datetime(2026, 1, 1, tzinfo=UTC)),
        "updated_at": st.just(datetime(2026, 1, 2, tzinfo=UTC)),
    }
)
PATHS = ["parameters.x", "parameters.y", "parameters.x.y", "value.x", "value.0", "value.x.0", "value.y.1.x"]
operand_of = {
    "priority": st.integers(0, 3),
    "status": st.sampled_from(STATUSES),
    "reference": st.none() | st.sampled_from("ab"),
}


@st.composite
def clauses(draw: st.DrawFn) -> tuple[str, Any]:
    field = draw(st.sampled_from(["status", "priority", "reference", "tags", *PATHS]))
    if field == "tags":
        operator = draw(st.sampled_from(["all", "any", "none"]))
        return field, {operator: draw(st.lists(st.sampled_from(TAGS)))}
    operand = operand_of.get(field, values)
    operator = draw(
        st.sampled_from(["eq", "ne", "in", "nin", "exists", "lt", "lte", "gt", "gte", "contains"])
    )
    if operator == "exists":
        return field, {operator: draw(st.booleans())}
    if operator in ("in", "nin"):
        return field, {operator: draw(st.lists(operand, max_size=3))}
    if operator == "contains":
        return field, {operator: draw(st.sampled_from(["a", "b", ""]))}
    if operator in ("lt", "lte", "gt", "gte"):
        ordered = st.integers(0, 3) if field == "priority" else st.integers(-2, 2) | st.sampled_from("ab")
        return field, {
            operator: draw(
                operand if field == "status" else ordered if field != "reference" else st.sampled_from("ab")
            )
        }
    return field, {operator: draw(operand)}


plain = st.lists(clauses(), max_size=3).map(dict)
conditions = st.builds(
    lambda base, groups: base | ({"any": groups} if groups else {}), plain, st.lists(plain, max_size=3)
)
GONE = object()


def naive(where: dict[str, Any], row: dict[str, Any]) -> bool:
    for field, operations in where.items():
        if field == "any":
            if not any(naive(one, row) for one in operations):
                return False
            continue
        for operator, operand in operations.items():
            if not naive_clause(look(row, field), field, operator, operand):
                return False
    return True


def look(row: dict[str, Any], field: str) -> Any:
    if field.startswith("parameters."):
        return row["parameters"].get(field[11:], GONE)
    if not field.startswith("value."):
        return row[field]
    found = row["value"]
    for step in field.split(".")[1:]:
        try:
            found = (
                found[step]
                if isinstance(found, dict)
                else found[int(step)]
                if isinstance(found, list)
                else GONE
            )
        except (KeyError, IndexError, ValueError):
            return GONE
        if found is GONE:
            return GONE
    return found


def canonical(value: Any) -> Any:
    """Equal exactly where JSON says so."""
    if isinstance(value, bool) or value is None:
        return ("word", value)
    if isinstance(value, int | float):
        return ("number", float(value))
    if isinstance(value, list):
        return ("list", [canonical(one) for one in value])
    if isinstance(value, dict):
        return ("object", sorted((name, canonical(one)) for name, one in value.items()))
    return ("text" if isinstance(value, str) else "other", value)


def naive_clause(found: Any, field: str, operator: str, operand: Any) -> bool:
    if field == "tags":
        common = [tag for tag in operand if tag in found]
        return {"all": len(common) == len(operand), "any": bool(common), "none": not common}[operator]
    there = found is not GONE
    if operator == "exists":
        return bool((there and not (field == "reference" and found is None)) == operand)
    if operator in ("eq", "in"):
        wanted = [operand] if operator == "eq" else operand
        return there and any(canonical(found) == canonical(one) for one in wanted)
    if operator in ("ne", "nin"):
        return not naive_clause(found, field, "eq" if operator == "ne" else "in", operand)
    if operator == "contains":
        if isinstance(found, str):
            return operand in found
        return isinstance(found, list) and any(one == operand for one in found)
    kinds = {canonical(found)[0], canonical(operand)[0]}
    if kinds not in ({"number"}, {"text"}):
        return False
    orders = {"lt": found < operand, "lte": found <= operand, "gt": found > operand, "gte": found >= operand}
    return bool(orders[operator])


@settings(max_examples=200, deadline=None)
@given(conditions, rows)
def test_a_condition_holds_where_the_simple_evaluator_says_so(where: dict[str, Any], row: Any) -> None:
    condition = Condition.read(where)
    assert condition.holds(row) == naive(where, row)
    if condition.holds(row):  # what the indexes are asked for never loses a row that fits
        assert ResourceStatus(STATUSES.index(row["status"])) in condition.statuses
        assert set(condition.terms) <= terms_of(row["tags"], row["parameters"])


@pytest.mark.parametrize("where", [[], "New", 3, {"a": 1}, {"priority": {}}, {"value.": 1}, {"tags": 3}])
def test_what_is_not_a_condition_is_refused(where: Any) -> None:
    with pytest.raises(Invalid):
        Condition.read(where)


@pytest.mark.parametrize(
    "wanted", [["New"], {"eq": []}, {"in": [["New"]]}, {"in": [{}]}, {"ne": {"a": 1}}, {"eq": {}}, 5, None]
)
def test_a_status_is_one_of_their_names(wanted: Any) -> None:
    for where in ({"status": wanted}, {"any": [{"status": wanted}]}):
        with pytest.raises(Invalid, match="is not a status"):
            Condition.read(where)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "2026-01-01T00:00:00", "", 5, None])
def test_what_is_not_a_moment_is_refused(moment: Any) -> None:
    with pytest.raises(Invalid):
        Condition.read({"created_at": {"gt": moment}})


def test_a_digit_that_is_none_leads_nowhere() -> None:
    row = {"value": [1], "tags": [], "parameters": {}}
    assert not Condition.read({"value.\u00b2": {"exists": True}}).holds(row)


def test_a_condition_of_too_many_parts_is_refused() -> None:
    with pytest.raises(Invalid, match="parts"):
        Condition.read({"any": [{"priority": number} for number in range(101)]})


def test_terms_tell_kinds_apart() -> None:
    assert (
        len({tag_term("1"), *terms_of([], {"1": 1}), *terms_of([], {"1": "1"}), *terms_of([], {"1": True})})
        == 4
    )
