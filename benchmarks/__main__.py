"""The `scripts/bench` command."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click
import uvloop

from benchmarks.cases import CASES
from benchmarks.explain import explain_reads
from benchmarks.place import Place, loaded_database
from benchmarks.reads import Effort, measure_reads
from benchmarks.writes import measure_writes

F = TypeVar("F", bound=Callable[..., Any])
QUICK = {"models": 50, "versions": 100, "rounds": 3, "seconds": 0.5}
FULL = {"models": 1000, "versions": 100, "rounds": 15, "seconds": 1.0}

OPTIONS = [
    click.option("--quick", is_flag=True, help="50 models and short rounds: under a minute, and only roughly right."),
    click.option("--models", type=click.IntRange(10), help="How many models. [1000]"),
    click.option("--versions", type=click.IntRange(51, 800), help="How many versions each has. [100]"),
    click.option("--rounds", type=click.IntRange(1), help="How many turns each server gets; medians count. [15]"),
    click.option("--seconds", type=click.FloatRange(0.1), help="How long a turn is. [1]"),
    click.option("--connections", type=click.IntRange(1), default=8, show_default=True, help="Requests under way."),
    click.option(
        "--pool-size", type=click.IntRange(1), default=10, show_default=True, help="Each server's connections."
    ),
    click.option("--data-dir", type=click.Path(path_type=Path), help="Keeps the database. [a temporary folder, kept]"),
]


def effort_options(function: F) -> F:
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def effort_from(quick: bool, **given: Any) -> Effort:
    sizes = QUICK if quick else FULL
    return Effort(**{**sizes, **{name: value for name, value in given.items() if value is not None}})


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure Lineal against the same work written by hand, on one database, in turns.

    With LINEAL_DATABASE_URL the database is made on that server, whose user must be a superuser there.
    """


def run(effort: Effort, data_dir: Path | None, work: Callable[[Place], Coroutine[Any, Any, bool]]) -> None:
    """Run on the loaded database; exit code 1 when a target is missed."""
    with (
        loaded_database(data_dir, effort.models, effort.versions) as place,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        passed = runner.run(work(place))
    sys.exit(0 if passed else 1)


@main.command()
@effort_options
@click.option(
    "--case", "names", multiple=True, type=click.Choice([case.name for case in CASES]), help="Only this case."
)
@click.option("--explain", is_flag=True, help="Show how PostgreSQL runs Lineal's statements instead of measuring.")
def reads(data_dir: Path | None, names: tuple[str, ...], explain: bool, **given: Any) -> None:
    """Queries: Lineal, the floor (one statement by hand, no framework) and Strawberry with DataLoaders."""
    effort = effort_from(**given)
    cases = [case for case in CASES if case.name in names or not names]
    if explain:
        run(effort, data_dir, lambda place: explain_reads(place, effort, cases))
    run(effort, data_dir, lambda place: measure_reads(place, effort, cases))


@main.command()
@effort_options
def writes(data_dir: Path | None, **given: Any) -> None:
    """Mutations: createVersion and transitionStage, beside a transaction written by hand that keeps the same rows."""
    effort = effort_from(**given)
    run(effort, data_dir, lambda place: measure_writes(place, effort))


if __name__ == "__main__":
    main(prog_name="scripts/bench")
