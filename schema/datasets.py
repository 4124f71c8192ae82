from datetime import datetime
from typing import ClassVar

import strawberry

from resolvers.reads.declarations import HEAVY
from resolvers.reads.paging import NEWEST_FIRST
from resolvers.rules import limits
from resolvers.rules.access import Need
from schema import enums, links
from schema.facets import VersionConnection
from schema.fields import TEXT, column, connection, expression, many, one, optional, required
from schema.impact import Impact, impact_of_data
from schema.lineage import LineageGraph, lineage_graph, lineage_picture
from schema.nodes import Connection, Node
from schema.scalars import BigInt
from storage.datasets import Dataset as DatasetRow
from storage.datasets import DatasetVersion as DatasetVersionRow


@strawberry.type(description="A data set, as a series of versions.")
class Dataset(Node):
    table: ClassVar = DatasetRow
    prefix: ClassVar = "ds"
    needs: ClassVar = Need.VIEWER

    name: str = column("The data set's name. Unique in its project.")
    project: links.Project = one("The project that the data set belongs to.", "{c}.id = {t}.project_id")
    description: str | None = column("What the data set contains and where it comes from.", weight=TEXT)
    created_at: datetime = column("When the data set was registered.")
    versions: Connection[links.DatasetVersion] = connection(
        "The data set's versions, newest first.", "{c}.dataset_id = {t}.id", NEWEST_FIRST
    )


@strawberry.type(description="A snapshot of a data set. Its facts are immutable; only its status can change.")
class DatasetVersion(Node):
    table: ClassVar = DatasetVersionRow
    prefix: ClassVar = "dsv"
    needs: ClassVar = Need.VIEWER

    dataset: Dataset = one("The data set that this is a version of.", "{c}.id = {t}.dataset_id")
    name: str = expression(
        "The data set's name followed by this version's label.",
        "(SELECT d.name || ' ' || {t}.label FROM datasets d WHERE d.id = {t}.dataset_id)",
    )
    label: str = column("The label of the version, such as a quarter. Unique in its data set.")
    row_count: BigInt | None = column("The number of rows. Null if it was not given.")
    uri: str | None = expression(f"The location of the data. {limits.CREDENTIALS_CUT}", "shown_uri({t}.uri)")
    digest: str | None = column("A digest of the contents, such as `sha256:...`.")
    features: list[str] = column("The names of the columns that models can use.", weight=HEAVY)
    created_at: datetime = column("When the data set version was registered.")
    status: enums.DatasetVersionStatus = column("Whether the data is fit for use.")
    status_reason: str | None = column("The reason for the status. Null while the status is ACTIVE.", weight=TEXT)
    parents: list[links.DatasetVersion] = many(
        "The data set versions that this one was derived from.",
        "{c}.id IN (SELECT p.parent_id FROM dataset_parents p WHERE p.dataset_version_id = {t}.id)",
        "{c}.created_at, {c}.id",
    )
    trained: VersionConnection = connection(
        "The model versions that were trained on this data, newest first.",
        "{c}.id IN (SELECT u.version_id FROM dataset_uses u"
        " WHERE u.dataset_version_id = {t}.id AND u.role = 'TRAINING')",
        NEWEST_FIRST,
    )
    impact: Impact = impact_of_data()
    lineage: LineageGraph = lineage_graph()
    lineage_url: str = lineage_picture()


@strawberry.input(description="A data set to register.")
class CreateDatasetInput:
    id: strawberry.ID | None = optional("The data set's ID. Generated if omitted.", limits.NewId("ds"))
    project_id: strawberry.ID = required("The ID of the project that the data set belongs to.", limits.Id("proj"))
    name: str = required("The data set's name. Unique in its project.", limits.NAME)
    description: str | None = optional("What the data set contains and where it comes from.", limits.NOTES)


@strawberry.type(description="The result of `createDataset`.")
class CreateDatasetPayload:
    dataset: Dataset = one("The new data set.", "{c}.id = {payload[dataset_id]}")


@strawberry.input(description="Corrections of a data set. Fields that are omitted stay unchanged.")
class UpdateDatasetInput:
    dataset_id: strawberry.ID = required("The data set's ID.", limits.Id("ds"))
    name: str | None = optional("The new name. Unique in the data set's project.", limits.NAME)
    description: str | None = optional("What the data set contains and where it comes from.", limits.NEW_NOTES)


@strawberry.type(description="The result of `updateDataset`.")
class UpdateDatasetPayload:
    dataset: Dataset = one("The updated data set.", "{c}.id = {payload[dataset_id]}")


@strawberry.input(description="A data set version to register.")
class CreateDatasetVersionInput:
    id: strawberry.ID | None = optional("The data set version's ID. Generated if omitted.", limits.NewId("dsv"))
    dataset_id: strawberry.ID = required("The ID of the data set that this is a version of.", limits.Id("ds"))
    label: str = required("The label of the version, such as a quarter. Unique in its data set.", limits.NAME)
    row_count: BigInt | None = optional("The number of rows.", limits.Whole())
    uri: str | None = optional("The location of the data.", limits.URI)
    digest: str | None = optional("A digest of the contents, such as `sha256:...`.", limits.DIGEST)
    features: list[str] | None = optional("The names of the columns that models can use.", limits.FEATURES)
    parent_ids: list[strawberry.ID] | None = optional(
        "The IDs of the data set versions of the same project that this one was derived from.",
        limits.ListOf(limits.Id("dsv"), 100),
    )


@strawberry.type(description="The result of `createDatasetVersion`.")
class CreateDatasetVersionPayload:
    dataset_version: DatasetVersion = one("The new data set version.", "{c}.id = {payload[dataset_version_id]}")


@strawberry.input(description="A new status for a data set version.")
class SetDatasetVersionStatusInput:
    dataset_version_id: strawberry.ID = required("The data set version's ID.", limits.Id("dsv"))
    status: enums.DatasetVersionStatus = required("The new status.")
    reason: str = required(
        "The reason for the change. Kept in the history, and as `statusReason` unless the new status is ACTIVE.",
        limits.NOTES,
    )


@strawberry.type(description="The result of `setDatasetVersionStatus`.")
class SetDatasetVersionStatusPayload:
    dataset_version: DatasetVersion = one(
        "The data set version with its new status.", "{c}.id = {payload[dataset_version_id]}"
    )
    impact: Impact = impact_of_data("{payload[dataset_version_id]}")
