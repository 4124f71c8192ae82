"""Types by name. Types that refer to each other do so through this file, and do not import each other."""

from typing import TYPE_CHECKING, Annotated

import strawberry

if TYPE_CHECKING:
    from schema.cards import ModelCard
    from schema.datasets import Dataset, DatasetVersion
    from schema.deployments import Deployment
    from schema.experiments import Experiment
    from schema.models import Model
    from schema.projects import Project
    from schema.transitions import Approval, PromotionCheck, TransitionRequest
    from schema.versions import Metric, ModelVersion
else:
    Project = Annotated["Project", strawberry.lazy("schema.projects")]
    Model = Annotated["Model", strawberry.lazy("schema.models")]
    ModelVersion = Annotated["ModelVersion", strawberry.lazy("schema.versions")]
    Experiment = Annotated["Experiment", strawberry.lazy("schema.experiments")]
    Dataset = Annotated["Dataset", strawberry.lazy("schema.datasets")]
    DatasetVersion = Annotated["DatasetVersion", strawberry.lazy("schema.datasets")]
    Metric = Annotated["Metric", strawberry.lazy("schema.versions")]
    Deployment = Annotated["Deployment", strawberry.lazy("schema.deployments")]
    ModelCard = Annotated["ModelCard", strawberry.lazy("schema.cards")]
    Approval = Annotated["Approval", strawberry.lazy("schema.transitions")]
    PromotionCheck = Annotated["PromotionCheck", strawberry.lazy("schema.transitions")]
    TransitionRequest = Annotated["TransitionRequest", strawberry.lazy("schema.transitions")]

__all__ = [
    "Approval",
    "Dataset",
    "DatasetVersion",
    "Deployment",
    "Experiment",
    "Metric",
    "Model",
    "ModelCard",
    "ModelVersion",
    "Project",
    "PromotionCheck",
    "TransitionRequest",
]
