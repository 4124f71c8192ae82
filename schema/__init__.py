"""The GraphQL schema, built from the types of this package."""

import strawberry
from strawberry.schema.config import StrawberryConfig

from resolvers.reads.declarations import gather_needs
from schema.mutation import Mutation
from schema.query import Query
from schema.scalars import SCALARS
from schema.subscription import Subscription

schema = strawberry.Schema(
    query=Query, mutation=Mutation, subscription=Subscription, config=StrawberryConfig(scalar_map=SCALARS)
)
# Undeclared, before anything is served, where a field names no role.
gather_needs(schema._schema)  # noqa: SLF001 - Strawberry has no public name for it
