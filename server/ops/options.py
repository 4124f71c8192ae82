"""The settings as options of the `lineal` command and its subcommands."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from pydantic.fields import FieldInfo
from sqlalchemy.exc import SQLAlchemyError

from server.audit.signing import KeyUnusable
from server.audit.verify import CannotVerify
from server.logs import configure_logs
from server.ops.bootstrap import DatabaseUnusable
from server.ops.environment import SettingsInvalid, read_settings
from server.ops.processes import PortTaken
from server.settings import Settings
from storage.embedded import EmbeddedUnavailable
from storage.migrate import SchemaTooNew

F = TypeVar("F", bound=Callable[..., Any])
REFUSALS = (EmbeddedUnavailable, DatabaseUnusable, PortTaken, SchemaTooNew)
UNREADABLE = (*REFUSALS, CannotVerify, KeyUnusable, SQLAlchemyError, OSError)
DATABASE = ("data_dir", "database_url", "owner_url", "pg_bin", "log_level", "log_format")


def options(*names: str) -> Callable[[F], F]:
    """Adds the settings with these names, or all, as options. Each is also a LINEAL_* variable."""

    def decorate(function: F) -> F:
        for name, field in reversed(Settings.model_fields.items()):
            if not names or name in names:
                function = _option(name, field)(function)
        return function

    return decorate


def _option(name: str, field: FieldInfo) -> Callable[[F], F]:
    flag = f"--{name.replace('_', '-')}"
    default = f"; default: {field.default}" if field.default not in ("", None, False) else ""
    shown = f"{field.description} [LINEAL_{name.upper()}{default}]"
    if field.annotation is bool:
        return click.option(flag, name, is_flag=True, default=None, help=shown)
    kind: Any = field.annotation if field.annotation in (int, float, str) else str
    return click.option(flag, name, type=kind, default=None, help=shown)


def settings_from(options: dict[str, Any]) -> Settings:
    """Read options first, then the environment, then the defaults. An invalid setting is a usage error."""
    try:
        settings = read_settings(options)
    except SettingsInvalid as invalid:
        raise click.UsageError(str(invalid)) from None
    configure_logs(settings.log_level, settings.log_format)
    return settings
