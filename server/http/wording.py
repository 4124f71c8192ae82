"""Rewords the errors of graphql-core: the value's path, the problem, and what to write instead."""

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

from graphql import (
    BREAK,
    ArgumentNode,
    DocumentNode,
    FieldNode,
    GraphQLError,
    Node,
    ObjectFieldNode,
    Visitor,
    VisitorAction,
    visit,
)

from resolvers.errors import BadUserInput
from resolvers.rules.cleaning import quoted
from schema import schema

VARIABLE = re.compile(r"Variable '\$(?P<name>\w+)' has invalid value(?: at (?P<path>\S+?))?: (?P<rest>.*)", re.DOTALL)
UNKNOWN = re.compile(
    r"Expected value of type '(?P<of>\w+)' not to include unknown field '(?P<field>\w+)'"
    r"(?:, found|\. Did you mean .*\? Found): .*",
    re.DOTALL,
)
MISSING = re.compile(r"Expected value of type '\w+' to include required field '(?P<field>\w+)', found: .*", re.DOTALL)
ABSENT = re.compile(r"Expected a value of non-null type '(?P<of>[^']+)' to be provided\.")
NULL = re.compile(r"Expected value of non-null type '(?P<of>[^']+)' not to be None\.")
OBJECT = re.compile(r"Expected value of type '(?P<of>\w+)' to be an object, found: .*", re.DOTALL)
CHOICE = re.compile(r"Value '(?P<value>\w+)' does not exist in '(?P<of>\w+)' enum\.(?: Did you mean .*)?")
SCALAR = re.compile(r"(?P<of>Boolean|Float|ID|Int|String) cannot represent .*", re.DOTALL)
VALUE = re.compile(r"Expected value of type '(?P<of>\w+)', found: (?P<value>.*)\.", re.DOTALL)

FIELD = re.compile(r"Cannot query field '(?P<field>\w+)' on type '(?P<of>\w+)'\.(?: Did you mean '.*)?")
ARGUMENT = re.compile(r"Unknown argument '(?P<name>\w+)' on field 'Mutation\.(?P<field>\w+)'\.(?: Did you mean .*)?")
TYPES = schema._schema.type_map  # noqa: SLF001 - Strawberry has no public name for it
LOOK = "The schema lists its fields."
# Comparing names takes time that grows with their lengths.
LONGEST = 100
INPUT = re.compile(r"Argument 'Mutation\.(?P<field>\w+)\(input:\)' of type '(?P<of>\w+)!' is required, but .*")


def reword(error: GraphQLError, document: DocumentNode | None = None) -> None:
    """Rewrite the message of an error about a value or a selection, and name its field in the extensions."""
    shape = _of_selection(error.message)
    if shape is None:
        variable = VARIABLE.fullmatch(error.message)
        path = f"{variable['name']}{variable['path'] or ''}" if variable else _path_in(document, error.nodes or ())
        message = variable["rest"] if variable else error.message
        shape = _of_value(path, message, _cause_of(error)) if path else None
    if shape is not None:
        field, error.message = shape
        error.extensions = {**(error.extensions or {}), "field": field}


def reworded(errors: Sequence[GraphQLError], document: DocumentNode) -> list[GraphQLError]:
    """The errors of a document. A mutation's unknown argument and its missing `input` become one error."""
    mistaken = {match["field"] for error in errors if (match := ARGUMENT.fullmatch(error.message))}
    kept = [e for e in errors if not ((match := INPUT.fullmatch(e.message)) and match["field"] in mistaken)]
    for error in kept:
        reword(error, document)
    return kept


def _of_selection(message: str) -> tuple[str, str] | None:
    """The invalid field, and the sentence."""
    if match := FIELD.fullmatch(message):
        field, of = match.group("field", "of")
        if of.endswith("Connection"):
            sentence = f"{of} has no field {field}; its entries are in nodes. Write {{ nodes {{ {field} }} }}."
        else:
            sentence = f"{of} has no field {field}. {_nearest(of, field, LOOK)}"
        return f"{of}.{field}", sentence
    if match := ARGUMENT.fullmatch(message):
        field, name = match.group("field", "name")
        sentence = f"{field} has no argument {name}; its one argument is input. Write {field}(input: {{{name}: ...}})."
        return f"{field}.{name}", sentence
    if match := INPUT.fullmatch(message):
        field, of = match.group("field", "of")
        return f"{field}.input", f"{field} needs the argument input, an object of type {of}."
    return None


def _cause_of(error: GraphQLError) -> Exception | None:
    """The refusal of a scalar, which graphql-core wraps once or twice."""
    cause = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


def _of_value(path: str, message: str, cause: Exception | None) -> tuple[str, str] | None:
    if isinstance(cause, BadUserInput):
        return path, f"{path} {cause.problem}"
    for pattern, sentence in SENTENCES:
        if match := pattern.fullmatch(message):
            parts = match.groupdict()
            field = f"{path}.{parts['field']}" if "field" in parts else path
            return field, f"{field} {sentence(parts)}"
    return None


def _nearest(of: str, name: str, otherwise: str) -> str:
    """A question that suggests a field with a similar name, if there is one."""
    nearest = get_close_matches(name[:LONGEST], getattr(TYPES.get(of), "fields", {}), 1)
    return f"Did you mean {nearest[0]}?" if nearest else otherwise


def _choices(of: str) -> str:
    *others, last = getattr(TYPES.get(of), "values", {of: None})
    return f"{', '.join(others)} or {last}" if others else last


Parts = dict[str, Any]
SCALARS = {
    "Boolean": "true or false",
    "Float": "a finite number",
    "ID": "a string",
    "Int": "a whole number of 32 bits",
    "String": "a string",
}
SENTENCES: tuple[tuple[re.Pattern[str], Callable[[Parts], str]], ...] = (
    (
        UNKNOWN,
        lambda parts: f"is not a field of {parts['of']}. {_nearest(parts['of'], parts['field'], 'Remove it.')}",
    ),
    (MISSING, lambda parts: "is missing, and it is required."),
    (ABSENT, lambda parts: f"is missing; send a value of type {parts['of']}."),
    (NULL, lambda parts: f"is null; it must be a value of type {parts['of']}."),
    (OBJECT, lambda parts: f"must be an object of type {parts['of']}."),
    (CHOICE, lambda parts: f"is {quoted(parts['value'])}; it must be {_choices(parts['of'])}."),
    (SCALAR, lambda parts: f"must be {SCALARS[parts['of']]}."),
    (VALUE, lambda parts: f"must be a value of type {parts['of']}."),
)


class _Search(Visitor):
    """Collects the names on the path from an argument to one of its values."""

    def __init__(self, wanted: Node):
        super().__init__()
        self.wanted, self.path = wanted, ""

    def enter(self, node: Node, _key: Any, parent: Any, _path: Any, ancestors: list[Any]) -> VisitorAction:
        if node is not self.wanted:
            return None
        self.path = ".".join(_names([each for each in (*ancestors, parent) if isinstance(each, Node)]))
        return BREAK


def _names(line: Sequence[Any]) -> list[str]:
    """The argument, and each field of an input object below it."""
    start = max((place for place, node in enumerate(line) if isinstance(node, ArgumentNode)), default=None)
    if start is None:
        return []
    return [node.name.value for node in line[start:] if isinstance(node, ArgumentNode | ObjectFieldNode)]


def _path_in(document: DocumentNode | None, nodes: Sequence[Node]) -> str | None:
    """The path of a literal value in its document, such as input.version. None if it is not a value."""
    if document is None or not nodes or isinstance(nodes[0], FieldNode):
        return None
    search = _Search(nodes[0])
    visit(document, search)
    return search.path or None
