"""Documents: parsed, limited and validated once, then cached by their text."""

from collections.abc import Callable
from dataclasses import dataclass

from cachetools import LRUCache
from graphql import (
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    parse,
    validate,
)
from graphql.execution.values import VariableValues
from graphql.validation.rules import overlapping_fields_can_be_merged

from resolvers.errors import Refusal
from resolvers.reads.plans import Operation
from resolvers.reads.types import Types
from resolvers.rules.cleaning import quoted
from server.http.costs import Costliest, check_cost, cost_of
from server.http.query_limits import MAX_TOKENS, check_document, check_text
from server.http.wording import reword, reworded

# With graphql-core's default budget, a few kilobytes take half a second.
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 20_000

MAX_ANSWER_BYTES = 32_000_000
# The total length of cached documents. A parsed one takes some hundred bytes for each of its characters.
KEPT_CHARACTERS = 500_000
MAX_KEPT_LENGTH = 20_000
MAX_ERRORS = 3
MAX_MESSAGE = 1_000
TOO_MUCH_TO_COMPARE = "The document repeats too many fields to compare them all. Select each field once."


class RequestError(Exception):
    """The request is refused before it runs."""

    def __init__(self, errors: list[GraphQLError]):
        super().__init__(errors[0].message)
        self.errors = errors


@dataclass(frozen=True)
class Prepared:
    operation: Operation
    writes: bool
    subscribes: bool
    costliest: Callable[[VariableValues], Costliest]
    # The length of the document.
    length: int


def _size(known: Prepared | RequestError) -> int:
    return known.length if isinstance(known, Prepared) else MAX_MESSAGE


class Documents:
    def __init__(self, schema: GraphQLSchema, most_bytes: int = MAX_ANSWER_BYTES):
        self.schema, self.most_bytes = schema, most_bytes
        self.types = Types(schema)
        self._known: LRUCache[tuple[str, str | None], Prepared | RequestError] = LRUCache(KEPT_CHARACTERS, _size)

    def prepare(self, text: str, operation_name: str | None) -> Prepared:
        """The operation that a request names. Raises RequestError if there is none or it is not allowed."""
        known = self.known(text, operation_name)
        if known is None:
            known = self.read(text, operation_name)
            self.learn(text, operation_name, known)
        return allowed(known)

    def known(self, text: str, operation_name: str | None) -> Prepared | RequestError | None:
        return self._known.get((text, operation_name))

    def learn(self, text: str, operation_name: str | None, known: Prepared | RequestError) -> None:
        if len(text) <= MAX_KEPT_LENGTH:
            self._known[text, operation_name] = known

    def read(self, text: str, operation_name: str | None) -> Prepared | RequestError:
        """Parse, limit and validate a document. Its error is returned, not raised, so that it can be cached as well."""
        try:
            check_text(text)
            document = parse(text, no_location=False, max_tokens=MAX_TOKENS)
            check_document(document)
        except GraphQLSyntaxError as error:
            # The parser counts tokens itself and reports the limit in its message.
            if f"{MAX_TOKENS} tokens" in error.message:
                error.extensions = {"code": "QUERY_TOO_COMPLEX", "what": "tokens", "limit": MAX_TOKENS}
            return RequestError([coded(error, "GRAPHQL_PARSE_FAILED")])
        except Refusal as refusal:
            return RequestError([GraphQLError(str(refusal), extensions=refusal.extensions)])
        errors = validate(self.schema, document, max_errors=MAX_ERRORS)
        if any(error.message == "Validation aborted." for error in errors):
            return RequestError(
                [GraphQLError(TOO_MUCH_TO_COMPARE, extensions={"code": "QUERY_TOO_COMPLEX", "what": "comparisons"})]
            )
        if errors:
            return RequestError([coded(each, "GRAPHQL_VALIDATION_FAILED") for each in reworded(errors, document)])
        operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
        fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        try:
            operation = _chosen(operations, operation_name)
        except GraphQLError as error:
            return RequestError([coded(error, "BAD_USER_INPUT")])
        cost = cost_of(self.schema, operation, fragments)
        return Prepared(
            Operation(
                self.types, operation, fragments, lambda now: check_cost(cost, now.coerced), self.most_bytes, len(text)
            ),
            writes=operation.operation is OperationType.MUTATION,
            subscribes=operation.operation is OperationType.SUBSCRIPTION,
            costliest=lambda now: cost.costliest(now.coerced),
            length=len(text),
        )


def allowed(known: Prepared | RequestError) -> Prepared:
    if isinstance(known, RequestError):
        # A copy: the cached error would keep references to the frames of every request that it refused.
        raise RequestError(known.errors)
    return known


def _chosen(operations: list[OperationDefinitionNode], name: str | None) -> OperationDefinitionNode:
    if name is None:
        if len(operations) == 1:
            return operations[0]
        names = ", ".join(o.name.value for o in operations if o.name) or "none"
        raise GraphQLError(f"operationName is missing; the document has {len(operations)} operations: {names}.")
    for operation in operations:
        if operation.name and operation.name.value == name:
            return operation
    raise GraphQLError(f"operationName is {quoted(name)}; the document has no operation with this name.")


def coded(error: GraphQLError, code: str) -> GraphQLError:
    """The error with a stable code: the refusal's own code if a refusal was the cause."""
    if len(error.message) > MAX_MESSAGE:
        # The message can quote a long part of the request.
        error.message = f"{error.message[:MAX_MESSAGE]}..."
    cause = error.original_error
    reword(error)
    if isinstance(cause, Refusal):
        error.extensions = dict(cause.extensions) | (error.extensions or {})
    elif "code" not in (error.extensions or {}):
        error.extensions = {"code": code, **(error.extensions or {})}
    return error
