"""Markdown (CommonMark with GitHub's tables) in which text from people stays text in any place."""

import re
from collections.abc import Iterable, Sequence

_LINE_END = re.compile(r"\r\n|\r|\n")
# Not escaped by a second backslash: on Hugging Face, two backslashes and a bracket begin a formula.
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\\": "&#92;"}
# Characters that have a meaning in any place. An underscore between letters or digits has none. An address would become
# a link that contains the escapes, so its recognizable start is escaped too. Control characters, other line ends and
# characters that change the direction of writing are invisible but have effects.
_ANYWHERE = re.compile(
    r"[&<>\\`*\[\]|~#$]|(?<![^\W_])_|_(?![^\W_])|(?:(?<=http)|(?<=https)|(?<=ftp)):(?=//)|(?<=www)\."
    r"|(?P<hidden>[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff])",
    re.IGNORECASE,
)
# Characters that have a meaning at the start of a line: bullets, underlines of headings and tables, and numbers of a
# list.
_AT_START = re.compile(r"^(?=[-=:][-=:\s]*$|[-+](?:\s|$))|^(\d{1,9})(?=[.)](?:\s|$))")


def escaped(text: str) -> str:
    """Text for any place within a line: a heading, a cell of a table, an entry of a list."""
    return "<br>".join(_escaped_line(line) for line in _LINE_END.split(text))


def paragraphs(text: str) -> str:
    """Text of several lines as paragraphs, with its line breaks."""
    lines = "\n".join(_escaped_line(line) for line in _LINE_END.split(text))
    return "\n\n".join(block.replace("\n", "\\\n") for block in re.split(r"\n{2,}", lines.strip("\n")))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *rows))


def _escaped_line(line: str) -> str:
    return _AT_START.sub(r"\1\\", _ANYWHERE.sub(_escape, line).strip())


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if match["hidden"]:
        return f"&#92;u{ord(character):04x}"
    return _ENTITIES.get(character, f"\\{character}")
