"""What the benchmarks say of what they measured."""

import json
from functools import partial

import pytest

from tests.benchmarks.figures import Figure, Target, in_turn, percentile
from tests.benchmarks.wire import Reader


def figure(target: Target | None = None) -> Figure:
    return Figure("some", "thing", "jobs/s", [90.0, 30.0, 80.0], "base", [100.0, 50.0, 40.0], target)


def test_the_ratio_is_taken_round_by_round() -> None:
    line = json.loads(figure().as_line())
    assert (line["ratio"], line["ratio_min"], line["ratio_max"]) == (0.9, 0.6, 2.0)
    assert (line["value"], line["base_value"], line["n"]) == (80.0, 50.0, 3)
    assert "target" not in line


@pytest.mark.parametrize(
    ("target", "is_met"),
    [
        (Target(ratio_at_least=0.9), True),
        (Target(ratio_at_least=0.91), False),
        (Target(value_below=80.1), True),
        (Target(value_below=80.0), False),
        (None, None),
    ],
)
def test_a_target_is_a_bound_of_the_medians(target: Target | None, is_met: bool | None) -> None:
    assert figure(target).is_met is is_met


def test_rounds_without_their_base_are_refused() -> None:
    with pytest.raises(ValueError):
        _ = Figure("some", "thing", "ms", [1.0, 2.0], "base", [1.0]).ratios


def test_measures_take_turns_and_none_is_always_first() -> None:
    order: list[str] = []

    def measure(name: str) -> float:
        order.append(name)
        return float(len(order))

    measures = {name: partial(measure, name) for name in "ab"}
    assert in_turn(measures, 3) == {"a": [1.0, 4.0, 5.0], "b": [2.0, 3.0, 6.0]}
    assert "".join(order) == "abbaab"


@pytest.mark.parametrize(("percent", "value"), [(50, 2.0), (51, 3.0), (99, 4.0), (1, 1.0)])
def test_a_percentile_is_one_of_the_samples(percent: float, value: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == value


def test_an_answer_is_whole_however_it_is_cut() -> None:
    answer = b"HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\ncontent-length: 5\r\n\r\nhello"
    reader = Reader()
    got = [reader.feed(answer[index : index + 1]) for index in range(len(answer))]
    assert got[:-1] == [None] * (len(answer) - 1)
    assert got[-1] is not None and (got[-1].status, got[-1].body) == (201, b"hello")
    assert reader.feed(answer + b"HTTP") is not None
