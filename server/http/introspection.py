"""Introspection, which graphql-core runs. Responses to the usual documents of tools are cached."""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    FragmentDefinitionNode,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionSetNode,
    execute_sync,
    get_introspection_query,
    strip_ignored_characters,
)
from graphql.execution.values import VariableValues

from resolvers.reads.compilation import Selected
from server.http.documents import Prepared
from server.http.query_limits import too_much

# GraphiQL's introspection of the current schema takes 10,500 fields.
MAX_INTROSPECTED = 20_000
# The points for a field. It takes graphql-core some ten microseconds of a processor that others wait for.
POINTS_PER_FIELD = 10
# The points that a caller must have left, as the cost of introspection is not known in advance.
DEPOSIT = 20_000
# How many responses of up to a megabyte each are cached by the text of their documents.
MAX_KEPT = 16


class Kept:
    """Responses to documents that request only the schema. They are the same for all callers."""

    def __init__(self) -> None:
        # A plain dictionary, as every request looks here. The oldest entry is removed first.
        self._by_document: dict[tuple[str, str | None], bytes] = {}
        # By the text without layout. These entries are never removed.
        self._usual: dict[str, bytes] = {}

    def find(self, text: str, operation_name: str | None) -> bytes | None:
        return self._by_document.get((text, operation_name))

    def recall(self, text: str) -> bytes | None:
        """The response to a usual document with another layout. Reads the whole text."""
        return self._usual.get(strip_ignored_characters(text))

    def keep(self, text: str, operation_name: str | None, answer: bytes) -> None:
        self._by_document[text, operation_name] = answer
        if len(self._by_document) > MAX_KEPT:
            del self._by_document[next(iter(self._by_document))]

    def keep_usual(self, text: str, answer: bytes) -> None:
        """Cache a response permanently if its document is a usual one. Reads the whole text."""
        bare = strip_ignored_characters(text)
        if is_usual(bare):
            self._usual[bare] = answer


def is_usual(bare: str) -> bool:
    """Whether a document is the introspection query of the reference implementation, with any of its options."""
    return bare == strip_ignored_characters(
        get_introspection_query(
            descriptions="description" in bare,
            specified_by_url="specifiedByURL" in bare,
            directive_is_repeatable="isRepeatable" in bare,
            schema_description="__schema{description" in bare,
            input_value_deprecation="args(includeDeprecated:" in bare,
            experimental_directive_deprecation="directives(includeDeprecated:" in bare,
            one_of="isOneOf" in bare,
            type_depth=min(bare.count("ofType"), 100),
        )
    )


class BudgetSpent(BaseException):
    """Ends an execution at once: graphql-core would report an Exception for each field."""


def introspect(
    schema: GraphQLSchema, prepared: Prepared, fields: Sequence[Selected], variables: VariableValues
) -> tuple[ExecutionResult, int]:
    """The result of these root fields, and how many fields that took."""
    definition = prepared.operation.definition
    nodes = tuple(details.node for field in fields for details in field.details)
    operation = OperationDefinitionNode(
        operation=definition.operation,
        variable_definitions=definition.variable_definitions,
        selection_set=SelectionSetNode(selections=nodes),
    )
    fragments: list[FragmentDefinitionNode] = [f.definition for f in prepared.operation.fragments.values()]
    document = DocumentNode(definitions=(operation, *fragments))
    raw = {name: source.value for name, source in variables.sources.items()}
    taken = count()
    try:
        result = execute_sync(schema, document, variable_values=raw, middleware=[_counting(taken)])
    except BudgetSpent:
        paths = ", ".join(field.key for field in fields)
        raise too_much("introspectedFields", MAX_INTROSPECTED + 1, MAX_INTROSPECTED, paths) from None
    return result, next(taken)


def _counting(taken: "count[int]") -> Callable[..., Any]:
    def resolve(next_: Callable[..., Any], root: Any, info: Any, **arguments: Any) -> Any:
        if next(taken) >= MAX_INTROSPECTED:
            raise BudgetSpent
        return next_(root, info, **arguments)

    return resolve
