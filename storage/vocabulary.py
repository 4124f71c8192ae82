"""The enums that all layers share. Their names are those of the API and of the stored text."""

from enum import StrEnum


class Stage(StrEnum):
    DEVELOPMENT = "DEVELOPMENT"
    STAGING = "STAGING"
    PRODUCTION = "PRODUCTION"
    ARCHIVED = "ARCHIVED"


class Bump(StrEnum):
    """Ordered by weight: the first is the lightest."""

    PATCH = "PATCH"
    MINOR = "MINOR"
    MAJOR = "MAJOR"


class ExperimentStatus(StrEnum):
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class DatasetVersionStatus(StrEnum):
    ACTIVE = "ACTIVE"
    DEPRECATED = "DEPRECATED"
    INVALID = "INVALID"


class DatasetRole(StrEnum):
    TRAINING = "TRAINING"
    VALIDATION = "VALIDATION"
    TEST = "TEST"


class LineageDirection(StrEnum):
    UPSTREAM = "UPSTREAM"
    DOWNSTREAM = "DOWNSTREAM"
    BOTH = "BOTH"


class LineageEdgeKind(StrEnum):
    DERIVED_FROM = "DERIVED_FROM"
    PRODUCED_BY = "PRODUCED_BY"
    TRAINED_ON = "TRAINED_ON"
    VALIDATED_ON = "VALIDATED_ON"
    TESTED_ON = "TESTED_ON"
    DEPLOYED_AS = "DEPLOYED_AS"


class DeploymentStrategy(StrEnum):
    DIRECT = "DIRECT"
    CANARY = "CANARY"
    SHADOW = "SHADOW"
    BLUE_GREEN = "BLUE_GREEN"


class MetricVerdict(StrEnum):
    BETTER = "BETTER"
    WORSE = "WORSE"
    EQUAL = "EQUAL"
    NOT_COMPARABLE = "NOT_COMPARABLE"
    MISSING = "MISSING"


class RollbackDeployments(StrEnum):
    RESTORE = "RESTORE"
    LEAVE = "LEAVE"


class DeploymentStatus(StrEnum):
    IN_PROGRESS = "IN_PROGRESS"
    PAUSED = "PAUSED"
    ACTIVE = "ACTIVE"
    ROLLED_BACK = "ROLLED_BACK"
    RETIRED = "RETIRED"


class DeliveryStatus(StrEnum):
    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


class OrderDirection(StrEnum):
    ASC = "ASC"
    DESC = "DESC"


class VersionOrderField(StrEnum):
    CREATED_AT = "CREATED_AT"
    VERSION = "VERSION"
    METRIC = "METRIC"
    RELEVANCE = "RELEVANCE"


class PrincipalKind(StrEnum):
    USER = "USER"
    SERVICE = "SERVICE"


class Role(StrEnum):
    """Ordered by weight: each role has the rights of those before it."""

    VIEWER = "VIEWER"
    CONTRIBUTOR = "CONTRIBUTOR"
    REVIEWER = "REVIEWER"
    ADMIN = "ADMIN"


class PolicyMode(StrEnum):
    OFF = "OFF"
    WARN = "WARN"
    ENFORCE = "ENFORCE"


class PolicyChangeStatus(StrEnum):
    PENDING = "PENDING"
    APPLIED = "APPLIED"
    REPLACED = "REPLACED"
    WITHDRAWN = "WITHDRAWN"


class ReviewedPart(StrEnum):
    ARTIFACT = "ARTIFACT"
    CARD = "CARD"
    DATA = "DATA"
    DESCRIPTION = "DESCRIPTION"
    EXPERIMENT = "EXPERIMENT"
    TAGS = "TAGS"


class Decision(StrEnum):
    APPROVE = "APPROVE"
    REJECT = "REJECT"


class TransitionRequestStatus(StrEnum):
    OPEN = "OPEN"
    APPLIED = "APPLIED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


class ApiKeyStatus(StrEnum):
    VALID = "VALID"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"
