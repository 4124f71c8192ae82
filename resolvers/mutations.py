"""Runs a mutation in one transaction: cleans its input, calls the function that writes, and reads the payload."""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from graphql.execution.values import VariableValues
from strawberry.types.base import StrawberryContainer, get_object_definition

from resolvers.callers import Caller
from resolvers.errors import BadUserInput
from resolvers.idempotency import Repeatable
from resolvers.reads.compilation import Compilation, Selected, binding_of
from resolvers.reads.declarations import DEFINITION
from resolvers.reads.plans import Operation
from resolvers.reads.types import BoundType
from resolvers.reads.variables import MAX_OBJECTS
from resolvers.refusals import driver_errors_as_refusals, perhaps_kept
from resolvers.rules.cleaning import check_count
from resolvers.rules.limits import LIMIT
from resolvers.settings import MutationSettings
from resolvers.transaction import Transaction
from storage.engine import Database, driver_connection

# In the description of a field that treats null as a value.
NULL_MEANS = "null means"

Writer = Callable[..., Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True)
class Write:
    """A root field of Mutation, bound to the function that writes.

    A payload with a secret is not kept to be returned again under its idempotency key.
    """

    function: Writer
    has_secret: bool = False

    def sql(self, compilation: Compilation, of: BoundType, selected: Selected, alias: str) -> str:
        raise TypeError(f"{selected.name} writes; it is not read.")


@dataclass
class Reading:
    """How a mutation's payload is read, within the time limit of the whole mutation.

    The payload is rendered in its caller's turn. `seconds` is the time that its statement took."""

    within: float
    turn: AbstractAsyncContextManager[float]
    seconds: float = 0.0


async def run_mutation(
    database: Database,
    operation: Operation,
    field: Selected,
    variables: VariableValues,
    caller: Caller,
    repeat: Repeatable | None,
    reading: Reading,
    settings: MutationSettings,
) -> bytes:
    """Run one root field and return it as a JSON object with its key. A refusal is raised, and nothing is saved. It
    takes at most the seconds of `reading`.

    If a response is stored under the same idempotency key, it is returned instead, to a caller who still has the
    rights.
    """
    write = binding_of(operation.types["Mutation"], field.name)
    assert isinstance(write, Write)
    definition = field.definition.args["input"].extensions[DEFINITION]
    arguments = clean_input(definition.type, field.arguments.values["input"], "input")
    if repeat and write.has_secret:
        raise BadUserInput(
            "Idempotency-Key", f"cannot be combined with {field.name}, which returns a secret that is not stored."
        )
    with driver_errors_as_refusals():
        async with database.session(reading.within) as session:
            tx = Transaction(session, caller, operation.types.need("Mutation", field.name), settings)
            await tx.require_instance()
            if repeat and (kept := await repeat.recall(tx)) is not None:
                return kept
            payload = await write.function(tx, **arguments)
            # Compiled after the write, so that a refused input does not cost a plan.
            reader = tx.narrow_reader if repeat else tx.reader
            plan = operation.payload_plan(variables, reader, field.key)
            connection = await driver_connection(session)
            began = time.monotonic()
            row = await connection.fetchval(plan.statement, *plan.arguments(variables, reader, payload))
            reading.seconds = time.monotonic() - began
            answer = await plan.finish(row, reading.turn)
            if repeat:
                await repeat.keep(session, answer, reader.visible)
            with perhaps_kept():
                await session.commit()
    return answer


def clean_input(of: Any, value: Mapping[str, Any], path: str) -> dict[str, Any]:
    """An input object by Python names, each value within its limit. Null is treated as omitted, unless the field gives
    it a meaning."""
    definition = get_object_definition(of, strict=True)
    cleaned = {}
    for field in definition.fields:
        name = field.graphql_name or _camel(field.python_name)
        if value.get(name) is not None:
            cleaned[field.python_name] = _clean(field, value[name], f"{path}.{name}")
        elif name in value and field.metadata.get(NULL_MEANS):
            cleaned[field.python_name] = None
    return cleaned


def _clean(field: Any, value: Any, path: str) -> Any:
    limit = field.metadata.get(LIMIT)
    if limit is not None:
        return limit.clean(path, value)
    of = field.type
    while isinstance(of, StrawberryContainer):
        of = of.of_type
    if get_object_definition(of) is None:
        return value
    if isinstance(value, list):
        check_count(path, value, MAX_OBJECTS)
        return [clean_input(of, item, f"{path}[{place}]") for place, item in enumerate(value)]
    return clean_input(of, value, path)


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.title() for part in tail)
