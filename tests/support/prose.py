"""The sentences of source files, documents and commands, in which tests/test_language.py looks for banned phrases."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import click

from tests.support.docs import PAGES
from tests.support.language import Breach, breaches
from tests.support.sources import FLOORS, ROOT

FILES = [
    *PAGES,
    *(file for floor in FLOORS for end in ("py", "sql") for file in sorted((ROOT / floor).rglob(f"*.{end}"))),
]
SENTENCE_SPACES = 3
PYTHON_BLOCK = re.compile(r"^ *```python\n.*?^ *```", re.DOTALL | re.MULTILINE)
INLINE_CODE = re.compile(r"`[^`\n]+`")
SQL_COMMENT = re.compile(r"(?:^.*-- .*\n)+", re.MULTILINE)


def strings_in(source: str) -> Iterator[str]:
    """Strings that can be sentences, and docstrings."""
    tree = list(ast.walk(ast.parse(source)))
    docstrings = {id(node.value) for node in tree if isinstance(node, ast.Expr)}
    # Patterns match the words of others: graphql-core says None.
    patterns = {id(each) for node in tree if isinstance(node, ast.Call) and is_compile(node) for each in node.args}
    for node in tree:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in patterns:
            if id(node) in docstrings:
                yield without_constants(node.value)
            elif node.value.count(" ") >= SENTENCE_SPACES:
                yield node.value


def is_compile(call: ast.Call) -> bool:
    return ast.unparse(call.func) == "re.compile"


def comments_in(source: str) -> Iterator[str]:
    """Comments, those on consecutive lines as one."""
    last, lines = 0, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] != last + 1:
                yield without_constants(" ".join(lines))
                lines = []
            last, lines = token.start[0], [*lines, token.string.lstrip("# ")]
    yield without_constants(" ".join(lines))


def without_constants(text: str) -> str:
    """Docstrings and comments are for readers of Python, so they may name its constants."""
    return re.sub(r"\b(None|True|False)\b", "null", text)


def prose_of(page: str) -> Iterator[str]:
    """The paragraphs of a document. Code is not prose: Python and inline code may hold any name."""
    yield from INLINE_CODE.sub("`code`", PYTHON_BLOCK.sub("", page)).split("\n\n")


def texts_in(file: Path) -> Iterator[str]:
    source = file.read_text()
    if file.suffix == ".py":
        yield from strings_in(source)
        yield from comments_in(source)
    elif file.suffix == ".sql":
        yield from (re.sub(r"^.*?-- ", "", lines, flags=re.MULTILINE) for lines in SQL_COMMENT.findall(source))
    else:
        yield from prose_of(source)


def breaches_in_file(file: Path) -> list[Breach]:
    return [breach for text in texts_in(file) for breach in breaches(" ".join(text.split()))]


def help_breaches(command: click.Command, path: str) -> dict[str, list[Breach]]:
    """The banned phrases in the help of a command and its subcommands, by the words that call it."""
    found = breaches(" ".join(command.get_help(click.Context(command, info_name=path)).split()))
    below = getattr(command, "commands", {})
    return {path: found} | {
        each: inner for name in below for each, inner in help_breaches(below[name], f"{path} {name}").items()
    }
