"""Who may do and see what: one table. What is not in it is refused, and a test finds what is missing.

A role is held in a project, and each role may what those before it may. For reads the need says which rows there are:
a row of a project for its members, a row of a principal for that principal. Who administers the instance sees all rows
and acts as ADMIN in every project, but reviews only where a member.
"""

from enum import StrEnum

from storage.vocabulary import Role


class Need(StrEnum):
    """`ANYONE` with a valid key; a role, or a higher one, in the project; `OWNER` of the thing; `INSTANCE`: who
    administers the instance, as may do all that owners may."""

    OPEN = "OPEN"
    ANYONE = "ANYONE"
    VIEWER = "VIEWER"
    CONTRIBUTOR = "CONTRIBUTOR"
    REVIEWER = "REVIEWER"
    ADMIN = "ADMIN"
    OWNER = "OWNER"
    INSTANCE = "INSTANCE"

    @property
    def role(self) -> Role | None:
        return Role(self.value) if self.value in Role.__members__ else None


# Routes beside the API; `OPEN` ones answer without a key.
ROUTES = {
    "/": Need.OPEN,
    "/favicon.ico": Need.OPEN,
    "/graphiql/{version}/{path:path}": Need.OPEN,
    "/graphql": Need.ANYONE,
    "/healthz": Need.OPEN,
    "/lineage/{id}.svg": Need.ANYONE,
    "/models/{id}/metrics/{name:path}.svg": Need.ANYONE,
    "/readyz": Need.OPEN,
    "/routes/{environment}": Need.ANYONE,
}

MUTATIONS = {
    "addTags": Need.CONTRIBUTOR,
    "advanceDeployment": Need.CONTRIBUTOR,
    "applyRetention": Need.ADMIN,
    "cancelTransition": Need.CONTRIBUTOR,
    "completeExperiment": Need.CONTRIBUTOR,
    "confirmPolicyChange": Need.REVIEWER,
    "createApiKey": Need.INSTANCE,
    "createDeployment": Need.CONTRIBUTOR,
    "createDataset": Need.CONTRIBUTOR,
    "createDatasetVersion": Need.CONTRIBUTOR,
    "createExperiment": Need.CONTRIBUTOR,
    "createModel": Need.CONTRIBUTOR,
    "createProject": Need.INSTANCE,
    "createVersion": Need.CONTRIBUTOR,
    "createWebhook": Need.ADMIN,
    "defineTag": Need.ADMIN,
    "pauseDeployment": Need.CONTRIBUTOR,
    "removeMember": Need.ADMIN,
    "removeTags": Need.CONTRIBUTOR,
    "replayDeliveries": Need.ADMIN,
    "replayDelivery": Need.ADMIN,
    "reportDeploymentHealth": Need.CONTRIBUTOR,
    "requestTransition": Need.CONTRIBUTOR,
    "resumeDeployment": Need.CONTRIBUTOR,
    "retireDeployment": Need.CONTRIBUTOR,
    "reviewTransition": Need.REVIEWER,
    "revokeApiKey": Need.OWNER,
    "rollbackDeployment": Need.CONTRIBUTOR,
    "rollbackProduction": Need.REVIEWER,
    "rotateApiKey": Need.OWNER,
    "rotateWebhookSecret": Need.ADMIN,
    "setAdministrator": Need.INSTANCE,
    "setDatasetVersionStatus": Need.CONTRIBUTOR,
    "setMember": Need.ADMIN,
    "transitionStage": Need.CONTRIBUTOR,
    "updateModelCard": Need.CONTRIBUTOR,
    "updateProjectPolicy": Need.ADMIN,
    "updateVersion": Need.CONTRIBUTOR,
    "updateWebhook": Need.ADMIN,
}

# The fields of each type. What leads to rows is narrowed to the rows that the caller may see.
READS: dict[str, dict[Need, str]] = {
    "Query": {
        Need.ANYONE: "apiKeys auditEvents auditIntegrity auditStatus compareVersions dataset datasetVersion deployment"
        " deployments experiment model models node nodes principals project projects searchVersions transitionRequest"
        " version viewer"
    },
    "Subscription": {Need.ANYONE: "auditEvents deployment"},
    "Viewer": {Need.ANYONE: "administers email kind mayAttest memberships principal"},
    "Membership": {Need.VIEWER: "project role"},
    "Principal": {Need.OWNER: "administers createdAt createdBy email id kind memberships"},
    "ApiKey": {
        Need.OWNER: "createdAt createdBy expiresAt id lastUsedAt mayAttest name principal project revokedAt status"
    },
    "Project": {
        Need.VIEWER: "createdAt datasets description experiments id members models name policy tagVocabulary"
        " transitionRequests webhooks"
    },
    "ProjectPolicy": {
        Need.VIEWER: "allowRequesterApproval allowSelfApproval approvalValidDays blockInvalidData loosenedAlone"
        " looseningHours maxRegression minMetrics pendingChanges requireCompleteCard requiredApprovals retentionDays"
        " semver tags"
    },
    "PolicyChange": {
        Need.VIEWER: "alone confirmedBy effectiveAt field from id project requestedAt requestedBy status to"
    },
    "MetricThreshold": {Need.VIEWER: "max min name"},
    "Member": {Need.VIEWER: "createdAt createdBy email kind role"},
    "TagDefinition": {Need.VIEWER: "aliases deprecated description name"},
    "TransitionRequest": {
        Need.VIEWER: "approvals at expiresAt id notes requestedBy requiredApprovals status targetStage version"
    },
    "Approval": {
        Need.VIEWER: "alone at attestedBy changedSince decision id invalidReason meaning notes request reviewer"
        " targetStage valid"
    },
    "ReviewedChange": {Need.VIEWER: "after before subject what"},
    "Model": {
        Need.VIEWER: "createdAt description id latestVersion metricUrl name productionAt productionVersion project"
        " serving version versions"
    },
    "ModelVersion": {
        Need.VIEWER: "allowedTransitions approvals artifact change children compareTo createdAt createdBy"
        " datasetVersion datasets deployments description experiment features id impact lineage lineageUrl metric"
        " metrics model modelCard parameters parent promotion reviewDigest stage stageHistory tags target"
        " transitionRequests version versionChain"
    },
    "Metric": {Need.VIEWER: "higherIsBetter name value"},
    "Artifact": {Need.VIEWER: "digest format sizeBytes uri"},
    "DatasetUse": {Need.VIEWER: "datasetVersion role"},
    "VersionComparison": {
        Need.VIEWER: "commonAncestor datasets featureDiff markdown metricDiffs parameterDiffs reasons requiredBump"
        " segmentDiffs tagDiff versions"
    },
    "MetricDiff": {Need.VIEWER: "delta higherIsBetter improved name relativeDelta values"},
    "ParameterDiff": {Need.VIEWER: "changed name values"},
    "FeatureDiff": {Need.VIEWER: "added removed"},
    "TagDiff": {Need.VIEWER: "added removed"},
    "SegmentDiff": {Need.VIEWER: "metricDiffs segment"},
    "VersionChange": {Need.VIEWER: "declaredBump reasons requiredBump sufficient"},
    "StageTransition": {Need.VIEWER: "actor alone approvals approvedBy at automatic fromStage id notes toStage"},
    "PromotionCheck": {
        Need.VIEWER: "allowed approvalsRecorded approvalsRequired gates wouldArchive yourApprovalWouldCount"
    },
    "Gate": {Need.VIEWER: "name passed reason"},
    "ModelCard": {
        Need.VIEWER: "completeness cycloneDx description ethicalConsiderations generated huggingFace intendedUse"
        " limitations markdown missing performanceBySegment revision revisions trainingDataSummary updatedAt updatedBy"
        " worstSegments"
    },
    "TrainingDataSummary": {Need.VIEWER: "dateRange extra featureCount positiveClassRatio source totalRows"},
    "SegmentGap": {Need.VIEWER: "gap metric segment value whole"},
    "SegmentPerformance": {Need.VIEWER: "metrics samples segment"},
    "ModelCardRevision": {Need.VIEWER: "at by changed revision"},
    "Experiment": {
        Need.VIEWER: "algorithm createdAt datasetVersion id impact lineage lineageUrl maxModels name notes parameters"
        " project status trainingDurationSecs versions"
    },
    "Dataset": {Need.VIEWER: "createdAt description id name project versions"},
    "DatasetVersion": {
        Need.VIEWER: "createdAt dataset digest features id impact label lineage lineageUrl name parents rowCount status"
        " statusReason trained uri"
    },
    "Impact": {Need.VIEWER: "deployments models paths production versions"},
    "ImpactPath": {Need.VIEWER: "version via"},
    "Deployment": {
        Need.VIEWER: "canary createdAt createdBy currentStage environment events health id name nextAdvanceAt previous"
        " project status strategy trafficPercentage version"
    },
    "CanaryPlan": {Need.VIEWER: "autoAdvance autoRollback failureThreshold healthRequired maxHealthAgeMinutes stages"},
    "CanaryStage": {Need.VIEWER: "durationMinutes trafficPercentage"},
    "DeploymentEvent": {Need.VIEWER: "actor at kind reason trafficPercentage"},
    "HealthReport": {Need.VIEWER: "at healthy metrics reportedBy"},
    "Webhook": {
        Need.VIEWER: "actions active createdAt createdBy deliveries description disabledAt disabledReason failingSince"
        " id previousSecretUntil project url"
    },
    "WebhookDelivery": {Need.VIEWER: "attemptedAt attempts createdAt error event id nextAt responseStatus status"},
    "ServingShare": {Need.VIEWER: "deployment share"},
    "VersionFacets": {Need.VIEWER: "algorithms stages tags"},
    "StageCount": {Need.VIEWER: "count stage"},
    "TagCount": {Need.VIEWER: "count tag"},
    "AlgorithmCount": {Need.VIEWER: "algorithm count"},
    "LineageGraph": {Need.VIEWER: "edges mermaid nodes truncated"},
    "LineageEdge": {Need.VIEWER: "from kind to"},
    "AuditEvent": {
        Need.VIEWER: "action actor at chain details hash id notes position previousHash projectId requestId seq subject"
        " subjectId"
    },
    "AuditIntegrity": {Need.VIEWER: "events firstWrong since sound"},
    "AuditStatus": {Need.INSTANCE: "behindEvents keyId lastCheckpointAt lastCheckpointNumber problem problemSince"},
    "RetentionExemption": {Need.VIEWER: "reason version"},
    "PageInfo": {Need.ANYONE: "endCursor hasNextPage hasPreviousPage startCursor"},
}
_READS = {
    (of, field): need for of, needs in READS.items() for need, fields in needs.items() for field in fields.split()
}


def need_of_field(of: str, field: str) -> Need | None:
    """What reading a field needs; None where the table has no entry. A connection only leads to its rows and to
    counts of them, a payload to what its mutation was allowed to write."""
    if of.endswith("Payload") or (of.endswith(("Connection", "Edge")) and of != "LineageEdge"):
        return Need.ANYONE
    return _READS.get((of, field))


# How rows are narrowed to what a caller may see, by table: `{row}` the row, `{projects}` and `{me}` the caller's.
# A key that is bound to a project knows only of such keys.
SCOPES = {
    "projects": "{row}.id = ANY ({projects})",
    "principals": "{row}.id = {me}",
    # Of no project: for administrators of the instance, whose rows are not narrowed.
    "checkpoint_reports": "false",
    "api_keys": "{row}.principal_id = {me} AND ({only} IS NULL OR {row}.project_id = {only})",
}
IN_PROJECT = "{row}.project_id = ANY ({projects})"


def at_least(role: str, needed: Role) -> bool:
    ranks = list(Role)
    return ranks.index(Role(role)) >= ranks.index(needed)
