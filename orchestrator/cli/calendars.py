"""botswain calendars: days without work, which triggers leave out."""

from __future__ import annotations

import click

from orchestrator.cli.client import Client
from orchestrator.cli.display import as_json, console, print_json, table

WEEKDAYS = ("", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@click.group(invoke_without_command=True)
@click.pass_context
def calendars(ctx: click.Context) -> None:
    """List, create, show and delete calendars. Alone, it lists them."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@calendars.command("list")
@click.option("--limit", metavar="N", type=click.IntRange(1, 10_000), default=50, show_default=True)
@as_json
def list_(limit: int = 50, json_: bool = False) -> None:
    """List calendars, newest first."""
    with Client.from_environment() as client:
        found = list(client.items("calendars", limit=limit))
    if json_:
        print_json(found)
        return
    shown = table("calendar", "holidays of", "work on", "own days off")
    for one in found:
        place = " ".join(filter(None, (one["country"], one["subdivision"])))
        days = " ".join(WEEKDAYS[number] for number in one["weekdays"])
        shown.add_row(one["name"], place, days, str(len(one["days_off"])))
    console().print(shown)


@calendars.command()
@click.argument("name")
@click.option("--country", metavar="C", help="whose public holidays, like ES")
@click.option("--subdivision", metavar="S", help="of the country, like MD")
@click.option(
    "--weekday", "weekdays", metavar="N", multiple=True, type=click.IntRange(1, 7), help="with work"
)
@click.option("--day-off", "days_off", metavar="DATE", multiple=True, help="one more, like 2026-12-24")
@click.option("--working-day", "working_days", metavar="DATE", multiple=True, help="with work all the same")
@as_json
def create(
    name: str,
    country: str | None,
    subdivision: str | None,
    weekdays: tuple[int, ...],
    days_off: tuple[str, ...],
    working_days: tuple[str, ...],
    json_: bool,
) -> None:
    """Create a calendar. Weekdays with work are 1 (Monday) to 5 unless others are given."""
    order = {"name": name, "country": country, "subdivision": subdivision}
    dates = {"days_off": dict.fromkeys(days_off, ""), "working_days": list(working_days)}
    chosen = {"weekdays": list(weekdays)} if weekdays else {}
    with Client.from_environment() as client:
        made = client.post("calendars", json={**order, **dates, **chosen})
    print_json(made) if json_ else click.echo(made["name"])


@calendars.command()
@click.argument("name")
@click.option("--year", metavar="Y", type=int, help="[default: this one]")
@as_json
def show(name: str, year: int | None, json_: bool) -> None:
    """Show the days of a year without work, and why."""
    with Client.from_environment() as client:
        found = client.get("calendars", name, "days-off", year=year)["items"]
    if json_:
        print_json(found)
        return
    shown = table("date", "", "why")
    for day in found:
        shown.add_row(day["date"], WEEKDAYS[day["weekday"]], day["why"])
    console().print(shown)


@calendars.command()
@click.argument("name")
def delete(name: str) -> None:
    """Delete a calendar that no trigger uses."""
    with Client.from_environment() as client:
        client.delete("calendars", name)
