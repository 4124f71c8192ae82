"""One request from its document to its answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import orjson
import structlog
from graphql import (
    DocumentNode,
    ExecutionResult,
    FragmentDefinitionNode,
    GraphQLError,
    OperationDefinitionNode,
    SelectionSetNode,
    execute_sync,
)
from graphql.execution.values import VariableValues

from resolvers.errors import RateLimited, Refusal, Unavailable
from resolvers.idempotency import Repeatable
from resolvers.mutations import run_mutation
from resolvers.reads.compilation import Selected
from resolvers.reads.plans import is_introspection
from resolvers.refusals import refused
from resolvers.transaction import Caller
from server.documents import Documents, Prepared, RequestError, coded
from server.limits import MAX_INTROSPECTED, check_variables, too_much
from server.rates import Buckets
from storage.engine import Database

log = structlog.get_logger("lineal")


@dataclass(frozen=True)
class Request:
    query: str
    operation_name: str | None
    variables: Mapping[str, Any]
    # The Idempotency-Key, and the digest of the body.
    repeat: tuple[str, bytes] | None = None


@dataclass(frozen=True)
class Answer:
    """The response as bytes and the HTTP status that says the same.

    `lenient` marks what clients of the older application/json expect as 200: a document that cannot be run.
    """

    body: bytes
    status: int = 200
    lenient: bool = False
    retry_after: int | None = None


AS_A_STREAM = "A subscription is answered as a stream; send it with Accept: text/event-stream."


class Operations:
    def __init__(self, documents: Documents, database: Database, buckets: Buckets):
        self.documents, self.database, self.buckets = documents, database, buckets

    async def answer(self, request: Request, caller: Caller, *, may_write: bool = True) -> Answer:
        """Answer a request; WriteOverGet where it would write and may not."""
        try:
            prepared = self.documents.prepare(request.query, request.operation_name)
            if prepared.writes and not may_write:
                raise WriteOverGet
            if prepared.subscribes:
                raise RequestError([GraphQLError(AS_A_STREAM, extensions={"code": "BAD_USER_INPUT"})])
            variables = self.variables(prepared, request.variables)
            if prepared.writes:
                return await self._write(prepared, variables, caller, request.repeat)
            return await self._read(prepared, variables, caller)
        except WriteOverGet:
            raise
        except Exception as error:  # noqa: BLE001 - the one place where defects are masked
            return refused_answer(error, caller)

    def variables(self, prepared: Prepared, raw: Mapping[str, Any]) -> VariableValues:
        check_variables(raw)
        found = prepared.operation.variables.read(raw)
        if isinstance(found, list):
            raise RequestError([coded(error, "BAD_USER_INPUT") for error in found])
        return found

    def charge(self, caller: Caller, objects: int) -> bytes:
        """Take an operation's cost from its caller's bucket; what the answer says of it."""
        cost = max(1, objects)
        left = self.buckets.take(caller.actor, cost)
        return b'"extensions":{"cost":{"requested":%d,"left":%d}}' % (cost, left)

    async def _read(self, prepared: Prepared, variables: VariableValues, caller: Caller) -> Answer:
        plan = prepared.operation.read_plan(variables, caller)
        extensions = self.charge(caller, plan.cost)
        if plan.introspects:
            return await self._read_with_introspection(prepared, variables, caller)
        with refused():
            answer = await self.database.fetchval(plan.statement, *plan.arguments(variables, caller))
        return Answer(b'{"data":%b,%b}' % (plan.finish(answer), extensions))

    async def _read_with_introspection(self, prepared: Prepared, variables: VariableValues, caller: Caller) -> Answer:
        """The schema's own fields through graphql-core, the others still as one statement."""
        plan = prepared.operation.read_plan(variables, caller)
        fields = prepared.operation.compilation(variables).root()
        result = self._introspect(prepared, [field for field in fields if is_introspection(field)], variables)
        if result.errors:
            raise RequestError([coded(error, "BAD_USER_INPUT") for error in result.errors])
        data = dict(result.data or {})
        if plan.answers:
            with refused():
                answer = await self.database.fetchval(plan.statement, *plan.arguments(variables, caller))
            data |= orjson.loads(plan.finish(answer))
        return Answer(orjson.dumps({"data": {field.key: data[field.key] for field in fields}}))

    def _introspect(self, prepared: Prepared, fields: list[Selected], variables: VariableValues) -> ExecutionResult:
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
        try:
            return execute_sync(self.documents.schema, document, variable_values=raw, middleware=[_budget()])
        except BudgetSpent:
            raise too_much("introspected fields", MAX_INTROSPECTED + 1, MAX_INTROSPECTED) from None

    async def _write(
        self, prepared: Prepared, variables: VariableValues, caller: Caller, repeat: tuple[str, bytes] | None
    ) -> Answer:
        """The root fields one after another, each its own transaction; a refused one answers null and an error."""
        extensions = self.charge(caller, prepared.operation.check(variables))
        answers, errors = [], []
        away, retry_after, kept = False, None, False
        for place, field in enumerate(prepared.operation.compilation(variables).root()):
            if field.name == "__typename":
                answers.append(b'"%b":"Mutation"' % field.key.encode())
                continue
            repeatable = repeat and Repeatable(_scope(caller), repeat[0], place, repeat[1], extensions)
            try:
                answer = await run_mutation(self.database, prepared.operation, field, variables, caller, repeatable)
                answers.append(answer.strip()[1:-1])
                if repeatable and not kept:
                    extensions = repeatable.extensions
                kept = True
            except Exception as error:  # noqa: BLE001 - one refused field must not take the others with it
                answers.append(b'"%b":null' % field.key.encode())
                errors.append(_at(field, error, caller))
                away = away or isinstance(error, Unavailable)
                retry_after = getattr(error, "retry_after", None) or retry_after
        if away and not kept:
            return Answer(_errors(errors), status=503, retry_after=retry_after)
        return Answer(_response(b"{%b}" % b",".join(answers), errors, extensions), retry_after=retry_after)


def refused_answer(error: Exception, caller: Caller) -> Answer:
    """What is answered where nothing of an operation can be; defects are logged, and masked."""
    if isinstance(error, RequestError):
        return Answer(_errors(error.errors), status=400, lenient=_is_lenient(error))
    if isinstance(error, Refusal):
        retry_after = getattr(error, "retry_after", None)
        return Answer(_errors([_refusal(error)]), status=_status(error), retry_after=retry_after)
    if isinstance(error, GraphQLError):
        # An argument that only its variable's value makes wrong, such as null where a default promised a value.
        return Answer(_errors([coded(error, "BAD_USER_INPUT")]), status=400, lenient=True)
    return Answer(_errors([_masked(error, caller)]), status=500)


def _scope(caller: Caller) -> str:
    """Whose idempotency keys are told apart: a principal's, and those of its keys that reach one project only."""
    return f"{caller.actor} {caller.only}" if caller.only else caller.actor


def _status(refusal: Refusal) -> int:
    if isinstance(refusal, Unavailable):
        return 503
    return 429 if isinstance(refusal, RateLimited) else 400


class WriteOverGet(Exception):
    """A GET must not write."""


class BudgetSpent(BaseException):
    """Ends an execution at once: graphql-core would answer an Exception field by field."""


def _budget() -> Callable[..., Any]:
    fields = count()

    def resolve(next_: Callable[..., Any], root: Any, info: Any, **arguments: Any) -> Any:
        if next(fields) >= MAX_INTROSPECTED:
            raise BudgetSpent
        return next_(root, info, **arguments)

    return resolve


def _is_lenient(error: RequestError) -> bool:
    return all((each.extensions or {}).get("code") != "QUERY_TOO_COMPLEX" for each in error.errors)


def _at(field: Selected, error: Exception, caller: Caller) -> GraphQLError:
    nodes = [details.node for details in field.details]
    told = _told(error, caller)
    return GraphQLError(told.message, nodes, path=[field.key], extensions=told.extensions)


def _told(error: Exception, caller: Caller) -> GraphQLError:
    if isinstance(error, GraphQLError):
        return coded(error, "BAD_USER_INPUT")
    return _refusal(error) if isinstance(error, Refusal) else _masked(error, caller)


def _refusal(refusal: Refusal) -> GraphQLError:
    return GraphQLError(str(refusal), extensions=refusal.extensions)


def _masked(error: Exception, caller: Caller) -> GraphQLError:
    return GraphQLError(
        report(error, caller.request_id), extensions={"code": "INTERNAL", "requestId": caller.request_id}
    )


def report(error: Exception, request_id: str) -> str:
    """Log a defect; what its caller is told instead."""
    log.error("defect", request_id=request_id, exc_info=error)
    return f"Something went wrong inside Lineal. Its log says more under the request id {request_id}."


def _errors(errors: list[GraphQLError]) -> bytes:
    return orjson.dumps({"errors": [error.formatted for error in errors]})


def _response(data: bytes, errors: list[GraphQLError], extensions: bytes) -> bytes:
    if not errors:
        return b'{"data":%b,%b}' % (data, extensions)
    told = orjson.dumps([error.formatted for error in errors])
    return b'{"errors":%b,"data":%b,%b}' % (told, data, extensions)
