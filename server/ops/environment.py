"""Reads the settings from options and LINEAL_* variables, and refuses invalid ones with a sentence."""

import os
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from resolvers.rules.cleaning import quoted
from server.ops.processes import PARENT
from server.settings import Settings

PREFIX = "LINEAL_"
# Variables that are not settings: the user that runs the embedded PostgreSQL (storage/binaries.py), and the process
# that started a worker.
OTHERS = ("LINEAL_PG_USER", PARENT)
# Values that may contain a password or a key, which no log may show.
SECRET = {"database_url", "owner_url", "secrets_key"}
ALIKE = 0.7
RULES = {
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must not be empty",
}


class SettingsInvalid(Exception):
    """A setting has a value that cannot be used, or a variable names no setting."""


def read_settings(options: Mapping[str, Any] = {}, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read options first, then the environment, then the defaults. Raises SettingsInvalid with everything that is
    wrong."""
    options = {name: value for name, value in options.items() if value is not None}
    problems = [_unknown(name) for name in unknown_variables(environment)]
    try:
        settings = Settings(**options)
    except ValidationError as error:
        problems += [_invalid(each, options) for each in error.errors()]
    if problems:
        raise SettingsInvalid(" ".join(problems))
    return settings


def unknown_variables(names: Iterable[str]) -> list[str]:
    """The environment variables that begin like a setting but are none."""
    ours = [name for name in names if name.upper().startswith(PREFIX)]
    return sorted(name for name in ours if name.upper() not in KNOWN)


KNOWN = {*(PREFIX + name.upper() for name in Settings.model_fields), *OTHERS}


def _unknown(name: str) -> str:
    nearest = get_close_matches(name.upper(), KNOWN - {PARENT}, 1, ALIKE)
    advice = f"Did you mean {nearest[0]}?" if nearest else "Remove it; lineal serve --help lists all settings."
    return f"The environment variable {name} is not a setting of Lineal. {advice}"


def _invalid(error: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    setting = str(error["loc"][0])
    name = f"--{setting.replace('_', '-')}" if setting in options else f"{PREFIX}{setting.upper()}"
    context = error.get("ctx", {})
    rule = RULES.get(error["type"], "").format(**context) or str(context.get("error", error["msg"]))
    if not rule.startswith("must "):
        return f"{name} {rule}."
    value = "cannot be used" if setting in SECRET else f"is {quoted(error['input'])}"
    return f"{name} {value}; it {rule}."
