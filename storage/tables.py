"""Imports every table, so that the metadata is complete wherever it is used."""

from storage.aliases import ModelAlias
from storage.approvals import Approval, TransitionRequest
from storage.audit import AuditChain, AuditEvent, FeedEvent, UnplacedEvent
from storage.base import metadata
from storage.cards import ModelCard, ModelCardRevision
from storage.checkpoints import CheckpointReport
from storage.datasets import Dataset, DatasetParent, DatasetVersion
from storage.deployments import Deployment, HealthReport
from storage.experiments import Experiment
from storage.idempotency import IdempotentAnswer
from storage.keys import ApiKey
from storage.models import Model
from storage.policies import PolicyChange, ProjectPolicy
from storage.principals import Member, Principal
from storage.projects import Project
from storage.retention import DailyRun
from storage.tags import TagAlias, TagDefinition
from storage.texts import VersionText
from storage.versions import DatasetUse, Metric, StageTransition, Tag, Version
from storage.webhooks import Webhook, WebhookDelivery

__all__ = [
    "ApiKey",
    "Approval",
    "AuditChain",
    "AuditEvent",
    "CheckpointReport",
    "DailyRun",
    "Dataset",
    "DatasetParent",
    "DatasetUse",
    "DatasetVersion",
    "Deployment",
    "Experiment",
    "FeedEvent",
    "HealthReport",
    "IdempotentAnswer",
    "Member",
    "Metric",
    "Model",
    "ModelAlias",
    "ModelCard",
    "ModelCardRevision",
    "PolicyChange",
    "Principal",
    "Project",
    "ProjectPolicy",
    "StageTransition",
    "Tag",
    "TagAlias",
    "TagDefinition",
    "TransitionRequest",
    "UnplacedEvent",
    "Version",
    "VersionText",
    "Webhook",
    "WebhookDelivery",
    "metadata",
]
