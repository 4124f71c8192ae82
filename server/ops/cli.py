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
from server.ops.audit_commands import audit
from server.ops.bootstrap import prepare, reachable_database, running_database, warn_of_owner
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
    key = asyncio.run(prepare(settings, serves=True))
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
        for key in asyncio.run(all_keys(settings.database_url)):
            state = "revoked" if key.revoked_at else "expired" if key.expired else "valid"
            reach = key.project_id or ("everything" if key.administers else "its owner's projects")
            used = f"used {key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never used"
            marks = ["may attest"] if key.may_attest else []
            parts = [
                key.email,
                key.kind.lower(),
                key.name,
                reach,
                *marks,
                f"made {key.created_at:%Y-%m-%d}",
            ]
            click.echo("  ".join([key.id, f"{state:8}", *parts, used]))


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
main.add_command(audit)


if __name__ == "__main__":
    main()
