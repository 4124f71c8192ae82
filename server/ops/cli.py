"""The `lineal` command."""

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from resolvers.errors import Refusal
from schema import schema as graphql_schema
from schema.access import access_table
from server.ops.audit_commands import audit
from server.ops.bootstrap import (
    existing_database,
    prepare,
    reachable_database,
    require_current,
    running_database,
    warn_of_owner,
)
from server.ops.demo import fill
from server.ops.key_commands import all_keys, end_key, make_key, replace_key
from server.ops.options import DATABASE, REFUSALS, options, settings_from
from server.ops.processes import ended_by_signals, listen, run_workers
from server.ops.secret_commands import secret_commands
from server.settings import Settings
from storage.vocabulary import PrincipalKind, Role


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lineal")
def main() -> None:
    """Lineal, a registry of machine-learning models: versions, stages, lineage and history as one GraphQL API."""


@main.command()
@options()
def serve(**options: Any) -> None:
    """Start the server. It runs its own PostgreSQL unless --database-url names another."""
    settings = settings_from(options)
    if settings.open and not settings.is_loopback:
        raise click.UsageError(
            f"--host is {settings.host}; with --open it must be a loopback address, such as 127.0.0.1."
        )
    # Each file of the data folder is created private. This covers a file for which that was forgotten.
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
    key = asyncio.run(prepare(settings, serves=True))
    asyncio.run(warn_of_owner(settings))
    if settings.demo:
        asyncio.run(fill(settings))
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"Lineal is at http://{shown}:{port}/graphql. Open it in a browser for GraphiQL.")
    if settings.open:
        click.echo("Requests need no API key (--open).")
    elif key:
        click.echo(f"The admin key is in {key}. Send it as Authorization: Bearer <key>.")
    sys.stdout.flush()
    run_workers(settings.model_copy(update={"owner_url": ""}), listener)


@contextmanager
def _database(options: dict[str, Any]) -> Iterator[Settings]:
    """A migrated database for a command, whether or not a server runs. Created if there is none."""
    with _refused(), reachable_database(settings_from(options)) as settings:
        asyncio.run(prepare(settings))
        yield settings


@contextmanager
def _existing(options: dict[str, Any]) -> Iterator[Settings]:
    """The same for a command on an existing database, which creates none."""
    with _refused(), existing_database(settings_from(options)) as settings:
        asyncio.run(prepare(settings))
        yield settings


@contextmanager
def _looked_at(options: dict[str, Any]) -> Iterator[Settings]:
    """An existing database for a command that only reads it, and therefore does not migrate it either."""
    with _refused(), existing_database(settings_from(options)) as settings:
        asyncio.run(require_current(settings))
        yield settings


@contextmanager
def _refused() -> Iterator[None]:
    """Ends a command with the sentence of an error, or at a signal."""
    try:
        with ended_by_signals():
            yield
    except REFUSALS as error:
        raise click.ClickException(str(error)) from error


@main.command()
@options(*DATABASE)
def migrate(**options: Any) -> None:
    """Migrate the database to the schema of this version of Lineal."""
    with _database(options):
        click.echo("The database schema is current.")


@main.command()
@options(*DATABASE)
def demo(**options: Any) -> None:
    """Fill an empty registry with the sample data of the product description."""
    with _database(options) as settings:
        filled = asyncio.run(fill(settings))
        click.echo(
            "The sample data is loaded." if filled else "The registry already has projects. Nothing was changed."
        )


@main.command()
@click.option("--access", is_flag=True, help="Print each field's role, list size and cost weight instead.")
def schema(access: bool) -> None:
    """Print the GraphQL schema."""
    click.echo(access_table() if access else str(graphql_schema))


@main.group()
def keys() -> None:
    """Create, list, rotate and revoke API keys."""


@keys.command("create")
@options(*DATABASE)
@click.option("--name", required=True, help="The purpose of the key, such as the pipeline that uses it.")
@click.option(
    "--email",
    required=True,
    help="Email address of the owner, who is recorded in the history for everything done with the key.",
)
@click.option(
    "--kind", type=click.Choice(["user", "service"]), default="service", show_default=True,
    help="Kind of the owner. Only a user, a person, can approve.",
)  # fmt: skip
@click.option(
    "--project",
    default=None,
    help="The id of the only project that the key can access. Default: all projects of its owner.",
)
@click.option(
    "--role", type=click.Choice([role.lower() for role in Role]), default=None,
    help="Role to assign to the owner in --project.",
)  # fmt: skip
@click.option(
    "--admin", is_flag=True, help="Make the owner an administrator of the instance, with all projects and keys."
)
@click.option("--attest", is_flag=True, help="Allow the key to record approvals that reviewers gave in another system.")
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    default=None,
    help="Days until the key expires. Default: it does not expire.",
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
    **options: Any,
) -> None:
    """Create an API key and print it once."""
    if role and not project:
        raise click.UsageError("--role needs --project, the project to assign it in.")
    wanted: dict[str, Any] = {
        "kind": PrincipalKind(kind.upper()),
        "project": project,
        "role": Role(role.upper()) if role else None,
    }
    with _database(options) as settings, _refusals():
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
def list_keys(**options: Any) -> None:
    """List all API keys, without their secrets."""
    with _looked_at(options) as settings:
        for key in asyncio.run(all_keys(settings.database_url)):
            state = "revoked" if key.revoked_at else "expired" if key.expired else "valid"
            reach = key.project_id or ("all projects" if key.administers else "its owner's projects")
            used = f"used {key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never used"
            marks = ["may attest"] if key.may_attest else []
            parts = [
                key.email,
                key.kind.lower(),
                key.name,
                reach,
                *marks,
                f"created {key.created_at:%Y-%m-%d}",
            ]
            click.echo("  ".join([key.id, f"{state:8}", *parts, used]))


@keys.command("rotate")
@options(*DATABASE)
@click.argument("id")
@click.option(
    "--grace", type=click.IntRange(0, 30 * 86_400), default=0, help="Seconds for which the old key still works."
)
def rotate_key(id: str, grace: int, **options: Any) -> None:
    """Replace the API key ID by a new one with the same rights, and print it once."""
    with _existing(options) as settings, _refusals():
        click.echo(asyncio.run(replace_key(settings.database_url, id, grace)))


@keys.command("revoke")
@options(*DATABASE)
@click.argument("id")
def revoke_key(id: str, **options: Any) -> None:
    """Revoke the API key ID. It stops working within 5 seconds."""
    with _existing(options) as settings, _refusals():
        asyncio.run(end_key(settings.database_url, id))
        click.echo(f"{id} is revoked.")


main.add_command(secret_commands(options(*DATABASE, "secrets_key"), _existing))
main.add_command(audit)


if __name__ == "__main__":
    main()
