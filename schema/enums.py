"""The shared vocabulary as GraphQL enums."""

from schema.fields import words
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
    OrderDirection,
    PolicyChangeStatus,
    PolicyMode,
    PrincipalKind,
    ReviewedPart,
    Role,
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
    "OrderDirection",
    "PolicyChangeStatus",
    "PolicyMode",
    "PrincipalKind",
    "ReviewedPart",
    "Role",
    "Stage",
    "TransitionRequestStatus",
    "VersionOrderField",
]

words(
    Stage,
    "Where a version is in its life. DEVELOPMENT goes to STAGING or ARCHIVED; STAGING to PRODUCTION, DEVELOPMENT or"
    " ARCHIVED; PRODUCTION to ARCHIVED; ARCHIVED back to STAGING.",
    DEVELOPMENT="Registered and measured, not yet evaluated for production.",
    STAGING="Chosen as a candidate for production and being validated.",
    PRODUCTION="Serving predictions. At most one version of a model is.",
    ARCHIVED="No longer serving; kept with all its facts.",
)
words(
    Bump,
    "The part of a version number that is raised.",
    MAJOR="X.0.0: another algorithm family, target or data set, a removed feature, or more than 20 % added features.",
    MINOR="1.X.0: another version of the same data set, fewer added features, other hyper-parameters or artifact.",
    PATCH="1.0.X: no training fact changed.",
)
words(
    ExperimentStatus,
    "How far an experiment has come.",
    RUNNING="Not finished.",
    COMPLETED="Finished as intended.",
    FAILED="Finished without the result hoped for; kept, so that nobody has to repeat it.",
)
words(
    DatasetVersionStatus,
    "Whether a data set version may be relied on.",
    ACTIVE="In order.",
    DEPRECATED="To be replaced; its source goes away.",
    INVALID="Found to hold errors.",
)
words(
    DatasetRole,
    "What a version used a data set version for.",
    TRAINING="Fitting the model.",
    VALIDATION="Choosing between candidates.",
    TEST="Measuring the final model.",
)
words(
    LineageDirection,
    "Which way lineage is followed.",
    UPSTREAM="What this came from.",
    DOWNSTREAM="What came from this.",
    BOTH="Both ways from here.",
)
words(
    LineageEdgeKind,
    "How the thing an edge comes from relates to the thing it goes to.",
    DERIVED_FROM="Made from it: a version from its parent, a data set version from another.",
    PRODUCED_BY="Registered as a result of that experiment.",
    TRAINED_ON="Fitted on that data.",
    VALIDATED_ON="Chosen by that data.",
    TESTED_ON="Measured on that data.",
    DEPLOYED_AS="Deployed from that version.",
)
words(
    DeploymentStrategy,
    "How a deployment takes over from the one before.",
    DIRECT="All traffic at once.",
    CANARY="Stage by stage, as its plan says.",
    SHADOW="Never: it gets a copy of the traffic, and its answers are not used.",
    BLUE_GREEN="It stands ready without traffic, and `advanceDeployment` switches all of it over.",
)
words(
    DeliveryStatus,
    "What became of an event that is to be sent to a webhook.",
    PENDING="It is sent, perhaps again, at `nextAt`.",
    DELIVERED="It was answered with 2xx.",
    FAILED="It was given up: after nine attempts, or because the receiver is gone (410).",
)
words(
    DeploymentStatus,
    "How far a deployment has come.",
    IN_PROGRESS="It is being rolled out.",
    PAUSED="Its rollout waits for somebody to resume it.",
    ACTIVE="It serves all that it is meant to serve.",
    ROLLED_BACK="It has gone back; for ever.",
    RETIRED="It serves no more: replaced, or taken away. The rollback of what replaced it brings it back.",
)
words(
    OrderDirection,
    "Which way a list is ordered.",
    ASC="Lowest or oldest first.",
    DESC="Highest or newest first.",
)
words(
    VersionOrderField,
    "What versions can be ordered by.",
    CREATED_AT="When they were registered.",
    VERSION="Their numbers, part by part as numbers.",
    METRIC="The metric that `metric` names; versions without it come last.",
    RELEVANCE="How well the filter's `query` matches; the usual order where there is one.",
)
words(
    Role,
    "What somebody may do in a project. Each role may what those before it may.",
    VIEWER="Sees everything of the project.",
    CONTRIBUTOR="Registers versions and data, writes tags and cards, asks for transitions.",
    REVIEWER="Reviews transitions, where a person, and brings back a former production version.",
    ADMIN="Sets the policy, the members and the tags.",
)
words(
    PrincipalKind,
    "What asks.",
    USER="A person.",
    SERVICE="A program, such as a pipeline; it cannot approve.",
)
words(
    PolicyMode,
    "What becomes of what a rule does not like.",
    OFF="Nobody looks.",
    WARN="It is taken, and the answer warns.",
    ENFORCE="It is refused.",
)
words(Decision, "What a reviewer decided.", APPROVE="The step may be made.", REJECT="The step may not be made.")
words(
    TransitionRequestStatus,
    "What became of a request.",
    OPEN="It waits for reviews.",
    APPLIED="The step was made.",
    REJECTED="A reviewer rejected it.",
    CANCELLED="It was taken back, or the version went another way.",
    EXPIRED="Its time was over before enough reviewers approved.",
)
words(
    ApiKeyStatus,
    "Whether a key works.",
    VALID="It works.",
    EXPIRED="Its time is over, or it was replaced.",
    REVOKED="It was revoked.",
)
words(
    PolicyChangeStatus,
    "The state of a change that loosens a policy.",
    PENDING="Waits for a confirmation or for its time. The policy is still the stricter one.",
    APPLIED="In force.",
    REPLACED="Was in force until a later change of the same field.",
    WITHDRAWN="Never took effect: the field was given another value first, or its requester was no longer an ADMIN.",
)
words(
    ReviewedPart,
    "A part of what a review shows.",
    CARD="The model card, by its revision.",
    DATA="The status of a data set version that the version used, and when it was set.",
    DESCRIPTION="The version's description.",
    EXPERIMENT="The status, notes and training duration of the experiment that produced the version.",
    TAGS="The version's tags.",
)
