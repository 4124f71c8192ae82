"""The role that each mutation and each type needs, stated again and apart from the schema, which must agree."""

from resolvers.rules.access import Need


def _each(names_by_need: dict[Need, str]) -> dict[str, Need]:
    return {name: need for need, names in names_by_need.items() for name in names.split()}


MUTATIONS = _each(
    {
        Need.CONTRIBUTOR: (
            "addTags advanceDeployment cancelTransition completeExperiment createDataset createDatasetVersion "
            "createDeployment createExperiment createModel createVersion moveArtifact pauseDeployment removeAlias "
            "removeTags reportDeploymentHealth requestTransition resumeDeployment retireDeployment rollbackDeployment "
            "setAlias setDatasetVersionStatus transitionStage updateDataset updateExperiment updateModel "
            "updateModelCard updateVersion"
        ),
        Need.REVIEWER: ("confirmPolicyChange reviewTransition rollbackProduction"),
        Need.ADMIN: (
            "applyRetention createWebhook defineTag deleteWebhook removeMember replayDeliveries replayDelivery "
            "rotateWebhookSecret setMember updateProject updateProjectPolicy updateWebhook"
        ),
        Need.OWNER: ("revokeApiKey rotateApiKey"),
        Need.INSTANCE: ("createApiKey createProject setAdministrator"),
    }
)

# All fields of a type need the same. Connections, edges and payloads need ANYONE.
TYPES = _each(
    {
        Need.ANYONE: ("PageInfo Query Subscription Viewer"),
        Need.VIEWER: (
            "AlgorithmCount Approval Artifact AuditEvent AuditIntegrity CanaryPlan CanaryStage Dataset "
            "DatasetUse DatasetVersion Deployment DeploymentEvent Experiment FeatureDiff Gate HealthReport "
            "Impact ImpactPath LineageEdge LineageGraph Member Membership Metric MetricDiff MetricThreshold "
            "Model ModelAlias ModelCard ModelCardRevision ModelVersion Origin ParameterDiff PolicyChange Project "
            "ProjectPolicy PromotionCheck RetentionExemption ReviewedChange SegmentDiff SegmentGap SegmentPerformance "
            "ServingShare StageCount StageTransition TagCount TagDefinition TagDiff TrainingDataSummary "
            "TransitionRequest VersionChange VersionComparison VersionFacets Webhook WebhookDelivery"
        ),
        Need.OWNER: ("ApiKey Principal"),
        Need.INSTANCE: ("AuditStatus"),
    }
)
