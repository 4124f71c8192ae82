"""The shared vocabulary as GraphQL enums."""

from schema.fields import describe_enum
from storage.vocabulary import (
    ApiKeyStatus,
    Bump,
    DatasetRole,
    DatasetVersionStatus,
    Decision,
    DeliveryStatus,
    DeploymentStatus,
    DeploymentStrategy,
    ExperimentStatus,
    LineageDirection,
    LineageEdgeKind,
    MetricVerdict,
    OrderDirection,
    PolicyChangeStatus,
    PolicyMode,
    PrincipalKind,
    ReviewedPart,
    Role,
    RollbackDeployments,
    Stage,
    TransitionRequestStatus,
    VersionOrderField,
)

__all__ = [
    "ApiKeyStatus",
    "Bump",
    "DatasetRole",
    "DatasetVersionStatus",
    "Decision",
    "DeliveryStatus",
    "DeploymentStatus",
    "DeploymentStrategy",
    "ExperimentStatus",
    "LineageDirection",
    "LineageEdgeKind",
    "MetricVerdict",
    "OrderDirection",
    "PolicyChangeStatus",
    "PolicyMode",
    "PrincipalKind",
    "ReviewedPart",
    "Role",
    "RollbackDeployments",
    "Stage",
    "TransitionRequestStatus",
    "VersionOrderField",
]

describe_enum(
    Stage,
    "The stage of a version. DEVELOPMENT can move to STAGING or ARCHIVED; STAGING to PRODUCTION,"
    " DEVELOPMENT or ARCHIVED; PRODUCTION to ARCHIVED; ARCHIVED to STAGING.",
    DEVELOPMENT="The version is registered but not yet a candidate for production.",
    STAGING="The version is a candidate for production and is being validated.",
    PRODUCTION="The version is approved for production. At most one version of a model can be in this stage.",
    ARCHIVED="The version is no longer in use. Its facts and history are kept.",
)
describe_enum(
    Bump,
    "The part of a version number MAJOR.MINOR.PATCH that is incremented.",
    MAJOR="Required for a different algorithm family, target or data set, a removed feature, or more than 20 %"
    " added features.",
    MINOR="Required for another version of the same data set, up to 20 % added features, or different"
    " hyper-parameters or artifact.",
    PATCH="Sufficient if no training fact changed.",
)
describe_enum(
    ExperimentStatus,
    "The status of an experiment.",
    RUNNING="The experiment has not ended.",
    COMPLETED="The experiment ended successfully.",
    FAILED="The experiment ended without the intended result. It is kept so that nobody has to repeat it.",
)
describe_enum(
    DatasetVersionStatus,
    "Whether a data set version is fit for use.",
    ACTIVE="The data is fit for use.",
    DEPRECATED="The data is going to be replaced. Use another version for new models.",
    INVALID="The data has errors.",
)
describe_enum(
    DatasetRole,
    "The role of a data set version in the making of a model version.",
    TRAINING="Data that the model was fitted on.",
    VALIDATION="Data that was used to choose between candidates.",
    TEST="Data that was used to evaluate the final model.",
)
describe_enum(
    LineageDirection,
    "The direction in which to follow lineage.",
    UPSTREAM="Toward what the object came from.",
    DOWNSTREAM="Toward what came from the object.",
    BOTH="Upstream and downstream.",
)
describe_enum(
    LineageEdgeKind,
    "The relation of an edge's `from` node to its `to` node.",
    DERIVED_FROM="Derived from it: a version from its parent, or a data set version from another.",
    PRODUCED_BY="Produced by that experiment.",
    TRAINED_ON="Trained on that data.",
    VALIDATED_ON="Validated on that data.",
    TESTED_ON="Tested on that data.",
    DEPLOYED_AS="Deployed from that version.",
)
describe_enum(
    DeploymentStrategy,
    "How a deployment takes over from the previous one.",
    DIRECT="Takes over all traffic at once.",
    CANARY="Takes over traffic in stages, according to its canary plan.",
    SHADOW="Receives a copy of the traffic. Its responses are not used, and it never takes over.",
    BLUE_GREEN="Stands ready without traffic until `advanceDeployment` switches all traffic over.",
)
describe_enum(
    DeliveryStatus,
    "The status of a webhook delivery.",
    PENDING="The event will be sent, or sent again, at `nextAt`.",
    DELIVERED="The receiver responded with 2xx.",
    FAILED="Delivery was abandoned after nine attempts, or because the receiver responded with 410 Gone.",
)
describe_enum(
    DeploymentStatus,
    "The status of a deployment.",
    IN_PROGRESS="The rollout is in progress.",
    PAUSED="The rollout is paused until `resumeDeployment`.",
    ACTIVE="The rollout is complete.",
    ROLLED_BACK="The deployment was rolled back. This is permanent.",
    RETIRED="The deployment was replaced or retired, and serves no traffic. It becomes active again if the"
    " deployment that replaced it is rolled back.",
)
describe_enum(
    OrderDirection,
    "A sort direction.",
    ASC="Lowest or oldest first.",
    DESC="Highest or newest first.",
)
describe_enum(
    VersionOrderField,
    "A sort key of versions.",
    CREATED_AT="The time of registration.",
    VERSION="The version number, compared numerically.",
    METRIC="The value of the metric in `metric`. Versions without it come last.",
    RELEVANCE="How well the version matches the filter's `query`. The default if there is a `query`.",
)
describe_enum(
    Role,
    "A role in a project. Each role includes the rights of the roles before it.",
    VIEWER="Can see everything in the project.",
    CONTRIBUTOR="Can register versions and data, edit tags and model cards, and request transitions.",
    REVIEWER="Can review transitions, if a person, and roll back production.",
    ADMIN="Can manage the policy, members, tag vocabulary and webhooks.",
)
describe_enum(
    PrincipalKind,
    "The kind of a principal.",
    USER="A person.",
    SERVICE="A program, such as a pipeline. Services cannot approve.",
)
describe_enum(
    PolicyMode,
    "How a rule of the policy is applied.",
    OFF="The rule is not checked.",
    WARN="Values that violate the rule are accepted with a warning.",
    ENFORCE="Values that violate the rule are refused.",
)
describe_enum(
    MetricVerdict,
    "How a metric of one version compares with that of another.",
    BETTER="The metric is better.",
    WORSE="The metric is worse.",
    EQUAL="The metric is the same.",
    NOT_COMPARABLE="The registry does not know whether a higher value is better.",
    MISSING="One of the versions does not have the metric.",
)
describe_enum(
    RollbackDeployments,
    "What happens to the deployments of a version that is rolled back from production.",
    RESTORE="What served before takes over, in the same transaction.",
    LEAVE="The deployments stay as they are.",
)
describe_enum(
    Decision, "A reviewer's decision.", APPROVE="The transition is approved.", REJECT="The transition is rejected."
)
describe_enum(
    TransitionRequestStatus,
    "The status of a transition request.",
    OPEN="The request is waiting for reviews.",
    APPLIED="The transition was made.",
    REJECTED="A reviewer rejected the request.",
    CANCELLED="The request was cancelled, or the version moved to another stage.",
    EXPIRED="The request expired before enough reviewers approved it.",
)
describe_enum(
    ApiKeyStatus,
    "The status of an API key.",
    VALID="The key can be used.",
    EXPIRED="The key has expired or was rotated.",
    REVOKED="The key was revoked.",
)
describe_enum(
    PolicyChangeStatus,
    "The status of a change that loosens a policy.",
    PENDING="The change is waiting for a confirmation or for its `effectiveAt`. The stricter value is still in force.",
    APPLIED="The change is in force.",
    REPLACED="The change was in force until a later change of the same field.",
    WITHDRAWN="The change never took effect. Its field was given another value first, or the person who requested"
    " it was no longer an ADMIN.",
)
describe_enum(
    ReviewedPart,
    "A part of what a review covers.",
    ARTIFACT="The location of the artifact, by when it was last moved.",
    CARD="The model card, by its revision.",
    DATA="The status of a data set version that the version used, and when the status was set.",
    DESCRIPTION="The version's description.",
    EXPERIMENT="The status, notes and training duration of the experiment that produced the version.",
    TAGS="The version's tags.",
)
