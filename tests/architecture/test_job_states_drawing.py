"""The drawing of the job's states and the code of it say the same."""

from orchestrator.jobs.states import (
    LIVE,
    ORDERS,
    ROBOT_EVENTS,
    STATE_NAMES,
    TERMINAL,
    TRANSITIONS,
    Event,
    Status,
    Who,
)
from tests.architecture import job_states_drawing as drawing

# What the robot protocol lets a robot ask for, by numbers, as its document has them.
PROTOCOL = {(1, 8), (8, 4), (8, 5), (8, 7), (8, 3), (6, 7), (6, 4), (6, 5), (2, 3), (2, 4), (2, 5)}
OF_PEOPLE = {(0, 7), (1, 7), (8, 6), (8, 2), (6, 2)}


def moves(who: Who) -> set[tuple[int, int]]:
    return {
        (source, transition.target)
        for transition in TRANSITIONS.values()
        for source in transition.sources
        if transition.who == who and transition.event != Event.CONSUME
    }


def test_every_transition_is_drawn_and_every_arrow_is_in_the_code() -> None:
    coded = {
        (event.value, STATE_NAMES[source], STATE_NAMES[transition.target])
        for event, transition in TRANSITIONS.items()
        for source in transition.sources
    }
    assert drawing.arrows() == coded


def test_every_event_is_in_the_table_with_who_from_and_to() -> None:
    coded = {
        event.value: (
            transition.who.value,
            frozenset(STATE_NAMES[source] for source in transition.sources),
            STATE_NAMES[transition.target],
        )
        for event, transition in TRANSITIONS.items()
    }
    assert drawing.events() == coded


def test_every_state_is_listed_by_its_number() -> None:
    assert drawing.states() == {name: status.value for status, name in STATE_NAMES.items()}
    assert set(STATE_NAMES) == set(Status)


def test_the_diagram_begins_at_created_and_ends_at_the_terminal_states() -> None:
    assert drawing.beginnings() == {STATE_NAMES[Status.CREATED]}
    assert drawing.ends() == {STATE_NAMES[status] for status in TERMINAL}


def test_nothing_leads_out_of_a_terminal_state() -> None:
    assert not any(transition.sources & TERMINAL for transition in TRANSITIONS.values())


def test_robots_may_ask_for_what_the_protocol_says() -> None:
    assert moves(Who.ROBOT) == PROTOCOL


def test_people_may_ask_for_what_the_protocol_says() -> None:
    assert moves(Who.PERSON) == OF_PEOPLE


def test_each_word_of_a_robot_is_the_event_that_leads_to_it() -> None:
    assert {status: TRANSITIONS[event].target for status, event in ROBOT_EVENTS.items()} == {
        status: status for status in ROBOT_EVENTS
    }


def test_every_event_has_a_transition_and_orders_are_for_live_states() -> None:
    assert set(TRANSITIONS) == set(Event)
    assert set(ORDERS) <= LIVE
    assert not LIVE & TERMINAL
