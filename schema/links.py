"""Types by name, so that nouns that refer to each other need not import each other."""

from typing import TYPE_CHECKING, Annotated

import strawberry

if TYPE_CHECKING:
    from schema.datasets import Dataset, DatasetVersion
    from schema.experiments import Experiment
    from schema.models import Model
    from schema.projects import Project
    from schema.versions import ModelVersion
else:
    Project = Annotated["Project", strawberry.lazy("schema.projects")]
    Model = Annotated["Model", strawberry.lazy("schema.models")]
    ModelVersion = Annotated["ModelVersion", strawberry.lazy("schema.versions")]
    Experiment = Annotated["Experiment", strawberry.lazy("schema.experiments")]
    Dataset = Annotated["Dataset", strawberry.lazy("schema.datasets")]
    DatasetVersion = Annotated["DatasetVersion", strawberry.lazy("schema.datasets")]

__all__ = ["Dataset", "DatasetVersion", "Experiment", "Model", "ModelVersion", "Project"]
