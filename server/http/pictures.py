"""Lineages and the courses of metrics as SVG, drawn from the API's response to the caller."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from resolvers.reads.lineage import DEFAULT_DEPTH, MAX_DEPTH
from resolvers.reads.plans import aside
from resolvers.renderings import lineage_picture, metric_picture
from resolvers.rules.cleaning import quoted
from server.http import operations
from server.http.endpoint import JSON, HTTPRefusal, busy, defect
from server.http.operations import Answer, Operations
from storage.vocabulary import LineageDirection

HEADERS = {
    # The picture shows the current state, and only what this caller may see.
    "cache-control": "private, no-cache",
    # Opened directly, it is a page of this host: it must not run or load anything.
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    "x-content-type-options": "nosniff",
}
LINEAGE = """
query Lineage($id: ID!, $direction: LineageDirection!, $depth: Int!) {
  node(id: $id) { ... on %s { lineage(direction: $direction, depth: $depth) {
    truncated
    edges { from to kind }
    nodes {
      ... on ModelVersion { id model { name } version stage }
      ... on Experiment { id name outcome: status }
      ... on DatasetVersion { id name quality: status }
      ... on Deployment { id name progress: status }
    }
  } } }
}
"""
# One document for each type: selections on other types would cost points too.
LINEAGE_OF = {prefix: LINEAGE % of for prefix, of in lineage_picture.TYPES.items()}
COURSE = f"""
query Course($id: ID!, $metric: String!) {{
  model(id: $id) {{
    name
    versions(
      filter: {{metrics: [{{name: $metric}}]}}, orderBy: {{by: VERSION, direction: DESC}},
      first: {metric_picture.MOST_DRAWN}
    ) {{ totalCount nodes {{ version stage metric(name: $metric) }} }}
  }}
}}
"""
ID = re.compile(r"[a-z]{1,10}_[A-Za-z0-9._-]{1,100}", re.ASCII)


@dataclass(frozen=True)
class Pictures:
    """Queries the API as its caller and draws the response in a thread, without blocking other requests."""

    operations: Operations
    timeout: float

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/lineage/{id}.svg", self.lineage, methods=["GET"]),
            Route("/models/{id}/metrics/{name:path}.svg", self.course, methods=["GET"]),
        ]

    async def lineage(self, request: Request) -> Response:
        id_, asked = request.path_params["id"], request.query_params
        nothing = absent("model version, experiment or data set version", id_)
        query = LINEAGE_OF.get(id_.partition("_")[0])
        if query is None or not ID.fullmatch(id_):
            raise nothing
        direction, depth = direction_of(asked), depth_of(asked)
        variables = {"id": id_, "direction": direction, "depth": depth}
        return await self._drawn(
            request, query, variables, nothing, lambda node: lineage_picture.draw(node["lineage"], direction)
        )

    async def course(self, request: Request) -> Response:
        id_, metric = request.path_params["id"], request.path_params["name"]
        nothing = absent("model", id_)
        if not ID.fullmatch(id_):
            raise nothing
        variables = {"id": id_, "metric": metric}
        return await self._drawn(request, COURSE, variables, nothing, lambda model: metric_picture.draw(model, metric))

    async def _drawn(
        self,
        request: Request,
        query: str,
        variables: Mapping[str, Any],
        nothing: HTTPRefusal,
        draw: Callable[[Mapping[str, Any]], str],
    ) -> Response:
        caller = request.state.caller
        try:
            async with asyncio.timeout(self.timeout):
                asked = operations.Request(query, None, variables)
                answer = await self.operations.answer(asked, caller, may_write=False)
                if answer.status != 200:
                    return _refusal(answer)
                (row,) = orjson.loads(answer.body)["data"].values()
                if row is None:
                    raise nothing
                picture = await aside(draw, row)
        except TimeoutError:
            raise busy(f"The picture took longer than {self.timeout:g} seconds and was cancelled.", 5) from None
        except HTTPRefusal:
            raise
        except Exception as error:  # noqa: BLE001 - operations mask their own; this is for the drawing
            raise defect(error, caller.request_id) from None
        return Response(picture, headers=HEADERS, media_type="image/svg+xml")


def absent(noun: str, id_: str) -> HTTPRefusal:
    return HTTPRefusal(404, f"There is no {noun} {id_[:120]}.", "NOT_FOUND", field="id", id=id_[:120])


def direction_of(asked: QueryParams) -> LineageDirection:
    value = asked.get("direction", LineageDirection.BOTH)
    if value not in LineageDirection.__members__:
        sentence = f"direction is {quoted(value)}; it must be UPSTREAM, DOWNSTREAM or BOTH."
        raise HTTPRefusal(400, sentence, field="direction")
    return LineageDirection(value)


def depth_of(asked: QueryParams) -> int:
    value = asked.get("depth", str(DEFAULT_DEPTH))
    if not re.fullmatch("[0-9]{1,3}", value) or not 1 <= int(value) <= MAX_DEPTH:
        sentence = f"depth is {quoted(value)}; it must be a whole number between 1 and {MAX_DEPTH}."
        raise HTTPRefusal(400, sentence, field="depth")
    return int(value)


def _refusal(answer: Answer) -> Response:
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    if answer.retry_after:
        headers["retry-after"] = str(answer.retry_after)
    return Response(answer.body, answer.status, headers, JSON)
