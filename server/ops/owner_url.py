"""Removes the owner's URL from the parent process once migrations are done, so that no server process inherits it."""

import ctypes
import os
import re
import sys
from pathlib import Path

NAME = "LINEAL_OWNER_URL"
OPTION = "--owner-url"
# The fields of proc(5) with the bounds of the arguments and of the environment, counted after the command's name.
BOUNDS = slice(45, 49)
GIVEN = re.compile(
    rf"(?<=\0){NAME}=([^\0]+)|(?<=\0){OPTION}[=\0]([^\0]+)".encode(),
    re.IGNORECASE,  # like pydantic-settings
)


def forget_owner_url() -> None:
    """Remove it from the environment of workers, and from /proc/<pid>/environ and cmdline of this process."""
    for name in [name for name in os.environ if name.upper() == NAME]:
        del os.environ[name]
    # multiprocessing passes sys.argv to each worker.
    for arguments in (sys.argv, sys.orig_argv):
        arguments[:] = without_owner_url(arguments)
    if sys.platform == "linux":
        _overwrite_start()


def without_owner_url(arguments: list[str]) -> list[str]:
    kept = []
    rest = iter(arguments)
    for argument in rest:
        if argument == OPTION:
            next(rest, None)
        elif not argument.startswith(f"{OPTION}="):
            kept.append(argument)
    return kept


def _overwrite_start() -> None:
    """Overwrite it in the memory that the kernel shows as this process's arguments and environment."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    first_argument, last_argument, first_variable, last_variable = map(int, fields[BOUNDS])
    for begin, end in ((first_argument, last_argument), (first_variable, last_variable)):
        # One byte earlier, so that the first entry is preceded by a zero like the others.
        for match in GIVEN.finditer(b"\0" + ctypes.string_at(begin, end - begin)):
            at, to = match.span(match.lastindex or 0)
            ctypes.memset(begin + at - 1, ord("*"), to - at)
