"""`lineal secrets`: encrypts webhook secrets with another key."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import click

from server.ops.sealed_secrets import reencrypt
from server.settings import Settings, sealing_of
from storage.sealing import SealingUnusable


def secret_commands(
    options: Callable[[Any], Any], database: Callable[[dict[str, Any]], AbstractContextManager[Settings]]
) -> click.Group:
    """The commands, with the options that all database commands share."""

    @click.group("secrets")
    def secrets() -> None:
        """Encrypt webhook secrets with another key."""

    @secrets.command("rotate-key")
    @options
    def rotate_key(**options: Any) -> None:
        """Add a new key to the file secrets-key and encrypt all secrets with it. Older keys stay in the file."""
        with database(options) as settings, _keys_usable():
            sealing_of(settings).add_key()
            _seal_anew(settings)

    @secrets.command("reencrypt")
    @options
    def reencrypt_all(**options: Any) -> None:
        """Encrypt all secrets with the newest key. Older keys are no longer needed then."""
        with database(options) as settings, _keys_usable():
            _seal_anew(settings)

    return secrets


@contextmanager
def _keys_usable() -> Iterator[None]:
    try:
        yield
    except (SealingUnusable, OSError) as error:
        raise click.ClickException(str(error)) from error


def _seal_anew(settings: Settings) -> None:
    count = asyncio.run(reencrypt(settings.database_url, sealing_of(settings)))
    click.echo(f"Encrypted the secrets of {count} webhooks with the newest key.")
