"""The language of the schema, sources, documents and commands: no reader meets a phrase that tests/support/language.py
lists."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from graphql import GraphQLEnumType, GraphQLSchema, build_schema

from schema import schema
from server.ops.cli import main
from tests.support.language import BANNED, Banned, breaches
from tests.support.prose import FILES, breaches_in_file, help_breaches
from tests.support.sources import ROOT

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


def test_sources_and_documents_hold_no_banned_phrase() -> None:
    assert len(FILES) > 250
    assert not {str(file.relative_to(ROOT)): found for file in FILES if (found := breaches_in_file(file))}


def test_the_help_of_commands_holds_no_banned_phrase() -> None:
    found = help_breaches(main, "lineal")
    assert {"lineal serve", "lineal keys create", "lineal audit verify"} < found.keys()
    assert not any(found.values())


PLANTED_IN_FILES = {
    "docstring": ("py", '"""An approval is marked as spoilt."""'),
    "string": ("py", "sentence = f'{name} has gone back for ever.'"),
    "constant in a string": ("py", "sentence = 'The version is None, so it has no parent.'"),
    "comment": ("py", "revision = 1  # it has gone back, for ever"),
    "comment on two lines": ("py", "# It has gone back, for\n# ever.\nrevision = 1"),
    "comment in SQL": ("sql", "-- It has gone back, for\n-- ever.\nSELECT 1"),
    "document": ("md", "# Versions\n\nIt has gone back, for\never."),
    "printed response": ("md", '```json\n{"message": "It has gone back, for ever."}\n```'),
}


@pytest.mark.parametrize("place", PLANTED_IN_FILES)
def test_a_phrase_is_found_wherever_it_is_planted_in_a_file(place: str, tmp_path: Path) -> None:
    end, text = PLANTED_IN_FILES[place]
    file = tmp_path / f"planted.{end}"
    file.write_text(f"{text}\n")
    assert len(breaches_in_file(file)) == 1


@pytest.mark.parametrize(
    ("end", "text"),
    [
        ("py", '"""The parent, or None."""  # True if there is one\nkey = "spoilt"'),
        ("py", 'message = re.compile("The value must not be None.")'),
        ("md", "```python\nparent: str | None = None\n```\n\nSend `If-None-Match`."),
    ],
)
def test_code_is_not_prose(end: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / f"plain.{end}"
    file.write_text(f"{text}\n")
    assert not breaches_in_file(file)


def test_a_phrase_is_found_in_the_help_of_a_subcommand() -> None:
    option = click.Option(["--lost"], help="The key is lost, for ever.")
    group = click.Group("lineal", commands=[click.Command("rotate", params=[option]), click.Command("show")])
    assert [path for path, found in help_breaches(group, "lineal").items() if found] == ["lineal rotate"]
