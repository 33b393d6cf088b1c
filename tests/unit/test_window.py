"""Windows of days, hours and a time zone, through both changes of daylight saving time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.window import DAYS, NotAWindow, Window

# Every kind of change there is: at two, at midnight, at one UTC, by half an hour, over new year, none.
EUROPE = ("Europe/Madrid", "Europe/London", "Europe/Moscow", "Atlantic/Azores")
AMERICA = ("New_York", "Sao_Paulo", "Santiago", "Havana", "Asuncion")
AFRICA = ("Africa/Cairo", "Africa/Casablanca")
ASIA = ("Beirut", "Jerusalem", "Kolkata", "Tehran", "Tokyo")
PACIFIC = ("Australia/Lord_Howe", "Australia/Sydney", "Pacific/Chatham")
ZONES = [
    *("UTC", *EUROPE, *AFRICA, *PACIFIC),
    *(f"America/{city}" for city in AMERICA),
    *(f"Asia/{city}" for city in ASIA),
]
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
YEARS = timedelta(days=5 * 366)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def at(zone: str, *wall: int, fold: int = 0) -> datetime:
    return datetime(*wall, tzinfo=ZoneInfo(zone), fold=fold)  # type: ignore[arg-type]


def open_minutes(window: Window, begin: datetime, end: datetime) -> int:
    minutes = int((end.astimezone(UTC) - begin.astimezone(UTC)) / MINUTE)
    return sum(window.is_open(begin.astimezone(UTC) + MINUTE * step) for step in range(minutes))


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (at("Europe/Madrid", 2026, 3, 6, 19, 59), False),  # a Friday
        (at("Europe/Madrid", 2026, 3, 6, 20, 0), True),
        (at("Europe/Madrid", 2026, 3, 7, 5, 59), True),  # Friday's night
        (at("Europe/Madrid", 2026, 3, 7, 6, 0), False),
        (at("Europe/Madrid", 2026, 3, 7, 23, 0), False),
        (at("Europe/Madrid", 2026, 3, 9, 2, 0), False),  # Sunday's night, and Sunday is none of its days
        (datetime(2026, 3, 6, 19, 30, tzinfo=UTC), True),  # 20:30 there
    ],
)
def test_a_night_belongs_to_the_day_on_which_it_begins(moment: datetime, expected: bool) -> None:
    assert Window.read("mon-fri 20:00-06:00 Europe/Madrid").is_open(moment) is expected


def test_the_nights_of_the_changes_are_an_hour_shorter_and_longer() -> None:
    window = Window.read("daily 22:00-06:00 Europe/Madrid")
    for night, hours in ((date(2026, 3, 27), 8), (date(2026, 3, 28), 7), (date(2026, 10, 24), 9)):
        begin = datetime(night.year, night.month, night.day, 12, tzinfo=ZoneInfo("Europe/Madrid"))
        assert open_minutes(window, begin, begin + timedelta(days=1)) == hours * 60, night


def test_an_hour_that_is_left_out_is_never_open_and_one_that_comes_twice_is_twice() -> None:
    window = Window.read("daily 02:15-02:45 Europe/Madrid")
    for month, day, minutes in ((3, 28, 30), (3, 29, 0), (10, 25, 60)):
        begin = at("Europe/Madrid", 2026, month, day)
        assert open_minutes(window, begin, at("Europe/Madrid", 2026, month, day, 12)) == minutes


@pytest.mark.parametrize("zone", ZONES)
def test_through_five_years_a_window_is_open_as_the_clock_on_the_wall_says(zone: str) -> None:
    """A quarter of an hour at a time around each change, and once a day else."""
    window = Window.read(f"mon,wed-thu,sun 23:15-03:30 {zone}; sat 00:00-24:00 {zone}")
    for moment in moments(ZoneInfo(zone)):
        assert window.is_open(moment) == expected(moment, ZoneInfo(zone)), moment


def moments(zone: ZoneInfo) -> list[datetime]:
    found, day = [], FIRST
    while day < FIRST + YEARS:
        following = day + timedelta(days=1)
        found.append(day + timedelta(hours=day.toordinal() % 24, minutes=day.toordinal() * 7 % 60))
        if day.astimezone(zone).utcoffset() != following.astimezone(zone).utcoffset():
            found += [day + timedelta(minutes=15 * step) for step in range(-96, 192)]
        day = following
    return found


def expected(moment: datetime, zone: ZoneInfo) -> bool:
    """By the wall clock's text, and the name of its day: nothing of the parser's numbers."""
    wall = moment.astimezone(zone)
    day, yesterday = (f"{one:%a}" for one in (wall.date(), wall.date() - timedelta(days=1)))
    clock = f"{wall:%H:%M}"
    nights = ("Mon", "Wed", "Thu", "Sun")
    late, early = day in nights and clock >= "23:15", yesterday in nights and clock < "03:30"
    return late or early or day == "Sat"


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 24 * 60 - 1),
    st.integers(0, 24 * 60),
    st.sets(st.sampled_from(DAYS), min_size=1),
    st.sampled_from(ZONES),
    st.integers(0, 5 * 365 * 24 * 60),
)
def test_a_window_and_the_rest_of_its_days_are_the_whole_of_them(
    opens: int, closes: int, days: set[str], zone: str, minute: int
) -> None:
    if opens == closes:
        return
    aware, named = FIRST + minute * MINUTE, ",".join(sorted(days))
    inside = Window.read(f"{named} {clock(opens)}-{clock(closes)} {zone}").is_open(aware)
    if opens < closes:
        rest = [f"{named} 00:00-{clock(opens)} {zone}"] if opens else []
        rest += [f"{named} {clock(closes)}-24:00 {zone}"] if closes < 24 * 60 else []
        outside = Window.read(";".join(rest)).is_open(aware) if rest else False
        today = f"{aware.astimezone(ZoneInfo(zone)):%a}".lower() in days
        assert (inside, outside) in ([(True, False), (False, True)] if today else [(False, False)])
    else:
        early = Window.read(f"daily 00:00-{clock(closes)} {zone}").is_open(aware) if closes else False
        late = Window.read(f"{named} {clock(opens)}-24:00 {zone}").is_open(aware)
        assert inside == late or (inside and early)


def clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "say days, hours and time zone"),
        ("mon-fri 20:00-06:00", "say days, hours and time zone"),
        ("monday 20:00-06:00 UTC", "'monday' is no day"),
        ("mon-xyz 20:00-06:00 UTC", "'mon-xyz' is no day"),
        ("daily 20-06 UTC", "'20-06' are no hours"),
        ("daily 25:00-06:00 UTC", "25:00 is no time of day"),
        ("daily 20:61-23:00 UTC", "20:61 is no time of day"),
        ("daily 02:00-02:00 UTC", "has no length"),
        ("daily 24:00-02:00 UTC", "has no length"),
        ("daily 02:00-03:00 Mars/Olympus", "'Mars/Olympus' is no time zone"),
        ("daily 02:00-03:00 ../secret", "'../secret' is no time zone"),
        ("daily 02:00-03:00 UTC; sat", "say days, hours and time zone"),
    ],
)
def test_what_is_no_window_is_said_clearly(text: str, said: str) -> None:
    with pytest.raises(NotAWindow) as refused:
        Window.read(text)
    assert said in str(refused.value)


def test_always_never_and_several() -> None:
    assert Window.read(" Always ").is_open(FIRST)
    assert not Window.read("never").is_open(FIRST)
    several = Window.read("mon 01:00-02:00 UTC; fri-sun 03:00-04:00 UTC;")
    monday = datetime(2026, 3, 2, tzinfo=UTC)
    assert several.is_open(monday + timedelta(hours=1.5))
    assert not several.is_open(monday + timedelta(hours=3.5))
    assert all(several.is_open(monday + timedelta(days=day, hours=3.5)) for day in (4, 5, 6))
    assert Window.read("sat-mon 01:00-02:00 UTC").is_open(monday + timedelta(hours=1))


@pytest.mark.parametrize(
    ("rule", "moment", "turns"),
    [
        # The night on which the clock of Madrid goes from two to three.
        ("daily 02:15-02:45", (2026, 3, 28, 12), ["03-30T00:15", "03-30T00:45"]),  # left out that night
        ("sun 02:15-02:45", (2026, 3, 28, 12), ["04-05T00:15", "04-05T00:45"]),  # and so for a week
        ("daily 02:30-03:30", (2026, 3, 28, 12), ["03-29T01:00", "03-29T01:30"]),  # opens with the change
        ("daily 01:30-02:30", (2026, 3, 28, 12), ["03-29T00:30", "03-29T01:00"]),  # closes with it
        ("daily 22:00-06:00", (2026, 3, 28, 12), ["03-28T21:00", "03-29T04:00"]),  # seven hours long
        # The night on which it goes from three back to two.
        (
            "daily 02:15-02:45",
            (2026, 10, 24, 12),
            ["10-25T00:15", "10-25T00:45", "10-25T01:15", "10-25T01:45", "10-26T01:15"],
        ),
        (
            "daily 01:30-02:30",
            (2026, 10, 24, 12),
            ["10-24T23:30", "10-25T00:30", "10-25T01:00", "10-25T01:30"],
        ),
        ("daily 22:00-06:00", (2026, 10, 24, 12), ["10-24T20:00", "10-25T05:00"]),  # nine
        # No change.
        ("mon-fri 20:00-06:00", (2026, 3, 6, 21), ["03-07T05:00", "03-09T19:00"]),  # over a weekend
        ("sat,sun 00:00-24:00", (2026, 3, 6, 21), ["03-06T23:00", "03-08T23:00"]),
    ],
)
def test_it_says_when_it_opens_and_closes_next(rule: str, moment: tuple[int, ...], turns: list[str]) -> None:
    window, found = Window.read(f"{rule} Europe/Madrid"), at("Europe/Madrid", *moment)
    for turn in turns:
        following = window.next_turn(found)
        assert following is not None
        assert following == datetime.fromisoformat(f"2026-{turn}:00+00:00"), turn
        found = following


@pytest.mark.parametrize("zone", ZONES)
def test_the_next_turn_is_the_first_minute_that_is_otherwise(zone: str) -> None:
    """Minute by minute through each night of a year on which the zone's clocks change."""
    window = Window.read(f"daily 23:15-00:20 {zone}; daily 01:40-02:10 {zone}; sat 02:50-04:00 UTC")
    days = [FIRST + timedelta(days=step) for step in range(365)]
    tz = ZoneInfo(zone)
    changes = [
        day for day in days if day.astimezone(tz).utcoffset() != (day + DAY).astimezone(tz).utcoffset()
    ]
    for begin in changes or days[:1]:
        minutes = [begin - DAY / 2 + MINUTE * step for step in range(2 * 24 * 60)]
        is_open = [window.is_open(minute) for minute in minutes]
        turns = [
            after for after, was, now in zip(minutes[1:], is_open, is_open[1:], strict=False) if was != now
        ]
        found = window.next_turn(minutes[0])
        for turn in turns:
            assert found == turn
            found = window.next_turn(turn)


@pytest.mark.parametrize(
    "rule", ["always", "never", "daily 00:00-24:00 UTC", "daily 08:00-20:00 UTC; daily 20:00-08:00 UTC"]
)
def test_what_neither_opens_nor_closes_says_so(rule: str) -> None:
    assert Window.read(rule).next_turn(FIRST) is None
