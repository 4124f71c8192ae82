"""The `lineal` command."""

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from sqlalchemy.exc import SQLAlchemyError

from resolvers.errors import Refusal
from schema import schema as graphql_schema
from server.accounts import all_keys, end_key, make_key, replace_key
from server.audit import CannotVerify, Outcome, broken, checkpoints_for, database_outcome, export_outcome
from server.checkpoints import CheckpointsBroken
from server.demo import fill
from server.exports import export
from server.logs import configure_logs
from server.parent import PortTaken, ended_by_signals, listen, run_workers
from server.secret_commands import secret_commands
from server.settings import Settings
from server.signing import KeyUnusable
from server.start import (
    DatabaseUnusable,
    existing_database,
    prepare,
    reachable_database,
    running_database,
    warn_of_owner,
)
from storage.embedded import EmbeddedUnavailable
from storage.migrate import SchemaTooNew
from storage.vocabulary import PrincipalKind, Role

F = TypeVar("F", bound=Callable[..., Any])
REFUSALS = (EmbeddedUnavailable, DatabaseUnusable, PortTaken, SchemaTooNew)
UNREADABLE = (*REFUSALS, CannotVerify, KeyUnusable, SQLAlchemyError, OSError)
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
    # Each file of the data folder is made private where it is made. This is for one where that was forgotten.
    os.umask(0o077)
    try:
        listener = listen(settings)
        with ended_by_signals(), running_database(settings) as ready:
            _serve(ready, listener)
    except REFUSALS as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        pass


def _serve(settings: Settings, listener: socket.socket) -> None:
    key = asyncio.run(prepare(settings))
    asyncio.run(warn_of_owner(settings))
    if settings.demo:
        asyncio.run(fill(settings))
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"Lineal is at http://{shown}:{port}/graphql; a browser shows GraphiQL there.")
    if settings.open:
        click.echo("No key is needed (--open).")
    elif key:
        click.echo(f"The admin key is in {key}; send it as Authorization: Bearer <key>.")
    sys.stdout.flush()
    run_workers(settings.model_copy(update={"owner_url": ""}), listener)


@contextmanager
def _database(given: dict[str, Any]) -> Iterator[Settings]:
    """A migrated database for a command, whether a server runs or not."""
    try:
        with ended_by_signals(), reachable_database(settings_from(given)) as settings:
            asyncio.run(prepare(settings))
            yield settings
    except REFUSALS as error:
        raise click.ClickException(str(error)) from error


@main.command()
@options(*DATABASE)
def migrate(**given: Any) -> None:
    """Bring the database to this version's schema."""
    with _database(given):
        click.echo("The database is current.")


@main.command()
@options(*DATABASE)
def demo(**given: Any) -> None:
    """Fill an empty registry with the sample of the product description."""
    with _database(given) as settings:
        filled = asyncio.run(fill(settings))
        click.echo("The sample is in." if filled else "The registry holds projects already; nothing was done.")


@main.command()
def schema() -> None:
    """Print the GraphQL schema."""
    click.echo(str(graphql_schema))


@main.group()
def keys() -> None:
    """Make, list, rotate and revoke API keys."""


@keys.command("create")
@options(*DATABASE)
@click.option("--name", required=True, help="What the key is for, such as the pipeline that uses it.")
@click.option("--email", required=True, help="Whose it is; the history names this owner for all that is done with it.")
@click.option(
    "--kind", type=click.Choice(["user", "service"]), default="service", show_default=True,
    help="Whether the owner is a person; only people approve.",
)  # fmt: skip
@click.option("--project", default=None, help="The only project that it reaches; absent: all of its owner's.")
@click.option(
    "--role", type=click.Choice([role.lower() for role in Role]), default=None,
    help="With --project: the role that the owner shall have there.",
)  # fmt: skip
@click.option("--admin", is_flag=True, help="The owner shall administer the instance: all projects and keys.")
@click.option("--attest", is_flag=True, help="It may state that a reviewer has approved elsewhere.")
@click.option(
    "--days", type=click.IntRange(1, 3650), default=None, help="After how many days it expires; absent: never."
)
def create_key(
    name: str,
    email: str,
    kind: str,
    project: str | None,
    role: str | None,
    admin: bool,
    attest: bool,
    days: int | None,
    **given: Any,
) -> None:
    """Make a key and print it; it is shown this once."""
    if role and not project:
        raise click.UsageError("--role is held in a project: name it with --project.")
    wanted: dict[str, Any] = {
        "kind": PrincipalKind(kind.upper()),
        "project": project,
        "role": Role(role.upper()) if role else None,
    }
    with _database(given) as settings, _refusals():
        click.echo(
            asyncio.run(
                make_key(settings.database_url, name, email, **wanted, days=days, may_attest=attest, administers=admin)
            )
        )


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except Refusal as refusal:
        raise click.ClickException(str(refusal)) from refusal


@keys.command("list")
@options(*DATABASE)
def list_keys(**given: Any) -> None:
    """Show all keys, never their secrets."""
    with _database(given) as settings:
        for row in asyncio.run(all_keys(settings.database_url)):
            state = "revoked" if row["revoked_at"] else "expired" if row["expired"] else "valid"
            reach = row["project_id"] or ("everything" if row["administers"] else "its owner's projects")
            used = f"used {row['last_used_at']:%Y-%m-%d %H:%M}" if row["last_used_at"] else "never used"
            marks = ["may attest"] if row["may_attest"] else []
            parts = [
                row["email"],
                row["kind"].lower(),
                row["name"],
                reach,
                *marks,
                f"made {row['created_at']:%Y-%m-%d}",
            ]
            click.echo("  ".join([row["id"], f"{state:8}", *parts, used]))


@keys.command("rotate")
@options(*DATABASE)
@click.argument("id")
@click.option(
    "--grace", type=click.IntRange(0, 30 * 86_400), default=0, help="For how many seconds the old key still works."
)
def rotate_key(id: str, grace: int, **given: Any) -> None:
    """Replace a key by a new one with the same rights, and print it; it is shown this once."""
    with _database(given) as settings, _refusals():
        click.echo(asyncio.run(replace_key(settings.database_url, id, grace)))


@keys.command("revoke")
@options(*DATABASE)
@click.argument("id")
def revoke_key(id: str, **given: Any) -> None:
    """End the key with this id; it stops working within 5 seconds."""
    with _database(given) as settings, _refusals():
        asyncio.run(end_key(settings.database_url, id))
        click.echo(f"{id} is revoked.")


main.add_command(secret_commands(options(*DATABASE, "secrets_key"), _database))


@main.group()
def audit() -> None:
    """Verify and export the audit log."""


class NoVerdict(click.ClickException):
    exit_code = 3

    def __init__(self, error: BaseException):
        told = error if isinstance(error, (*UNREADABLE, click.ClickException)) else repr(error)
        super().__init__(f"The audit log could not be verified: {getattr(error, 'orig', None) or told}")


class GivesVerdict(click.Command):
    """A command whose exit codes 1 and 2 are verdicts, so that whatever keeps it from one has another: 3."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        with _no_verdict():
            return super().parse_args(context, arguments)

    def invoke(self, context: click.Context) -> Any:
        with _no_verdict():
            return super().invoke(context)


@contextmanager
def _no_verdict() -> Iterator[None]:
    try:
        yield
    except click.exceptions.Exit:
        raise
    except (Exception, KeyboardInterrupt) as error:
        raise NoVerdict(error) from error


FILE = click.Path(dir_okay=False, path_type=Path)


@audit.command("verify", cls=GivesVerdict)
@options(*DATABASE)
@click.option(
    "--checkpoints", type=FILE, help="Signed checkpoints; by default audit-checkpoints.jsonl of the data folder."
)
@click.option("--public-key", type=FILE, help="Whose signatures count; by default audit-public-key.pem beside it.")
@click.option("--export", "exported", type=FILE, help="Verify this file of `lineal audit export`, without a database.")
@click.pass_context
def verify_audit(
    context: click.Context, /, checkpoints: Path | None, public_key: Path | None, exported: Path | None, **given: Any
) -> None:
    """Prove that the audit log is as it was written.

    Exits with 0 where it is, 1 where it was tampered with, 2 where it ends before its checkpoints do, and 3 where it
    could not be verified. Changes nothing.
    """
    outcome = _verdict(settings_from(given), checkpoints, public_key, exported)
    click.echo(outcome.sentence)
    context.exit(outcome.code)


def _verdict(settings: Settings, checkpoints: Path | None, key: Path | None, exported: Path | None) -> Outcome:
    try:
        history = checkpoints_for(settings.data_dir, checkpoints, key)
    except CheckpointsBroken as error:
        return broken(error)
    if exported:
        return export_outcome(exported, history)
    with ended_by_signals(), existing_database(settings) as ready:
        return asyncio.run(database_outcome(ready.database_url, history))


@audit.command("export")
@options(*DATABASE)
@click.option("--output", type=click.File("wb", lazy=True), default="-", help="Where to write it; standard output.")
@click.option("--project", help="Only the chains of this project.")
@click.option("--chain", help="Only this chain: the id of a model or of a project.")
def export_audit(output: Any, project: str | None, chain: str | None, **given: Any) -> None:
    """Write the audit log as JSON Lines: what it holds, one event a line, one head a line."""
    try:
        with ended_by_signals(), existing_database(settings_from(given)) as settings:
            chains, events = asyncio.run(export(settings.database_url, output.write, project, chain))
    except UNREADABLE as error:
        raise click.ClickException(
            f"The audit log could not be exported: {getattr(error, 'orig', None) or error}"
        ) from error
    click.echo(f"Events: {events:,}. Chains: {chains:,}.", err=True)


if __name__ == "__main__":
    main()
