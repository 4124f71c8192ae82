"""From a validated operation to its response. Plans are compiled once for each shape of the variables, and cached."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ParamSpec, TypeVar

from cachetools import LRUCache
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    is_enum_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
    type_from_ast,
)
from graphql.execution.collect_fields import FragmentDetails
from graphql.execution.values import VariableValues

from resolvers.callers import Caller
from resolvers.errors import AnswerTooLarge
from resolvers.reads.arguments import Execution, Parameter, Values, variables_in
from resolvers.reads.compilation import Compilation, Selected
from resolvers.reads.finishing import Finishing
from resolvers.reads.objects import build_object
from resolvers.reads.types import BoundType, Types
from resolvers.reads.variables import Variables

P = ParamSpec("P")
T = TypeVar("T")
# The most plans of one document, and their total size: a plan takes some thirty bytes for each of its characters.
MAX_SHAPES, SHAPES_CHARACTERS = 20, 40_000
PARAMETER = re.compile(r"\$(\d+)")


# The bytes that one point of cost can return. Operations that cannot exceed the limit by it need no counting.
BYTES_PER_POINT = 32_000
# Renders Markdown, cards, comparisons and pictures, and reads long documents. Few threads, so that the event loop is
# never far behind.
WORKSHOP = ThreadPoolExecutor(2, thread_name_prefix="workshop")


async def aside(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Do slow work outside the event loop."""
    return await asyncio.get_running_loop().run_in_executor(WORKSHOP, partial(work, *arguments, **named))


@dataclass(frozen=True)
class Plan:
    """One statement, the sources of its parameters, and the finishing of its response in Python.

    `answers` is False if the statement returns nothing. `introspected` are the root fields that graphql-core runs.
    `keys` are the keys of all root fields in their order. `cost` is in points.
    """

    statement: str
    parameters: Sequence[Parameter]
    finishing: Finishing
    most_bytes: int
    answers: bool = True
    introspected: tuple[Selected, ...] = ()
    keys: tuple[str, ...] = ()
    cost: int = 0

    def arguments(self, variables: VariableValues, caller: Caller, payload: Values = {}) -> list[Any]:
        execution = Execution(variables, caller, payload, {})
        return [parameter(execution) for parameter in self.parameters]

    async def finish(self, answer: bytes, turn: AbstractAsyncContextManager[Any]) -> bytes:
        """The finished response, produced in a turn if that takes long. Raises AnswerTooLarge above the limit."""
        if len(answer) > self.most_bytes:
            raise AnswerTooLarge(self.most_bytes)
        if not self.finishing:
            return answer
        if not self.finishing.is_weighty:
            return self.finishing(answer, self.most_bytes)
        async with turn:
            finished = await aside(self.finishing, answer, self.most_bytes)
        if len(finished) > self.most_bytes:
            raise AnswerTooLarge(self.most_bytes)
        return finished


class Operation:
    """One operation of a document, with its plans."""

    def __init__(
        self,
        types: Types,
        definition: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
        check: Callable[[VariableValues], int],
        most_bytes: int,
        length: int,
    ):
        self.types = types
        self.definition = definition
        self.fragments = {name: FragmentDetails(fragment) for name, fragment in fragments.items()}
        # Returns the cost, or refuses it. Sizes are part of a plan's shape, so checking once for each plan is enough.
        self.check = check
        self.most_bytes = most_bytes
        self.variables = Variables(types.schema, definition.variable_definitions or ())
        self.shape = shape_of(types.schema, definition, list(fragments.values()))
        self._plans: LRUCache[Any, Plan] = LRUCache(max(1, min(MAX_SHAPES, SHAPES_CHARACTERS // length)))

    def compilation(self, variables: VariableValues, caller: Caller | None = None) -> Compilation:
        restricted = caller is not None and caller.visible is not None
        counting = self.check(variables) * BYTES_PER_POINT > self.most_bytes
        return Compilation(
            self.types, self.definition, self.fragments, variables, restricted, self.most_bytes, counting
        )

    def read_plan(self, variables: VariableValues, caller: Caller) -> Plan:
        """The plan for all root fields of a query, except introspection."""
        shape = (caller.visible is None, self.shape(variables.coerced))
        return self._kept(shape, lambda: self.compile_query(variables, caller))

    def known_plan(self, variables: VariableValues, caller: Caller) -> Plan | None:
        """The plan of a query, if it is cached."""
        return self._plans.get((caller.visible is None, self.shape(variables.coerced)))

    def learn(self, plan: Plan, variables: VariableValues, caller: Caller) -> None:
        self._plans[caller.visible is None, self.shape(variables.coerced)] = plan

    def payload_plan(self, variables: VariableValues, caller: Caller, key: str) -> Plan:
        """The plan for one mutation's payload, from the values that the mutation returned."""
        shape = (caller.visible is None, key, self.shape(variables.coerced))
        return self._kept(shape, lambda: self._compile_payload(self.compilation(variables, caller), key))

    def knows_payload(self, variables: VariableValues, caller: Caller, key: str) -> bool:
        return (caller.visible is None, key, self.shape(variables.coerced)) in self._plans

    def feed_plan(self, variables: VariableValues, caller: Caller) -> Plan:
        """The plan for a subscription's field, as a list of the objects that the payload names."""
        shape = (caller.visible is None, self.shape(variables.coerced))
        return self._kept(shape, lambda: self._compile_feed(variables, caller))

    def _compile_feed(self, variables: VariableValues, caller: Caller) -> Plan:
        cost = self.check(variables)
        compilation = self.compilation(variables, caller)
        (field,) = compilation.root()
        value = compilation.value(self.types["Subscription"], field, "")
        return replace(_plan(compilation, [(field.key, value)]), cost=cost)

    def _kept(self, shape: Any, compile_plan: Callable[[], Plan]) -> Plan:
        plan = self._plans.get(shape)
        if plan is None:
            plan = self._plans[shape] = compile_plan()
        return plan

    def compile_query(self, variables: VariableValues, caller: Caller) -> Plan:
        cost = self.check(variables)
        compilation = self.compilation(variables, caller)
        query = self.types["Query"]
        root = compilation.root()
        fields = [field for field in root if not is_introspection(field)]
        plan = _plan(compilation, compilation.once(fields, (), lambda field: compilation.value(query, field, "")))
        return replace(
            plan,
            answers=bool(fields),
            introspected=tuple(filter(is_introspection, root)),
            keys=tuple(field.key for field in root),
            cost=cost,
        )

    def _compile_payload(self, compilation: Compilation, key: str) -> Plan:
        field = next(field for field in compilation.root() if field.key == key)
        payload: BoundType = self.types[self.types.of(field.definition).name]
        return _plan(compilation, [(key, compilation.object(payload, field, ""))])


def is_introspection(field: Selected) -> bool:
    return field.name in ("__schema", "__type")


def _plan(compilation: Compilation, pairs: list[tuple[str, str]]) -> Plan:
    # As bytes: the driver need not decode the text only for the server to encode it again.
    statement = f"SELECT convert_to(to_json({build_object(pairs)})::text, 'UTF8')"
    # A selection can omit everything that uses an argument. PostgreSQL refuses a parameter that is not used.
    used = sorted({int(number) for number in PARAMETER.findall(statement)})
    numbers = {str(before): f"${after}" for after, before in enumerate(used, start=1)}
    statement = PARAMETER.sub(lambda match: numbers[match[1]], statement)
    parameters = tuple(compilation.parameters[number - 1] for number in used)
    finishing = Finishing(tuple(compilation.fills), tuple(compilation.inputs), tuple(compilation.repeats))
    return Plan(statement, parameters, finishing, compilation.most_bytes)


Shape = Callable[[Mapping[str, Any]], Any]


def shape_of(
    schema: GraphQLSchema, definition: OperationDefinitionNode, fragments: Sequence[FragmentDefinitionNode]
) -> Shape:
    """The parts of the variables that decide the statement's text: nulls, the sizes of pages and lists, enum values.

    Whole numbers are all sizes; a plan is kept for each, up to the bound.
    """
    shapes = []
    only_written = _only_written(definition, fragments)
    for variable in definition.variable_definitions or ():
        shape = _shape(type_from_ast(schema, variable.type))
        if shape is not None and variable.variable.name.value not in only_written:
            shapes.append((variable.variable.name.value, shape))
    if not shapes:
        return lambda coerced: ()
    return lambda coerced: tuple(shape(coerced.get(name)) if name in coerced else ... for name, shape in shapes)


def _only_written(definition: OperationDefinitionNode, fragments: Sequence[FragmentDefinitionNode]) -> set[str]:
    """A mutation's variables that are used only in inputs of its root fields, which do not shape what is read."""
    if definition.operation is not OperationType.MUTATION:
        return set()
    roots = definition.selection_set.selections
    if not all(isinstance(root, FieldNode) for root in roots):
        return set()
    written = [argument for root in roots for argument in root.arguments or ()]  # type: ignore[attr-defined]
    read = [part for root in roots for part in (root.selection_set, *(root.directives or ())) if part]  # type: ignore[attr-defined]
    return variables_in(*written) - variables_in(*read, *fragments)


def _shape(of: Any) -> Callable[[Any], Any] | None:
    """None if all values of the type have the same shape."""
    if is_non_null_type(of):
        return _shape_of_value(of.of_type)
    inner = _shape_of_value(of) or (lambda value: True)
    return lambda value: None if value is None else inner(value)


def _shape_of_value(of: Any) -> Callable[[Any], Any] | None:
    if is_enum_type(of) or getattr(of, "name", "") in ("Boolean", "Int"):
        return lambda value: value
    if is_list_type(of):
        item = _shape(of.of_type)
        return (lambda values: tuple(map(item, values))) if item and is_input_object_type(_named(of)) else len
    if is_input_object_type(of):
        return _object_shape(of)
    return None


def _object_shape(of: Any) -> Callable[[Any], Any]:
    # Lazily, because input types can contain themselves.
    shapes: dict[str, Callable[[Any], Any]] = {}

    def shape(value: Mapping[str, Any]) -> Any:
        if not shapes:
            shapes.update({name: _shape(field.type) or (lambda _: True) for name, field in of.fields.items()})
        return tuple((name, shapes[name](inner)) for name, inner in value.items())

    return shape


def _named(of: Any) -> Any:
    return _named(of.of_type) if hasattr(of, "of_type") else of
