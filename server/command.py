"""The `lineal` command."""

import asyncio
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from server.logs import configure_logs
from server.parent import PortTaken, ended_by_signals, listen, run_workers
from server.settings import Settings
from server.start import prepare, running_database
from storage.embedded import EmbeddedUnavailable
from storage.migrate import SchemaTooNew

F = TypeVar("F", bound=Callable[..., Any])
DATABASE = ("data_dir", "database_url", "owner_url", "pg_bin", "log_level", "log_format")


def options(*names: str) -> Callable[[F], F]:
    """The settings of these names, or all, as options; each also a LINEAL_* variable."""

    def decorate(function: F) -> F:
        for name, field in reversed(Settings.model_fields.items()):
            if not names or name in names:
                function = _option(name, field)(function)
        return function

    return decorate


def _option(name: str, field: FieldInfo) -> Callable[[F], F]:
    flag = f"--{name.replace('_', '-')}"
    shown = f"{field.description} [LINEAL_{name.upper()}{f'; {field.default}' if field.default else ''}]"
    if field.annotation is bool:
        return click.option(flag, name, is_flag=True, default=None, help=shown)
    kind: Any = field.annotation if field.annotation in (int, float, str) else str
    return click.option(flag, name, type=kind, default=None, help=shown)


def settings_from(given: dict[str, Any]) -> Settings:
    """Options first, then the environment, then the defaults; a bad one is named."""
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problems = "; ".join(f"--{str(e['loc'][0]).replace('_', '-')}: {e['msg']}" for e in error.errors())
        raise click.UsageError(problems) from None
    configure_logs(settings.log_level, settings.log_format)
    return settings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lineal")
def main() -> None:
    """Lineal: versions, stages, lineage and history of machine-learning models, as one GraphQL API."""


@main.command()
@options()
def serve(**given: Any) -> None:
    """Start the server, with its own database unless --database-url names one."""
    settings = settings_from(given)
    if settings.open and not settings.is_loopback:
        raise click.UsageError("--open serves without keys, so --host must be a loopback address such as 127.0.0.1.")
    try:
        listener = listen(settings)
        with ended_by_signals(), running_database(settings) as ready:
            _serve(ready, listener)
    except (EmbeddedUnavailable, PortTaken, SchemaTooNew) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        pass


def _serve(settings: Settings, listener: socket.socket) -> None:
    key = asyncio.run(prepare(settings))
    if settings.demo:
        from server.demo import fill

        asyncio.run(fill(settings))
    host, port = listener.getsockname()[:2]
    click.echo(
        f"Lineal {'' if settings.open else 'is ready '}at http://{f'[{host}]' if ':' in host else host}:{port}/graphql (GraphiQL in a browser)."
    )
    if settings.open:
        click.echo("No key is needed (--open).")
    elif key:
        click.echo(f"The admin key is in {key}; send it as Authorization: Bearer <key>.")
    sys.stdout.flush()
    run_workers(settings, listener)


@main.command()
@options(*DATABASE)
def migrate(**given: Any) -> None:
    """Bring the database to this version's schema."""
    with _database(given) as settings:
        asyncio.run(prepare(settings))
    click.echo("The database is current.")


@main.command()
@options(*DATABASE)
def demo(**given: Any) -> None:
    """Fill an empty registry with the sample of the product description."""
    from server.demo import fill

    with _database(given) as settings:
        asyncio.run(prepare(settings))
        click.echo(
            "Filled." if asyncio.run(fill(settings)) else "The registry holds something already; nothing was done."
        )


@main.command()
def schema() -> None:
    """Print the GraphQL schema."""
    from schema import schema as made

    click.echo(str(made))


@main.group()
def keys() -> None:
    """Make, list and revoke API keys."""


if __name__ == "__main__":
    main()
