"""Runs one request, from its document to its response."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from graphql import GraphQLError
from graphql.execution.values import VariableValues

from resolvers.callers import Caller
from resolvers.errors import AnswerTooLarge, RateLimited, Refusal, Unavailable
from resolvers.idempotency import Repeatable
from resolvers.mutations import Reading, run_mutation
from resolvers.reads.compilation import Selected
from resolvers.reads.plans import Plan, aside
from resolvers.refusals import driver_errors_as_refusals
from resolvers.rules import exact_json
from resolvers.settings import MutationSettings
from server.http.admission import Admission
from server.http.documents import Documents, Prepared, RequestError, allowed, coded
from server.http.introspection import DEPOSIT, POINTS_PER_FIELD, Kept, introspect
from server.http.query_limits import MAX_CHARACTERS, check_variables
from server.http.rates import Bill, Buckets
from storage.engine import Database
from storage.idempotency import AnswerKey

log = structlog.get_logger("lineal")


@dataclass(frozen=True)
class Request:
    query: str
    operation_name: str | None
    variables: Mapping[str, Any]
    # The Idempotency-Key, and the digest of the body.
    repeat: tuple[str, bytes] | None = None
    # The size of the body in bytes.
    size: int = 0


@dataclass(frozen=True)
class Answer:
    """The response as bytes and the matching HTTP status.

    `lenient` marks responses that clients of the older application/json expect with 200: the document cannot be run.
    """

    body: bytes
    status: int = 200
    lenient: bool = False
    retry_after: int | None = None


# Documents up to the first length are parsed on the event loop, in less than a millisecond. Documents above the second
# length cost a point for each character, once for parsing and once for each plan. Refused ones cost more.
SHORT, FREE = 60, 300
POINTS_REFUSED = 1_000
# The part of a body that costs nothing, which most requests do not exceed.
FREE_BYTES, BYTES_PER_POINT = 20_000, 500
# The part of a statement's time that its cost covers. Further seconds cost points.
FREE_SECONDS, POINTS_PER_SECOND = 0.1, 100_000

OUT_OF_TIME = "The mutation's other fields used up its time limit. Send fewer fields at once."
AS_A_STREAM = "A subscription returns a stream. Send it with Accept: text/event-stream."


class Operations:
    def __init__(
        self,
        documents: Documents,
        database: Database,
        buckets: Buckets,
        admission: Admission,
        settings: MutationSettings | None = None,
    ):
        self.settings = settings or MutationSettings()
        self.documents, self.database, self.buckets, self.admission = documents, database, buckets, admission
        self._introspected = Kept()

    async def answer(self, request: Request, caller: Caller, *, may_write: bool = True) -> Answer:
        """The response to a request. Raises WriteOverGet if it is a mutation and `may_write` is false."""
        try:
            bill = Bill(self.buckets, caller.actor)
            if request.size > FREE_BYTES:
                bill.take(request.size // BYTES_PER_POINT)
            kept = None if request.variables else self._introspected.find(request.query, request.operation_name)
            if kept is not None:
                bill.take(1)
                return Answer(b'{"data":%b,%b}' % (kept, bill.extensions()))
            prepared = await self.prepare(request, bill)
            if prepared.writes and not may_write:
                raise WriteOverGet
            if prepared.subscribes:
                raise RequestError([GraphQLError(AS_A_STREAM, extensions={"code": "BAD_USER_INPUT"})])
            asked = Asked(prepared, self.variables(prepared, request.variables), caller, request, bill)
            return await (self._write(asked) if prepared.writes else self._read(asked))
        except WriteOverGet:
            raise
        except Exception as error:  # noqa: BLE001 - the one place where defects are masked
            return refused_answer(error, caller)

    async def prepare(self, request: Request, bill: Bill) -> Prepared:
        """The operation that a request names. Parsing a document that is not cached costs points by its length."""
        text, name = request.query, request.operation_name
        known = self.documents.known(text, name)
        if known is None:
            # Refunded unless the document is refused.
            self.buckets.take(bill.who, POINTS_REFUSED)
            if SHORT < len(text) <= MAX_CHARACTERS:
                bill.take(len(text) if len(text) > FREE else 0)
                async with self.admission.compute(bill.who):
                    known = await aside(self.documents.read, text, name)
            else:
                known = self.documents.read(text, name)
            self.documents.learn(text, name, known)
            if isinstance(known, Prepared):
                self.buckets.give_back(bill.who, POINTS_REFUSED)
        return allowed(known)

    def variables(self, prepared: Prepared, raw: Mapping[str, Any]) -> VariableValues:
        check_variables(raw)
        values = prepared.operation.variables.read(raw)
        if isinstance(values, list):
            raise RequestError([coded(error, "BAD_USER_INPUT") for error in values])
        return values

    async def _plan(self, asked: "Asked") -> Plan:
        """The plan of a query. Compiling one costs points by the length of its document, like parsing it."""
        operation, text = asked.prepared.operation, asked.request.query
        plan = operation.known_plan(asked.variables, asked.caller)
        if plan is None:
            if len(text) > FREE:
                asked.bill.take(len(text))
                async with self.admission.compute(asked.who):
                    plan = await aside(operation.compile_query, asked.variables, asked.caller)
            else:
                plan = operation.compile_query(asked.variables, asked.caller)
            operation.learn(plan, asked.variables, asked.caller)
        return plan

    async def _read(self, asked: "Asked") -> Answer:
        plan = await self._plan(asked)
        asked.bill.take(max(1, plan.cost))
        answer = await (self._with_introspection(asked, plan) if plan.introspected else self._answered(asked, plan))
        return Answer(b'{"data":%b,%b}' % (answer, asked.bill.extensions()))

    async def _answered(self, asked: "Asked", plan: Plan) -> bytes:
        """The finished response of the database, read in the caller's turn. Long statements are charged to the
        caller."""
        try:
            async with self.admission.read(asked.who, plan.cost) as seconds:
                began = time.monotonic()
                arguments = plan.arguments(asked.variables, asked.caller)
                with driver_errors_as_refusals():
                    row = await self.database.fetchval(plan.statement, *arguments, within=seconds)
                # Only the statement: a caller is not charged for waiting for a thread that others use.
                self._charge_time(asked.who, time.monotonic() - began)
                return await plan.finish(row, self.admission.compute(asked.who))
        except AnswerTooLarge as large:
            raise asked.too_large(large) from None

    def _charge_time(self, who: str, seconds: float) -> None:
        """Charge the time of a statement that its cost does not cover."""
        if seconds > FREE_SECONDS:
            self.buckets.spend(who, int((seconds - FREE_SECONDS) * POINTS_PER_SECOND))

    async def _with_introspection(self, asked: "Asked", plan: Plan) -> bytes:
        """Run introspection fields with graphql-core, and the others as one statement."""
        if not (plan.answers or asked.request.variables):
            return await self._introspection_alone(asked, plan)
        data = orjson.loads(await self._introspection(asked, plan))
        if plan.answers:
            data |= exact_json.loads(await self._answered(asked, plan))
        return exact_json.dumps({key: data[key] for key in plan.keys})

    async def _introspection_alone(self, asked: "Asked", plan: Plan) -> bytes:
        text, name = asked.request.query, asked.request.operation_name
        async with self.admission.compute(asked.who):
            answer = await aside(self._introspected.recall, text)
        if answer is None:
            answer = await self._introspection(asked, plan)
            await aside(self._introspected.keep_usual, text, answer)
        self._introspected.keep(text, name, answer)
        return answer

    async def _introspection(self, asked: "Asked", plan: Plan) -> bytes:
        """The result of the introspection fields. Their cost is not known in advance."""
        async with self.admission.compute(asked.who):
            self.buckets.take(asked.who, DEPOSIT)
            result, taken = await aside(
                introspect, self.documents.schema, asked.prepared, plan.introspected, asked.variables
            )
            self.buckets.give_back(asked.who, DEPOSIT)
            asked.bill.spend(taken * POINTS_PER_FIELD)
            if result.errors:
                raise RequestError([coded(error, "BAD_USER_INPUT") for error in result.errors])
            return await aside(orjson.dumps, result.data)

    async def _write(self, asked: "Asked") -> Answer:
        """Run the root fields one after another, each in its own transaction. A refused field becomes null with an
        error."""
        operation, repeat = asked.prepared.operation, asked.request.repeat
        asked.bill.take(max(1, operation.check(asked.variables)))
        extensions = asked.bill.extensions()
        answers, errors = [], []
        away, retry_after, kept = False, None, False
        ends = time.monotonic() + self.admission.seconds
        for place, field in enumerate(operation.compilation(asked.variables).root()):
            if field.name == "__typename":
                answers.append(b'"%b":"Mutation"' % field.key.encode())
                continue
            repeatable = repeat and Repeatable(AnswerKey(_scope(asked.caller), repeat[0], place), repeat[1], extensions)
            try:
                answers.append((await self._write_one(asked, field, repeatable, ends)).strip()[1:-1])
                if repeatable and not kept:
                    extensions = repeatable.extensions
                kept = True
            except Exception as error:  # noqa: BLE001 - one refused field must not take the others with it
                answers.append(b'"%b":null' % field.key.encode())
                errors.append(_at(field, error, asked.caller))
                away = away or isinstance(error, Unavailable)
                retry_after = getattr(error, "retry_after", None) or retry_after
        if away and not kept:
            return Answer(_errors(errors), status=503, retry_after=retry_after)
        return Answer(_response(b"{%b}" % b",".join(answers), errors, extensions), retry_after=retry_after)

    async def _write_one(self, asked: "Asked", field: Selected, repeatable: Repeatable | None, ends: float) -> bytes:
        """Run one root field. All root fields share the time limit of one mutation."""
        if (seconds := ends - time.monotonic()) <= 0:
            raise Unavailable(OUT_OF_TIME)
        operation, text = asked.prepared.operation, asked.request.query
        if len(text) > FREE and not operation.knows_payload(asked.variables, asked.caller, field.key):
            self.buckets.take(asked.who, len(text))
        try:
            async with self.admission.write(asked.who, operation.check(asked.variables), seconds) as left:
                reading = Reading(left, self.admission.compute(asked.who))
                answer = await run_mutation(
                    self.database, operation, field, asked.variables, asked.caller, repeatable, reading, self.settings
                )
        except AnswerTooLarge as large:
            raise asked.too_large(large) from None
        self._charge_time(asked.who, reading.seconds)
        return answer


@dataclass(frozen=True)
class Asked:
    """One request in progress: its operation with its values, its caller, and its cost."""

    prepared: Prepared
    variables: VariableValues
    caller: Caller
    request: Request
    bill: Bill

    @property
    def who(self) -> str:
        return self.caller.actor

    def too_large(self, large: AnswerTooLarge) -> AnswerTooLarge:
        """The refusal of a response that is too large, with its most expensive field."""
        costliest = self.prepared.costliest(self.variables)
        return AnswerTooLarge(large.most_bytes, costliest.advice, costliest=costliest._asdict())


def refused_answer(error: Exception, caller: Caller) -> Answer:
    """The response to an operation that fails as a whole. Defects are logged and masked."""
    if isinstance(error, RequestError):
        return Answer(_errors(error.errors), status=400, lenient=_is_lenient(error))
    if isinstance(error, Refusal):
        retry_after = getattr(error, "retry_after", None)
        return Answer(_errors([_refusal(error)]), status=_status(error), retry_after=retry_after)
    if isinstance(error, GraphQLError):
        # An argument that is invalid only because of its variable's value, such as null despite a default.
        return Answer(_errors([coded(error, "BAD_USER_INPUT")]), status=400, lenient=True)
    return Answer(_errors([_masked(error, caller)]), status=500)


def _scope(caller: Caller) -> str:
    """The scope of an idempotency key: the principal, or its keys that are bound to one project."""
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
    shown = _graphql_error(error, caller)
    return GraphQLError(shown.message, nodes, path=[field.key], extensions=shown.extensions)


def _graphql_error(error: Exception, caller: Caller) -> GraphQLError:
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
    """Log a defect. Returns the sentence for its caller."""
    log.error("internal error", request_id=request_id, exc_info=error)
    return f"An internal error occurred. The log of the server describes it under the request id {request_id}."


def _errors(errors: list[GraphQLError]) -> bytes:
    return orjson.dumps({"errors": [error.formatted for error in errors]})


def _response(data: bytes, errors: list[GraphQLError], extensions: bytes) -> bytes:
    if not errors:
        return b'{"data":%b,%b}' % (data, extensions)
    shown = orjson.dumps([error.formatted for error in errors])
    return b'{"errors":%b,"data":%b,%b}' % (shown, data, extensions)
