"""One request from its document to its answer."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from graphql import GraphQLError
from graphql.execution.values import VariableValues

from resolvers.errors import AnswerTooLarge, RateLimited, Refusal, Unavailable
from resolvers.idempotency import Repeatable
from resolvers.mutations import run_mutation
from resolvers.reads.compilation import Selected
from resolvers.reads.plans import Plan, aside, is_introspection
from resolvers.refusals import refused
from resolvers.transaction import Caller
from server.admission import Admission
from server.documents import Documents, Prepared, RequestError, allowed, coded
from server.introspection import DEPOSIT, POINTS_PER_FIELD, Kept, introspect
from server.limits import MAX_CHARACTERS, check_variables
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


# Documents up to this length are read, and their plans made, on the event loop: that takes about a millisecond. Longer
# ones cost a point for each character, once to read and once for each plan.
SHORT = 300
# Answering may take so long for its cost alone; each second beyond costs points.
FREE_SECONDS, POINTS_PER_SECOND = 0.1, 100_000

AS_A_STREAM = "A subscription is answered as a stream; send it with Accept: text/event-stream."


class Operations:
    def __init__(self, documents: Documents, database: Database, buckets: Buckets, admission: Admission):
        self.documents, self.database, self.buckets, self.admission = documents, database, buckets, admission
        self._introspected = Kept()

    async def answer(self, request: Request, caller: Caller, *, may_write: bool = True) -> Answer:
        """Answer a request; WriteOverGet where it would write and may not."""
        try:
            if (kept := self._introspected.find(request.query)) is not None:
                return Answer(b'{"data":%b,%b}' % (kept, self.charge(caller, 1)))
            prepared = await self.prepare(request, caller)
            if prepared.writes and not may_write:
                raise WriteOverGet
            if prepared.subscribes:
                raise RequestError([GraphQLError(AS_A_STREAM, extensions={"code": "BAD_USER_INPUT"})])
            variables = self.variables(prepared, request.variables)
            if prepared.writes:
                return await self._write(prepared, variables, caller, request)
            return await self._read(prepared, variables, caller, request)
        except WriteOverGet:
            raise
        except Exception as error:  # noqa: BLE001 - the one place where defects are masked
            return refused_answer(error, caller)

    async def prepare(self, request: Request, caller: Caller) -> Prepared:
        """The operation that a request means. Reading a document that is not known costs by its length."""
        text, name = request.query, request.operation_name
        known = self.documents.known(text, name)
        if known is None:
            if SHORT < len(text) <= MAX_CHARACTERS:
                self.buckets.take(caller.actor, len(text))
                async with self.admission.compute(caller.actor):
                    known = await aside(self.documents.read, text, name)
            else:
                known = self.documents.read(text, name)
            self.documents.learn(text, name, known)
        return allowed(known)

    async def read_plan(self, prepared: Prepared, variables: VariableValues, caller: Caller, text: str) -> Plan:
        """The plan of a query. Compiling one costs by the length of its document, as reading it does."""
        operation = prepared.operation
        plan = operation.known_plan(variables, caller)
        if plan is None:
            if len(text) > SHORT:
                self.buckets.take(caller.actor, len(text))
                async with self.admission.compute(caller.actor):
                    plan = await aside(operation.compile_query, variables, caller)
            else:
                plan = operation.compile_query(variables, caller)
            operation.learn(plan, variables, caller)
        return plan

    def variables(self, prepared: Prepared, raw: Mapping[str, Any]) -> VariableValues:
        check_variables(raw)
        found = prepared.operation.variables.read(raw)
        if isinstance(found, list):
            raise RequestError([coded(error, "BAD_USER_INPUT") for error in found])
        return found

    def charge(self, caller: Caller, points: int) -> bytes:
        """Take an operation's cost from its caller's bucket; what the answer says of it."""
        cost = max(1, points)
        self.buckets.take(caller.actor, cost)
        return self._told(caller, cost)

    def _told(self, caller: Caller, cost: int) -> bytes:
        return b'"extensions":{"cost":{"requested":%d,"left":%d}}' % (cost, self.buckets.left(caller.actor))

    async def _read(self, prepared: Prepared, variables: VariableValues, caller: Caller, request: Request) -> Answer:
        plan = await self.read_plan(prepared, variables, caller, request.query)
        extensions = self.charge(caller, plan.cost)
        if plan.introspects:
            return await self._read_with_introspection(prepared, variables, caller, request, plan)
        return Answer(b'{"data":%b,%b}' % (await self._asked(prepared, plan, variables, caller), extensions))

    async def _asked(self, prepared: Prepared, plan: Plan, variables: VariableValues, caller: Caller) -> bytes:
        """What the database answers, finished; in the caller's turn, and at its cost if that takes long."""
        who = caller.actor
        try:
            async with self.admission.read(who, plan.cost) as seconds:
                began = time.monotonic()
                arguments = plan.arguments(variables, caller)
                with refused():
                    row = await self.database.fetchval(plan.statement, *arguments, within=seconds)
                answer = await plan.finish(row)
                self._charge_time(who, time.monotonic() - began)
                return answer
        except AnswerTooLarge as large:
            costliest = prepared.costliest(variables)
            raise AnswerTooLarge(large.most_bytes, costliest.advice, costliest=costliest._asdict()) from None

    def _charge_time(self, who: str, seconds: float) -> None:
        """The time of an answer beyond what its cost stands for."""
        if seconds > FREE_SECONDS:
            self.buckets.spend(who, int((seconds - FREE_SECONDS) * POINTS_PER_SECOND))

    async def _read_with_introspection(
        self, prepared: Prepared, variables: VariableValues, caller: Caller, request: Request, plan: Plan
    ) -> Answer:
        """The schema's own fields through graphql-core, the others still as one statement."""
        fields = prepared.operation.compilation(variables).root()
        if plan.answers or request.variables:
            introspected, cost = await self._introspect(prepared, fields, variables, caller)
            data = orjson.loads(introspected)
            if plan.answers:
                data |= orjson.loads(await self._asked(prepared, plan, variables, caller))
            answer = orjson.dumps({field.key: data[field.key] for field in fields})
        else:
            answer, cost = await self._introspect_alone(prepared, fields, variables, caller, request.query)
        return Answer(b'{"data":%b,%b}' % (answer, self._told(caller, max(1, plan.cost) + cost)))

    async def _introspect_alone(
        self, prepared: Prepared, fields: list[Selected], variables: VariableValues, caller: Caller, text: str
    ) -> tuple[bytes, int]:
        answer, cost = await aside(self._introspected.recall, text), 0
        if answer is None:
            answer, cost = await self._introspect(prepared, fields, variables, caller)
            await aside(self._introspected.keep_usual, text, answer)
        self._introspected.keep(text, answer)
        return answer, cost

    async def _introspect(
        self, prepared: Prepared, fields: list[Selected], variables: VariableValues, caller: Caller
    ) -> tuple[bytes, int]:
        """What the schema's own fields answer, and what that cost; nobody knows how much it is beforehand."""
        asked = [field for field in fields if is_introspection(field)]
        async with self.admission.compute(caller.actor):
            self.buckets.take(caller.actor, DEPOSIT)
            result, taken = await aside(introspect, self.documents.schema, prepared, asked, variables)
            self.buckets.give_back(caller.actor, DEPOSIT)
            cost = taken * POINTS_PER_FIELD
            self.buckets.spend(caller.actor, cost)
            if result.errors:
                raise RequestError([coded(error, "BAD_USER_INPUT") for error in result.errors])
            return await aside(orjson.dumps, result.data), cost

    async def _write(self, prepared: Prepared, variables: VariableValues, caller: Caller, request: Request) -> Answer:
        """The root fields one after another, each its own transaction; a refused one answers null and an error."""
        repeat = request.repeat
        extensions = self.charge(caller, prepared.operation.check(variables))
        answers, errors = [], []
        away, retry_after, kept = False, None, False
        for place, field in enumerate(prepared.operation.compilation(variables).root()):
            if field.name == "__typename":
                answers.append(b'"%b":"Mutation"' % field.key.encode())
                continue
            repeatable = repeat and Repeatable(_scope(caller), repeat[0], place, repeat[1], extensions)
            try:
                async with self.admission.write(caller.actor) as seconds:
                    database = self.database
                    operation = prepared.operation
                    answer = await run_mutation(database, operation, field, variables, caller, repeatable, seconds)
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
