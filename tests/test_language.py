"""The language of the schema: no reader stops at a phrase that tests/support/language.py lists."""

from collections.abc import Iterator
from typing import Any

import pytest
from graphql import GraphQLEnumType, GraphQLSchema, build_schema

from schema import schema
from tests.support.language import BANNED, Banned, breaches

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
