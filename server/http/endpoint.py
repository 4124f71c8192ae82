"""GraphQL over HTTP (graphql.github.io/graphql-over-http): requests, media types and responses."""

import asyncio
import hashlib
import re
import types
from collections.abc import Awaitable, Coroutine, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import orjson
from starlette.types import Message, Receive, Scope, Send

from resolvers.callers import Caller
from resolvers.errors import RateLimited, Refusal, Unavailable
from resolvers.rules import exact_json
from server.http.admission import Admission
from server.http.deadlines import Deadlines
from server.http.operations import Answer, Operations, Request, WriteOverGet, report

JSON = "application/json"
GRAPHQL = "application/graphql-response+json"
# The most parts of a JSON body: parsing more takes long, whatever they are. Operations accept 50,000 values.
MOST_JSON_PARTS = 120_000
T = TypeVar("T")
# Accept headers that need no parsing.
USUAL = {b"": JSON, b"*/*": JSON, JSON.encode(): JSON, GRAPHQL.encode(): GRAPHQL}
# The most parts of a header that lists several, and the longest name in a request.
MOST_PARTS, LONGEST_NAME = 50, 1_000
Headers = Iterable[tuple[bytes, bytes]]
CLOSE = [(b"connection", b"close")]
# A larger response is sent in pieces, so that its request keeps its place until the client has read nearly all of it.
PIECE_BYTES = 131_072


class HTTPRefusal(Exception):
    """The whole response to a request that is refused at the level of HTTP, outside GraphQL."""

    def __init__(
        self, status: int, sentence: str, code: str = "BAD_USER_INPUT", headers: Headers = (), **facts: str | int
    ):
        super().__init__(sentence)
        self.status, self.headers, self.extensions = status, tuple(headers), {"code": code, **facts}

    def body(self) -> bytes:
        return orjson.dumps({"errors": [{"message": str(self), "extensions": self.extensions}]})


def busy(sentence: str, seconds: int) -> HTTPRefusal:
    return HTTPRefusal(503, sentence, "UNAVAILABLE", [(b"retry-after", b"%d" % seconds)], retryAfter=seconds)


STATUSES: Mapping[type[Refusal], int] = {RateLimited: 429, Unavailable: 503}


def http_refusal(refusal: Refusal) -> HTTPRefusal:
    """A refusal as the response to a whole request."""
    facts = {name: value for name, value in refusal.extensions.items() if name != "code"}
    headers = [(b"retry-after", b"%d" % facts["retryAfter"])] if "retryAfter" in facts else ()
    return HTTPRefusal(STATUSES.get(type(refusal), 400), str(refusal), refusal.code, headers, **facts)


def defect(error: Exception, request_id: str) -> HTTPRefusal:
    return HTTPRefusal(500, report(error, request_id), "INTERNAL", requestId=request_id)


@dataclass(frozen=True)
class GraphQLEndpoint:
    """POST with a JSON body, or GET with a query string for queries."""

    operations: Operations
    admission: Admission
    deadlines: Deadlines
    max_body: int
    body_timeout: float

    @property
    def timeout(self) -> float:
        return self.deadlines.seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Caller = scope["state"]["caller"]
        media = JSON
        try:
            media = answer_in(scope["state"]["headers"].get(b"accept", b""))
            request = await self.request(scope, receive)
            # Reading the body may have taken long, so the caller's rights are checked now.
            caller = await scope["state"]["standing"].require()
            # Only now: a request whose body is still arriving is not in progress.
            self.admission.requests.take(caller.actor)
            try:
                answer = await self._answer(request, caller, scope["method"])
                status = 200 if answer.lenient and media == JSON else answer.status
                more = [(b"retry-after", b"%d" % answer.retry_after)] if answer.retry_after else ()
                await respond(send, status, answer.body, media, more)
            finally:
                self.admission.requests.leave(caller.actor)
        except HTTPRefusal as refusal:
            await send_refusal(send, refusal, media)
        except (RateLimited, Unavailable) as full:
            await send_refusal(send, http_refusal(full), media)

    async def _answer(self, request: Request, caller: Caller, method: str) -> Answer:
        try:
            answer = self.operations.answer(request, caller, may_write=method == "POST")
            return await self.deadlines.within(answer)
        except WriteOverGet:
            raise HTTPRefusal(405, "A mutation must be sent with POST.", headers=[(b"allow", b"POST")]) from None
        except TimeoutError:
            sentence = f"The request took longer than {self.timeout:g} seconds and was cancelled."
            raise busy(
                f"{sentence} If it was a mutation, check whether it was applied before you try again.", 5
            ) from None
        except HTTPRefusal:
            raise
        except Exception as error:  # noqa: BLE001 - operations mask their own; this is for what is around them
            raise defect(error, caller.request_id) from None

    async def request(self, scope: Scope, receive: Receive) -> Request:
        if scope["method"] == "POST":
            headers: Mapping[bytes, bytes] = scope["state"]["headers"]
            body = await self._body(headers, receive, scope["state"]["caller"].actor)
            key = headers.get(b"idempotency-key")
            return posted(headers.get(b"content-type", b""), body, None if key is None else repeat_of(key, body))
        if scope["method"] == "GET":
            return queried(scope["query_string"])
        raise HTTPRefusal(
            405, "Send GraphQL requests with POST, or queries with GET.", headers=[(b"allow", b"GET, POST")]
        )

    async def _body(self, headers: Mapping[bytes, bytes], receive: Receive, who: str) -> bytes:
        announced = headers.get(b"content-length", b"0")
        self._check_size(int(announced[:18]) if announced.isdigit() else 0)
        first = self._piece(receive)
        try:
            # Most bodies have arrived already, and need no timer and no place among the incoming ones.
            awaited = first.send(None)
        except StopIteration as done:
            piece, more = done.value
            if not more:
                whole: bytes = piece
                return whole
            with self.admission.bodies.place(who):
                return await self._rest(receive, piece)
        rest = resumed(first, awaited)
        try:
            with self.admission.bodies.place(who):
                return await self._rest(receive, b"", rest)
        finally:
            first.close()

    async def _rest(self, receive: Receive, piece: bytes, coming: Awaitable[tuple[bytes, bool]] | None = None) -> bytes:
        """All pieces of a body, whose first piece has arrived or is arriving."""
        loop = asyncio.get_running_loop()
        whole, more = loop.time() + self.timeout, True
        try:
            async with asyncio.timeout(min(self.timeout, self.body_timeout)) as patience:
                if coming:
                    piece, more = await coming
                body = bytearray(piece)  # not a list of pieces: each could be a single byte
                while more:
                    patience.reschedule(min(whole, loop.time() + self.body_timeout))
                    piece, more = await self._piece(receive)
                    body += piece
                    self._check_size(len(body))
                return bytes(body)
        except TimeoutError:
            if loop.time() >= whole:
                raise busy(f"The body did not arrive within {self.timeout:g} seconds.", 5) from None
            sentence = f"The body paused for more than {self.body_timeout:g} seconds; send it without pauses."
            raise HTTPRefusal(408, sentence, headers=CLOSE) from None

    async def _piece(self, receive: Receive) -> tuple[bytes, bool]:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HTTPRefusal(400, "The body is incomplete.")
        piece: bytes = message.get("body", b"")
        self._check_size(len(piece))
        return piece, message.get("more_body", False)

    def _check_size(self, size: int) -> None:
        if size > self.max_body:
            raise HTTPRefusal(413, f"The body is larger than {self.max_body} bytes. Send less at once.", headers=CLOSE)


@types.coroutine
def resumed(coroutine: Coroutine[Any, Any, T], awaited: Any) -> Generator[Any, Any, T]:
    """The rest of a coroutine that was started by hand and awaits something."""
    while True:
        try:
            try:
                sent = yield awaited
            except BaseException as error:  # noqa: BLE001 - such as a cancellation: it is the coroutine's to handle
                awaited = coroutine.throw(error)
            else:
                awaited = coroutine.send(sent)
        except StopIteration as done:
            result: T = done.value
            return result


def repeat_of(key: bytes, body: bytes) -> tuple[str, bytes]:
    """An Idempotency-Key and the digest of the body that it belongs to."""
    if not re.fullmatch(rb"[!-~]{1,255}", key):
        raise HTTPRefusal(400, "Idempotency-Key must be 1 to 255 visible ASCII characters, such as a UUID.")
    return key.decode(), hashlib.sha256(body).digest()


async def send_refusal(send: Send, refusal: HTTPRefusal, media: str = JSON) -> None:
    await respond(send, refusal.status, refusal.body(), media, refusal.headers)


async def respond(send: Send, status: int, body: bytes, media: str, more: Headers = ()) -> None:
    headers = [
        (b"content-type", f"{media}; charset=utf-8".encode()),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_in_pieces(send: Send, message: Message) -> None:
    body = message["body"]
    *starts, last = range(0, len(body), PIECE_BYTES)
    for start in starts:
        await send({**message, "body": body[start : start + PIECE_BYTES], "more_body": True})
    await send({**message, "body": body[last:]})


def answer_in(accept: bytes) -> str:
    """The media type of the response: the one of ours that the Accept header prefers, application/json by default."""
    if accept in USUAL:
        return USUAL[accept]
    best, best_weight = None, 0.0
    for part in accept.decode("latin-1").split(",", MOST_PARTS)[:MOST_PARTS]:
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = _weight(parameters)
        offered = {"*/*": JSON, "application/*": JSON}.get(media, media)
        if offered in (JSON, GRAPHQL) and weight > best_weight and _is_utf8(parameters):
            best, best_weight = offered, weight
    if best is None:
        raise HTTPRefusal(406, f"Lineal responds with {GRAPHQL} or {JSON}. List one of them in Accept.")
    return best


def _weight(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


def _is_utf8(parameters: Iterable[str]) -> bool:
    charsets = [p.partition("=")[2].strip('"') for p in parameters if p.startswith("charset=")]
    return all(charset in ("utf-8", "utf8") for charset in charsets)


def _is_json(content_type: bytes) -> bool:
    pieces = content_type.decode("latin-1").split(";", MOST_PARTS)[:MOST_PARTS]
    media, *parameters = (piece.strip().lower() for piece in pieces)
    return media == JSON and _is_utf8(parameters)


def posted(content_type: bytes, body: bytes, repeat: tuple[str, bytes] | None = None) -> Request:
    if content_type != b"application/json" and not _is_json(content_type):
        raise HTTPRefusal(415, f"The body must be {JSON} in UTF-8. Declare that in Content-Type.")
    parts = body.count(b",") + body.count(b"[") + body.count(b"{")
    if parts > MOST_JSON_PARTS:
        raise HTTPRefusal(
            413, f"The body has {parts} commas and brackets; the limit is {MOST_JSON_PARTS}. Split the request."
        )
    try:
        sent = exact_json.loads(body)
    except ValueError as error:
        raise HTTPRefusal(400, f"The body is not JSON: {error}.") from None
    if not isinstance(sent, dict):
        raise HTTPRefusal(400, 'The body must be an object such as {"query": "..."}; batches are not supported.')
    return requested(sent, repeat, len(body))


def queried(query_string: bytes) -> Request:
    sent: dict[str, Any] = dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))
    for name in ("variables", "extensions"):
        if sent.get(name):
            try:
                sent[name] = exact_json.loads(sent[name])
            except ValueError:
                raise HTTPRefusal(400, f"{name} must be a JSON object.") from None
        else:
            sent.pop(name, None)
    return requested(sent)


def requested(sent: Mapping[str, Any], repeat: tuple[str, bytes] | None = None, size: int = 0) -> Request:
    query, name, variables = sent.get("query"), sent.get("operationName"), sent.get("variables")
    if not isinstance(query, str) or not query:
        raise HTTPRefusal(400, "query is missing; it must be the text of a GraphQL document.")
    if not (name is None or isinstance(name, str)):
        raise HTTPRefusal(400, "operationName must be a string.")
    if name and len(name) > LONGEST_NAME:
        raise HTTPRefusal(400, f"operationName has {len(name)} characters; at most {LONGEST_NAME} are allowed.")
    if not (variables is None or isinstance(variables, dict)):
        raise HTTPRefusal(400, "variables must be a JSON object.")
    if not isinstance(sent.get("extensions", {}), dict | None):
        raise HTTPRefusal(400, "extensions must be a JSON object.")
    return Request(query, name or None, variables or {}, repeat, size)
