"""The same questions answered by Strawberry as teams use it: its own view, resolvers, a DataLoader for each link."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from enum import Enum
from typing import Any, NewType

import strawberry
from starlette.applications import Starlette
from starlette.routing import Route
from strawberry.asgi import GraphQL
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig
from strawberry.types import Info as GraphQLInfo
from strawberry.types.scalar import scalar

from benchmarks.loaders import BY_NUMBER, OF_MODEL, Loaders, Row, search
from benchmarks.pool import open_pool

Info = GraphQLInfo[Loaders, None]
SemVer = NewType("SemVer", str)


@strawberry.enum
class Stage(Enum):
    DEVELOPMENT = "DEVELOPMENT"
    STAGING = "STAGING"
    PRODUCTION = "PRODUCTION"
    ARCHIVED = "ARCHIVED"


@strawberry.type
class Metric:
    name: str
    value: float


@strawberry.type
class Experiment:
    id: strawberry.ID
    name: str
    algorithm: str | None
    status: str


@strawberry.type
class Dataset:
    name: str


@strawberry.type
class DatasetVersion:
    id: strawberry.ID
    label: str
    row_count: int | None
    dataset_id: strawberry.Private[str]

    @strawberry.field
    async def dataset(self, info: Info) -> Dataset:
        row = await info.context.datasets.load(self.dataset_id)
        return Dataset(name=row["name"])


@strawberry.type
class ModelVersion:
    id: strawberry.ID
    version: SemVer
    stage: Stage
    description: str | None
    target: str | None
    created_at: datetime
    created_by: str
    row: strawberry.Private[Row]

    @strawberry.field
    def parameters(self) -> JSON:
        return json.loads(self.row["parameters"])  # type: ignore[no-any-return]

    @strawberry.field
    async def model(self, info: Info) -> "Model":
        return to_model(await info.context.models.load(self.row["model_id"]))

    @strawberry.field
    async def metrics(self, info: Info) -> list[Metric]:
        return [Metric(name=row["name"], value=row["value"]) for row in await info.context.metrics.load(self.id)]

    @strawberry.field
    async def tags(self, info: Info) -> list[str]:
        return [row["tag"] for row in await info.context.tags.load(self.id)]

    @strawberry.field
    async def experiment(self, info: Info) -> Experiment | None:
        if self.row["experiment_id"] is None:
            return None
        return Experiment(**await info.context.experiments.load(self.row["experiment_id"]))

    @strawberry.field
    async def dataset_version(self, info: Info) -> DatasetVersion | None:
        if self.row["dataset_version_id"] is None:
            return None
        return DatasetVersion(**await info.context.dataset_versions.load(self.row["dataset_version_id"]))

    @strawberry.field
    async def parent(self, info: Info) -> "ModelVersion | None":
        if self.row["parent_id"] is None:
            return None
        return to_version(await info.context.versions.load(self.row["parent_id"]))

    @strawberry.field
    async def version_chain(self, info: Info) -> list["ModelVersion"]:
        chain = [self]
        while (parent_id := chain[-1].row["parent_id"]) is not None and len(chain) < 100:
            chain.append(to_version(await info.context.versions.load(parent_id)))
        return chain


def to_version(row: Row) -> ModelVersion:
    return ModelVersion(
        id=row["id"],
        version=SemVer(".".join(map(str, row["number"]))),
        stage=Stage(row["stage"]),
        description=row["description"],
        target=row["target"],
        created_at=row["created_at"],
        created_by=row["created_by"],
        row=row,
    )


@strawberry.type
class PageInfo:
    has_next_page: bool
    end_cursor: str | None


@strawberry.type
class ModelVersionConnection:
    nodes: list[ModelVersion]
    page_info: PageInfo


def to_connection(rows: list[Row], first: int) -> ModelVersionConnection:
    page = rows[:first]
    end = (
        base64.b64encode(json.dumps([str(page[-1]["created_at"]), page[-1]["id"]]).encode()).decode() if page else None
    )
    return ModelVersionConnection(
        nodes=[to_version(row) for row in page], page_info=PageInfo(has_next_page=len(rows) > first, end_cursor=end)
    )


@strawberry.type
class Model:
    id: strawberry.ID
    name: str

    @strawberry.field
    async def versions(self, info: Info, first: int = 20) -> ModelVersionConnection:
        return to_connection(await info.context.pool.fetch(OF_MODEL, self.id, first + 1), first)


def to_model(row: Row) -> Model:
    return Model(id=row["id"], name=row["name"])


@strawberry.input
class MetricCondition:
    name: str
    min: float


@strawberry.input
class VersionFilter:
    stage: list[Stage]
    tags: list[str]
    metrics: list[MetricCondition]
    created_after: datetime


@strawberry.type
class Query:
    @strawberry.field
    async def model(self, info: Info, id: strawberry.ID) -> Model | None:
        row = await info.context.models.load(id)
        return to_model(row) if row else None

    @strawberry.field
    async def version(self, info: Info, model_id: strawberry.ID, version: SemVer) -> ModelVersion | None:
        number = [int(part) for part in version.split(".")]
        row = await info.context.pool.fetchrow(BY_NUMBER, model_id, number)
        return to_version(row) if row else None

    @strawberry.field
    async def search_versions(self, info: Info, filter: VersionFilter, first: int = 20) -> ModelVersionConnection:
        return to_connection(await search(info.context.pool, filter, first), first)


schema = strawberry.Schema(
    query=Query,
    extensions=[lambda: ParserCache(maxsize=100), lambda: ValidationCache(maxsize=100)],
    config=StrawberryConfig(scalar_map={SemVer: scalar(name="SemVer")}),
)


class View(GraphQL[Loaders, None]):
    async def get_context(self, request: Any, response: Any) -> Loaders:
        return Loaders(request.app.state.pool)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    app.state.pool = await open_pool()
    yield
    await app.state.pool.close()


app = Starlette(routes=[Route("/graphql", View(schema))], lifespan=lifespan)
