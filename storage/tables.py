"""Every table, so that the metadata is whole wherever it is needed."""

from storage.audit import AuditChain, AuditEvent
from storage.base import metadata
from storage.datasets import Dataset, DatasetParent, DatasetVersion
from storage.experiments import Experiment
from storage.keys import ApiKey
from storage.models import Model
from storage.projects import Project
from storage.versions import DatasetUse, Metric, StageTransition, Tag, Version

__all__ = [
    "ApiKey",
    "AuditChain",
    "AuditEvent",
    "Dataset",
    "DatasetParent",
    "DatasetUse",
    "DatasetVersion",
    "Experiment",
    "Metric",
    "Model",
    "Project",
    "StageTransition",
    "Tag",
    "Version",
    "metadata",
]
