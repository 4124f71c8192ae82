"""Types by name, so that nouns that refer to each other need not import each other."""

from typing import Annotated

import strawberry

Project = Annotated["Project", strawberry.lazy("schema.projects")]
Model = Annotated["Model", strawberry.lazy("schema.models")]
ModelVersion = Annotated["ModelVersion", strawberry.lazy("schema.versions")]
Experiment = Annotated["Experiment", strawberry.lazy("schema.experiments")]
Dataset = Annotated["Dataset", strawberry.lazy("schema.datasets")]
DatasetVersion = Annotated["DatasetVersion", strawberry.lazy("schema.datasets")]
