"""The language of the schema, the code, the commands and the documents: no reader stops at a phrase that
tests/support/language.py lists."""

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from graphql import GraphQLEnumType, GraphQLSchema, build_schema

from schema import schema
from server.ops.cli import main
from tests.support.language import BANNED, Banned, breaches
from tests.support.sources import FLOORS, ROOT, sources

SPECIFIED = {"Boolean", "Float", "ID", "Int", "String"}


def descriptions(of: GraphQLSchema) -> Iterator[tuple[str, str]]:
    """Every description by where it stands: types, fields, arguments, inputs, values and directives."""
    for name, each in of.type_map.items():
        if name in SPECIFIED or name.startswith("__"):
            continue
        yield name, each.description or ""
        parts: Any = each.values if isinstance(each, GraphQLEnumType) else getattr(each, "fields", {})
        for part, definition in parts.items():
            yield f"{name}.{part}", definition.description or ""
            for argument, inner in getattr(definition, "args", {}).items():
                yield f"{name}.{part}({argument})", inner.description or ""
    for directive in of.directives:
        if directive.name not in ("skip", "include", "deprecated", "specifiedBy", "oneOf", "defer", "stream"):
            yield f"@{directive.name}", directive.description or ""


def breaches_in(of: GraphQLSchema) -> dict[str, list[Any]]:
    return {place: found for place, text in descriptions(of) if (found := breaches(text))}


def unfinished(of: GraphQLSchema) -> list[str]:
    """Descriptions that are not sentences: each begins with a capital letter or a name, and ends with a full stop."""
    return [
        place for place, text in descriptions(of) if not (text[:1].isupper() or text[:1] in "`") or text[-1:] != "."
    ]


def test_descriptions_hold_no_banned_phrase() -> None:
    assert not breaches_in(schema._schema)


def test_descriptions_are_sentences() -> None:
    assert not unfinished(schema._schema)
    assert len(list(descriptions(schema._schema))) > 900


@pytest.mark.parametrize("banned", BANNED, ids=lambda banned: banned.example)
def test_a_banned_phrase_is_found(banned: Banned) -> None:
    assert banned.instead in [breach.instead for breach in breaches(banned.example)]


PLANTED = '''
"""{type}"""
type Query {{
  """{field}"""
  asked(
    """{argument}"""
    by: Key): Int
}}

"""{enum}"""
enum Key {{
  """{value}"""
  NAME
}}

"""{directive}"""
directive @asked on FIELD
'''
PLACES = {
    "type": "Query",
    "field": "Query.asked",
    "argument": "Query.asked(by)",
    "enum": "Key",
    "value": "Key.NAME",
    "directive": "@asked",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_phrase_is_found_wherever_it_is_planted(place: str) -> None:
    plain = dict.fromkeys(PLACES, "A plain sentence.")
    assert not breaches_in(build_schema(PLANTED.format(**plain)))
    planted = build_schema(PLANTED.format(**plain | {place: "it has gone back, for ever"}))
    assert list(breaches_in(planted)) == unfinished(planted) == [PLACES[place]]


# ---------------------------------------------------------------- code, commands and documents

# In code and documents None, True and False are Python's, and servers do answer requests.
OF_PYTHON = ("None", "True", "False")
OF_SERVERS = "returned", "returns"
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def sentences_of(source: str) -> Iterator[tuple[int, str]]:
    """The strings of several words and the comments of a module, by line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.count(" ") >= 3:
            yield node.lineno, node.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def breaches_of(texts: Iterator[tuple[int, str]]) -> dict[int, list[str]]:
    wrong = ((line, [b.found for b in breaches(text) if _counts(b.found, b.instead)]) for line, text in texts)
    return {line: phrases for line, phrases in wrong if phrases}


def _counts(phrase: str, instead: str) -> bool:
    return phrase not in OF_PYTHON and instead not in OF_SERVERS


def test_code_holds_no_banned_phrase() -> None:
    files = [file for floor in FLOORS for file in sources(floor)]
    assert not {str(file): found for file in files if (found := breaches_of(sentences_of(file.read_text())))}


@pytest.mark.parametrize(
    "planted",
    [
        '"""What became of it."""',
        "# Where there is none.",
        'log.info("The key is kept for ever.")',
        'f("x " + "a b c anew")',
    ],
)
def test_a_phrase_planted_in_code_is_found(planted: str) -> None:
    assert list(breaches_of(sentences_of(f"{planted}\n"))) == [1]


def lines_of(file: Path) -> Iterator[tuple[int, str]]:
    yield from enumerate(file.read_text().splitlines(), 1)


def test_documents_hold_no_banned_phrase(tmp_path: Path) -> None:
    assert len(DOCUMENTS) > 15
    assert not {str(file): found for file in DOCUMENTS if (found := breaches_of(lines_of(file)))}
    planted = tmp_path / "planted.md"
    planted.write_text("# A page\n\nThe key is kept for ever.\n")
    assert list(breaches_of(lines_of(planted))) == [3]


def help_of(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
    """The help of a command and of those below it, by name."""
    with click.Context(command, info_name=name) as context:
        yield name, command.get_help(context)
    if isinstance(command, click.Group):
        for child, each in command.commands.items():
            yield from help_of(each, f"{name} {child}")


def test_the_help_of_commands_holds_no_banned_phrase() -> None:
    helped = dict(help_of(main, "lineal"))
    assert len(helped) > 10
    assert not {name: found for name, text in helped.items() if (found := breaches(" ".join(text.split())))}


def test_a_phrase_planted_in_the_help_of_a_command_is_found() -> None:
    planted = click.Group("planted", commands={"keep": click.Command("keep", help="Keeps it for ever.")})
    assert [name for name, text in help_of(planted, "planted") if breaches(text)] == ["planted", "planted keep"]
