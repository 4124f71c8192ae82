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
from schema.transitions import TransitionRequest
from schema.versions import FILTER, ORDER_BY, ModelVersion

ID = argument("id", strawberry.ID, "Its id.")
BY_ID = "{c}.id = {args[id]}"


@strawberry.type(description="Reading. Each operation is one statement in the database, however deep it asks.")
class Query:
    node: Node | None = bound("Anything by its id, or null.", NodeById(), (ID,), needs=Need.ANYONE)
    nodes: list[Node | None] = bound(
        "Several things by their ids, in that order; null for each that there is not.",
        NodesById(),
        (argument("ids", list[strawberry.ID], "Their ids, at most 100.", limits.Several(100)),),
        needs=Need.ANYONE,
    )
    project: Project | None = one("A project by its id, or null.", BY_ID, ID, needs=Need.ANYONE)
    projects: Connection[Project] = connection("All projects by name.", "true", BY_NAME, needs=Need.ANYONE)
    model: Model | None = one("A model by its id, or null.", BY_ID, ID, needs=Need.ANYONE)
    models: Connection[Model] = connection(
        "Models by name.",
        "({args[projectId]}::text IS NULL OR {c}.project_id = {args[projectId]})"
        " AND ({args[query]}::text IS NULL OR strpos(lower({c}.name), lower({args[query]})) > 0"
        " OR strpos(lower({c}.id), lower({args[query]})) > 0)",
        BY_NAME,
        argument("projectId", strawberry.ID | None, "Only of this project.", default=strawberry.UNSET),
        argument("query", str | None, "Only those with this text in their name or id.", default=strawberry.UNSET),
        needs=Need.ANYONE,
    )
    version: ModelVersion | None = one(
        "A version by its model and number, or null.",
        "{c}.model_id = {args[modelId]} AND {c}.number = {args[version]}::int[]",
        argument("modelId", strawberry.ID, "The model's id."),
        OF_NUMBER,
        needs=Need.ANYONE,
    )
    search_versions: VersionConnection = search(
        "Versions across all projects, by default the newest first.",
        "true",
        NEWEST_FIRST,
        FILTER,
        ORDER_BY,
        needs=Need.ANYONE,
    )
    experiment: Experiment | None = one("An experiment by its id, or null.", BY_ID, ID, needs=Need.ANYONE)
    dataset: Dataset | None = one("A data set by its id, or null.", BY_ID, ID, needs=Need.ANYONE)
    dataset_version: DatasetVersion | None = one("A data set version by its id, or null.", BY_ID, ID, needs=Need.ANYONE)
    deployment: Deployment | None = one("A deployment by its id, or null.", BY_ID, ID, needs=Need.ANYONE)
    deployments: Connection[Deployment] = connection(
        "Deployments, the newest first.",
        "({args[filter.projectId]}::text IS NULL OR {c}.project_id = {args[filter.projectId]})"
        " AND ({args[filter.modelId]}::text IS NULL OR {c}.model_id = {args[filter.modelId]})"
        " AND ({args[filter.environment]}::text IS NULL OR {c}.environment = {args[filter.environment]})"
        " AND ({args[filter.status]}::text[] IS NULL OR {c}.status = ANY ({args[filter.status]}::text[]))",
        NEWEST_FIRST,
        DEPLOYMENT_FILTER,
        needs=Need.ANYONE,
    )
    compare_versions: VersionComparison = bound(
        "Two to ten versions of a model side by side; the first is the baseline, and differences are the last one's"
        " against it. NOT_FOUND where there is no such version.",
        FromQuery(OF_MODEL, "compared", {"numbers": numbers_asked}),
        (
            argument("modelId", strawberry.ID, "The model's id."),
            argument("versions", list[SemVer], "Their numbers, each once."),
            ONLY_CHANGED,
        ),
        weight=HEAVY,
        needs=Need.ANYONE,
    )
    transition_request: TransitionRequest | None = one("A request by its id, or null.", BY_ID, ID, needs=Need.ANYONE)
    viewer: Viewer = embedded("Who asks.", needs=Need.ANYONE)
    audit_events: Connection[AuditEvent] = events(
        "What was done, the latest first; of principals and keys only for who administers the instance.",
        LATEST_FIRST,
        AUDIT_FILTER,
        needs=Need.ANYONE,
    )
    audit_integrity: AuditIntegrity | None = bound(
        "Whether anything in a chain of the audit log was altered; null where the caller sees no such chain.",
        FromQuery(INTEGRITY, "integrity"),
        (argument("chain", str, "A model's id, with all its versions, a project's id, or `registry`."),),
        weight=1_000,  # it computes all hashes of the chain
        needs=Need.ANYONE,
    )
    audit_status: AuditStatus | None = bound(
        "Whether checkpoints of the audit log are being written. Null for callers who do not administer the instance.",
        FromQuery(STATUS, "status"),
        weight=20,  # it adds up the heads of all chains
        needs=Need.ANYONE,
    )
    api_keys: Connection[ApiKey] = connection(
        "The caller's keys, or all for who administers the instance, the newest first.",
        "true",
        NEWEST_FIRST,
        needs=Need.ANYONE,
    )
    principals: Connection[Principal] = connection(
        "The caller itself, or all principals for who administers the instance, the newest first.",
        "true",
        NEWEST_FIRST,
        needs=Need.ANYONE,
    )
