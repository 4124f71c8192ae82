"""Loads SQL from files, and fills in its parts."""

import re
from pathlib import Path

STORAGE = Path(__file__).parent
PART = re.compile(r"\{(\w+)\}")


def load_sql(name: str, folder: Path = STORAGE, **parts: str) -> str:
    """The text of `<folder>/<name>.sql` without its header comment, with these parts filled in.

    The header is for readers of the file: it would cost each statement bytes.
    """
    lines = (folder / f"{name}.sql").read_text("utf-8").splitlines(keepends=True)
    while lines[0].startswith("--"):
        del lines[0]
    template = "".join(lines).strip()
    if unknown := parts.keys() - set(PART.findall(template)):
        raise LookupError(f"{name}.sql has no part {', '.join(sorted(unknown))}.")
    return fill_sql(template, **parts)


def fill_sql(template: str, **parts: str) -> str:
    """The template with each `{name}` replaced by the part of this name, in one pass.

    All other braces stay: the compiler of reads fills in parts that depend on a request, such as `{args[id]}`.
    """
    return PART.sub(lambda part: parts.get(part[1], part[0]), template)
