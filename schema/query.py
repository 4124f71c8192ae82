import strawberry

from resolvers.reads.audit import INTEGRITY, LATEST_FIRST, STATUS
from resolvers.reads.bindings import FromQuery
from resolvers.reads.comparison import OF_MODEL, numbers_asked
from resolvers.reads.declarations import HEAVY
from resolvers.reads.lineage import NodeById, NodesById
from resolvers.reads.paging import BY_NAME, NEWEST_FIRST
from resolvers.rules import limits
from resolvers.rules.access import Need
from schema.audit import FILTER as AUDIT_FILTER
from schema.audit import AuditEvent, AuditIntegrity, AuditStatus
from schema.comparison import ONLY_CHANGED, VersionComparison
from schema.datasets import Dataset, DatasetVersion
from schema.deployments import FILTER as DEPLOYMENT_FILTER
from schema.deployments import Deployment
from schema.experiments import Experiment
from schema.facets import VersionConnection
from schema.fields import argument, bound, connection, embedded, events, one, search
from schema.keys import ApiKey
from schema.models import OF_NUMBER, Model
from schema.nodes import Connection, Node
from schema.principals import Principal, Viewer
from schema.projects import Project
from schema.scalars import SemVer
from schema.search import FILTER, ORDER_BY
from schema.transitions import TransitionRequest
from schema.versions import ModelVersion

ID = argument("id", strawberry.ID, "The object's ID.")
BY_ID = "{c}.id = {args[id]}"


@strawberry.type(description="Reads. Each operation runs as one statement in the database, regardless of its depth.")
class Query:
    node: Node | None = bound("The object with this ID. Null if there is none.", NodeById(), (ID,), needs=Need.ANYONE)
    nodes: list[Node | None] = bound(
        "The objects with these IDs, in the order of the IDs. Null for each ID that does not exist.",
        NodesById(),
        (argument("ids", list[strawberry.ID], "The objects' IDs, at most 100.", limits.Several(100)),),
        needs=Need.ANYONE,
    )
    project: Project | None = one("The project with this ID. Null if there is none.", BY_ID, ID, needs=Need.ANYONE)
    projects: Connection[Project] = connection(
        "All projects that the caller can see, by name.", "true", BY_NAME, needs=Need.ANYONE
    )
    model: Model | None = one("The model with this ID. Null if there is none.", BY_ID, ID, needs=Need.ANYONE)
    models: Connection[Model] = connection(
        "Models, by name, without archived ones.",
        "NOT {c}.archived AND ({args[projectId]}::text IS NULL OR {c}.project_id = {args[projectId]})"
        " AND ({args[query]}::text IS NULL OR strpos(lower({c}.name), lower({args[query]})) > 0"
        " OR strpos(lower({c}.id), lower({args[query]})) > 0)",
        BY_NAME,
        argument("projectId", strawberry.ID | None, "Only models of this project.", default=strawberry.UNSET),
        argument(
            "query",
            str | None,
            "Only models with this text in their name or ID. Not case-sensitive.",
            default=strawberry.UNSET,
        ),
        needs=Need.ANYONE,
    )
    version: ModelVersion | None = one(
        "The version of a model with this number. Null if there is none.",
        "{c}.model_id = {args[modelId]} AND {c}.number = {args[version]}::int[]",
        argument("modelId", strawberry.ID, "The model's ID."),
        OF_NUMBER,
        needs=Need.ANYONE,
    )
    search_versions: VersionConnection = search(
        "Versions of all projects that the caller can see, by default newest first.",
        "true",
        NEWEST_FIRST,
        FILTER,
        ORDER_BY,
        needs=Need.ANYONE,
    )
    experiment: Experiment | None = one(
        "The experiment with this ID. Null if there is none.", BY_ID, ID, needs=Need.ANYONE
    )
    dataset: Dataset | None = one("The data set with this ID. Null if there is none.", BY_ID, ID, needs=Need.ANYONE)
    dataset_version: DatasetVersion | None = one(
        "The data set version with this ID. Null if there is none.", BY_ID, ID, needs=Need.ANYONE
    )
    deployment: Deployment | None = one(
        "The deployment with this ID. Null if there is none.", BY_ID, ID, needs=Need.ANYONE
    )
    deployments: Connection[Deployment] = connection(
        "Deployments, newest first.",
        "({args[filter.projectId]}::text IS NULL OR {c}.project_id = {args[filter.projectId]})"
        " AND ({args[filter.modelId]}::text IS NULL OR {c}.model_id = {args[filter.modelId]})"
        " AND ({args[filter.environment]}::text IS NULL OR {c}.environment = {args[filter.environment]})"
        " AND ({args[filter.status]}::text[] IS NULL OR {c}.status = ANY ({args[filter.status]}::text[]))",
        NEWEST_FIRST,
        DEPLOYMENT_FILTER,
        needs=Need.ANYONE,
    )
    compare_versions: VersionComparison = bound(
        "A comparison of 2 to 10 versions of a model. The first version is the baseline, and differences are"
        " between it and the last version. NOT_FOUND if a version does not exist.",
        FromQuery(OF_MODEL, "compared", {"numbers": numbers_asked}),
        (
            argument("modelId", strawberry.ID, "The model's ID."),
            argument("versions", list[SemVer], "The versions' numbers, without duplicates."),
            ONLY_CHANGED,
        ),
        weight=HEAVY,
        needs=Need.ANYONE,
    )
    transition_request: TransitionRequest | None = one(
        "The transition request with this ID. Null if there is none.", BY_ID, ID, needs=Need.ANYONE
    )
    viewer: Viewer = embedded("The caller.", needs=Need.ANYONE)
    audit_events: Connection[AuditEvent] = events(
        "The audit log, latest event first. Events of principals and API keys are visible only to callers who"
        " administer the instance.",
        LATEST_FIRST,
        AUDIT_FILTER,
        needs=Need.ANYONE,
    )
    audit_integrity: AuditIntegrity | None = bound(
        "The result of verifying a chain of the audit log. Null if the caller cannot see the chain.",
        FromQuery(INTEGRITY, "integrity"),
        (argument("chain", str, "A model's ID (which includes its versions), a project's ID, or `registry`."),),
        weight=1_000,  # it computes all hashes of the chain
        needs=Need.ANYONE,
    )
    audit_status: AuditStatus | None = bound(
        "The state of the audit log's checkpoints. Null for callers who do not administer the instance.",
        FromQuery(STATUS, "status"),
        weight=20,  # it adds up the heads of all chains
        needs=Need.ANYONE,
    )
    api_keys: Connection[ApiKey] = connection(
        "The caller's API keys, or all keys for callers who administer the instance, newest first.",
        "true",
        NEWEST_FIRST,
        needs=Need.ANYONE,
    )
    principals: Connection[Principal] = connection(
        "The caller's principal, or all principals for callers who administer the instance, newest first.",
        "true",
        NEWEST_FIRST,
        needs=Need.ANYONE,
    )
