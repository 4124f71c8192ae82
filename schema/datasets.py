from datetime import datetime
from typing import ClassVar

import strawberry

from resolvers.reads.declarations import HEAVY
from resolvers.reads.paging import NEWEST_FIRST
from resolvers.rules import limits
from resolvers.rules.access import Need
from schema import enums, links
from schema.facets import VersionConnection
from schema.fields import TEXT, column, connection, expression, given, many, one, optional
from schema.impact import Impact, impact_of_data
from schema.lineage import LineageGraph, lineage_graph, lineage_picture
from schema.nodes import Connection, Node
from schema.scalars import BigInt
from storage.datasets import Dataset as DatasetRow
from storage.datasets import DatasetVersion as DatasetVersionRow


@strawberry.type(description="A body of data that models learn from, through all its versions.")
class Dataset(Node):
    table: ClassVar = DatasetRow
    prefix: ClassVar = "ds"
    needs: ClassVar = Need.VIEWER

    name: str = column("What people call it. Unique in its project.")
    project: links.Project = one("The project that it belongs to.", "{c}.id = {t}.project_id")
    description: str | None = column("What it holds and where it comes from.", weight=TEXT)
    created_at: datetime = column("When it was made known to the registry.")
    versions: Connection[links.DatasetVersion] = connection(
        "Its versions, the newest first.", "{c}.dataset_id = {t}.id", NEWEST_FIRST
    )


@strawberry.type(description="A data set as it was at one time. Its facts never change.")
class DatasetVersion(Node):
    table: ClassVar = DatasetVersionRow
    prefix: ClassVar = "dsv"
    needs: ClassVar = Need.VIEWER

    dataset: Dataset = one("The data set that this is a version of.", "{c}.id = {t}.dataset_id")
    name: str = expression(
        "The data set's name and this version's label.",
        "(SELECT d.name || ' ' || {t}.label FROM datasets d WHERE d.id = {t}.dataset_id)",
    )
    label: str = column("What tells it from the other versions, such as a quarter. Unique in its data set.")
    row_count: BigInt | None = column("How many rows it has.")
    uri: str | None = expression(f"Where it is kept. {limits.CREDENTIALS_CUT}", "shown_uri({t}.uri)")
    digest: str | None = column("A digest of its contents, such as `sha256:...`.")
    features: list[str] = column("The names of its columns that models may use.", weight=HEAVY)
    created_at: datetime = column("When it was made known to the registry.")
    status: enums.DatasetVersionStatus = column("Whether it may be relied on.")
    status_reason: str | None = column("Why it has this status; null while it is ACTIVE.", weight=TEXT)
    parents: list[links.DatasetVersion] = many(
        "The data set versions that it was derived from.",
        "{c}.id IN (SELECT p.parent_id FROM dataset_parents p WHERE p.dataset_version_id = {t}.id)",
        "{c}.created_at, {c}.id",
    )
    trained: VersionConnection = connection(
        "The model versions trained on it, the newest first.",
        "{c}.id IN (SELECT u.version_id FROM dataset_uses u"
        " WHERE u.dataset_version_id = {t}.id AND u.role = 'TRAINING')",
        NEWEST_FIRST,
    )
    impact: Impact = impact_of_data()
    lineage: LineageGraph = lineage_graph()
    lineage_url: str = lineage_picture()


@strawberry.input(description="A data set to make known.")
class CreateDatasetInput:
    id: strawberry.ID | None = optional("Its id. Generated if omitted.", limits.NewId("ds"))
    project_id: strawberry.ID = given("The project that it belongs to.", limits.Id("proj"))
    name: str = given("What people call it. Unique in its project.", limits.NAME)
    description: str | None = optional("What it holds and where it comes from.", limits.NOTES)


@strawberry.type(description="What `createDataset` made.")
class CreateDatasetPayload:
    dataset: Dataset = one("The new data set.", "{c}.id = {payload[dataset_id]}")


@strawberry.input(description="A version of a data set to make known.")
class CreateDatasetVersionInput:
    id: strawberry.ID | None = optional("Its id. Generated if omitted.", limits.NewId("dsv"))
    dataset_id: strawberry.ID = given("The data set that this is a version of.", limits.Id("ds"))
    label: str = given("What tells it from the other versions. Unique in its data set.", limits.NAME)
    row_count: BigInt | None = optional("How many rows it has.", limits.Whole())
    uri: str | None = optional("Where it is kept.", limits.URI)
    digest: str | None = optional("A digest of its contents, such as `sha256:...`.", limits.DIGEST)
    features: list[str] | None = optional("The names of its columns that models may use.", limits.FEATURES)
    parent_ids: list[strawberry.ID] | None = optional(
        "The data set versions, of the same project, that it was derived from.", limits.ListOf(limits.Id("dsv"), 100)
    )


@strawberry.type(description="What `createDatasetVersion` made.")
class CreateDatasetVersionPayload:
    dataset_version: DatasetVersion = one("The new data set version.", "{c}.id = {payload[dataset_version_id]}")


@strawberry.input(description="Whether a data set version may be relied on.")
class SetDatasetVersionStatusInput:
    dataset_version_id: strawberry.ID = given("The data set version.", limits.Id("dsv"))
    status: enums.DatasetVersionStatus = given("Whether it may be relied on.")
    reason: str = given("Why; kept in the history, and with the status unless that is ACTIVE.", limits.NOTES)


@strawberry.type(description="What `setDatasetVersionStatus` changed.")
class SetDatasetVersionStatusPayload:
    dataset_version: DatasetVersion = one("The data set version.", "{c}.id = {payload[dataset_version_id]}")
    impact: Impact = impact_of_data("{payload[dataset_version_id]}")
