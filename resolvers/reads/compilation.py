"""One compilation: selected fields become SQL expressions, arguments become bind parameters."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from graphql import GraphQLField, GraphQLObjectType, OperationDefinitionNode, print_ast
from graphql.execution import get_argument_values
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_fields, collect_subfields
from graphql.execution.values import VariableValues

from resolvers.errors import BadUserInput
from resolvers.reads.arguments import Arguments, Parameter, Values
from resolvers.reads.cleaning import cleaner_of
from resolvers.reads.declarations import DEFINITION, HEAVY, weight_of
from resolvers.reads.finishing import Fill, Inputs, Repeat
from resolvers.reads.objects import ROW, build_object, build_plain_object, columns, fit_a_row
from resolvers.reads.scopes import scope_of
from resolvers.reads.types import BoundType, Types
from storage.sql import fill_sql

TYPENAME = "__typename"
# The key under which a field of the schema holds its binding.
BINDING = "binding"
# The first parameters: the projects that a restricted caller may see, its principal, the project its key is bound to.
SEEN = {"projects": "$1::text[]", "me": "$2::text", "only": "$3::text"}


@dataclass(frozen=True)
class Selected:
    """One field of a selection: its response key, definition, merged nodes and arguments."""

    key: str
    name: str
    definition: GraphQLField
    details: list[FieldDetails]
    arguments: Arguments
    path: tuple[str, ...]


@dataclass
class Compilation:
    """`restricted` is true if the statement is for callers who see some projects only, not all of them.

    `counting` is true if the bytes of all weighted values are counted while the statement runs, which ends it as soon
    as they exceed `most_bytes`. The bytes of heavy values are always counted.
    """

    types: Types
    operation: OperationDefinitionNode
    fragments: dict[str, FragmentDetails]
    variables: VariableValues
    restricted: bool
    most_bytes: int
    counting: bool = False
    parameters: list[Parameter] = field(
        default_factory=lambda: [
            lambda execution: execution.caller.visible,
            lambda execution: execution.caller.principal_id,
            lambda execution: execution.caller.only,
        ]
    )
    fills: list[Fill] = field(default_factory=list)
    inputs: list[Inputs] = field(default_factory=list)
    repeats: list[Repeat] = field(default_factory=list)
    # The inputs of the current object's computed fields: the key of each expression.
    _input_keys: dict[str, str] = field(default_factory=dict)
    _aliases: int = 0
    _keys: int = 0

    def root(self) -> list[Selected]:
        root_type = self.types.schema.get_root_type(self.operation.operation)
        assert root_type is not None
        collected = collect_fields(self.types.schema, self.fragments, self.variables, root_type, self.operation)
        return self._selected(root_type, collected.grouped_field_set, ())

    def selection(self, parent: Selected, of: GraphQLObjectType) -> list[Selected]:
        """The parent's sub-selection as it applies to one object type, fragments and directives resolved."""
        collected = collect_subfields(
            self.types.schema, self.fragments, self.variables, self.operation, of, parent.details
        )
        return self._selected(of, collected.grouped_field_set, parent.path)

    def _selected(self, of: GraphQLObjectType, grouped: Mapping[str, list[FieldDetails]], path: Any) -> list[Selected]:
        selected = []
        for key, details in grouped.items():
            node = details[0].node
            name = node.name.value
            definition = self.types.schema.get_field(of, name)
            assert definition is not None
            if not name.startswith("__"):
                self.types.need(of.name, name)
            clean = cleaner_of(self.types, of, name, definition)
            values = clean(get_argument_values(definition, node, self.variables))
            arguments = Arguments(definition, node, values, clean)
            selected.append(Selected(key, name, definition, details, arguments, (*path, key)))
        return selected

    def alias(self, table: str) -> str:
        self._aliases += 1
        return f"{table[0]}{self._aliases}"

    def parameter(self, parameter: Parameter) -> str:
        self.parameters.append(parameter)
        return f"${len(self.parameters)}"

    def visible(self, alias: str, table: str) -> str:
        """The condition under which the caller sees a row. It applies to every table that a field leads to.

        There are two exceptions: a binding whose condition is a foreign key that keeps the row in the project of a
        visible one (`scopes`), and values that are only looked up for a row, such as a name or a tag.
        """
        if not self.restricted:
            return "true"
        return fill_sql(scope_of(table), row=alias, **SEEN)

    def object(self, of: BoundType, parent: Selected, alias: str) -> str:
        """The JSON object for a selection on one row."""
        return build_object(self._pairs(of, parent, alias))

    def rows(self, of: BoundType, parent: Selected, alias: str, source: str) -> tuple[str, str]:
        """The JSON object for a selection on the rows of a source, and the FROM item that it is selected from."""
        pairs = self._pairs(of, parent, alias)
        if fit_a_row(pairs):
            return ROW, f"(SELECT {columns(pairs)} FROM {source}) {ROW}"
        return f"{ROW}.object", f"(SELECT {build_plain_object(pairs)} AS object FROM {source}) {ROW}"

    def _pairs(self, of: BoundType, parent: Selected, alias: str) -> list[tuple[str, str]]:
        """The fields of a selection on one row by key, followed by the inputs of fields that Python computes."""
        around, self._input_keys = self._input_keys, {}
        fields = self.selection(parent, of.graphql)
        pairs = self.once(fields, parent.path, lambda each: self.value(of, each, alias))
        inputs, self._input_keys = self._input_keys, around
        if inputs:
            self.inputs.append(Inputs(parent.path, list(inputs.values())))
        return pairs + [(key, expression) for expression, key in inputs.items()]

    def input_key(self, expression: str) -> str:
        """The key under which the current object passes the value of an expression to Python."""
        if expression not in self._input_keys:
            self._input_keys[expression] = self._key()
        return self._input_keys[expression]

    def _key(self) -> str:
        """A key that no field of a document can have."""
        self._keys += 1
        return f"#{self._keys}"

    def once(
        self, fields: Sequence[Selected], path: tuple[str, ...], value: Callable[[Selected], str]
    ) -> list[tuple[str, str]]:
        """The keys and expressions of an object's fields. A field that is selected several times is read once."""
        pairs, sources = [], []
        for same in alike(fields):
            if len(same) == 1:
                pairs.append((same[0].key, value(same[0])))
                continue
            source = self._key()
            sources.append((source, value(replace(same[0], path=(*path, source)))))
            self.repeats.append(Repeat(path, source, [each.key for each in same]))
            pairs += [(each.key, "NULL::json") for each in same]
        places = {each.key: place for place, each in enumerate(fields)}
        return sorted(pairs, key=lambda pair: places[pair[0]]) + sources

    def value(self, of: BoundType, selected: Selected, alias: str) -> str:
        if selected.name == TYPENAME:
            return f"'{of.name}'::text"
        return binding_of(of, selected.name).sql(self, of, selected, alias)

    def counted(self, selected: Selected, expression: str) -> str:
        """The expression of a value, whose bytes count towards the limit of the statement if it has a weight."""
        weight = weight_of(selected.definition) or 0
        if weight >= HEAVY or (weight and self.counting):
            return f"counted(to_json({expression}), {self.most_bytes})"
        return expression

    def template(self, template: str, selected: Selected, **names: Any) -> str:
        """Fill in aliases, as parameters `{args[name]}`, `{args[a.b]}`, `{payload[name]}`, `{caller[name]}`, and
        `{visible[row table]}` for whether the caller may see a row of a table."""
        arguments = self.parameters_of(lambda name: selected.arguments.reader(lambda values: part_of(values, name)))
        payload = self.parameters_of(lambda name: lambda execution: execution.payload[name])
        caller = self.parameters_of(lambda name: lambda execution: getattr(execution.caller, name))
        return template.format(args=arguments, payload=payload, caller=caller, visible=_Visible(self), **names)

    def parameters_of(self, reader: Callable[[str], Parameter]) -> "_Parameters":
        """Parameters by name, each created when a template uses it."""
        return _Parameters(self, reader)

    def fill(self, selected: Selected, inputs: Mapping[str, str], compute: Callable[..., Any]) -> None:
        """Compute a field in Python, from expressions that the object passes along."""
        keys = {name: self.input_key(self.counted(selected, expression)) for name, expression in inputs.items()}
        self.fills.append(Fill(selected.path, keys, compute, bool(weight_of(selected.definition))))


class Binding(Protocol):
    """The contract of a binding: how a field is read. Implementations are in `bindings`."""

    def sql(self, compilation: Compilation, of: BoundType, selected: Selected, alias: str) -> str:
        """The expression whose value is the field's, on the row named by the alias."""


class Unbound(Exception):
    """A field of the schema that has no binding."""


def binding_of(of: BoundType, field: str) -> Binding:
    definition = of.graphql.fields[field].extensions.get(DEFINITION)
    binding: Binding | None = definition.metadata.get(BINDING) if definition else None
    if binding is None:
        raise Unbound(f"{of.name}.{field} has no binding.")
    return binding


def part_of(values: Values, path: str) -> Any:
    """The value at a path such as `orderBy.metric`. None if any part of the path is null."""
    value: Any = values
    for name in path.split("."):
        value = value.get(name) if value is not None else None
    return value


def bounded(values: Values, name: str, default: int, highest: int) -> int:
    """An argument that must be from 1 to the highest value. Null means the default."""
    asked = default if values.get(name) is None else values[name]
    if not 1 <= asked <= highest:
        raise BadUserInput(name, f"is {asked}; it must be between 1 and {highest}.")
    return int(asked)


@dataclass
class _Parameters:
    compilation: Compilation
    reader: Callable[[str], Parameter]

    def __getitem__(self, name: str) -> str:
        return self.compilation.parameter(self.reader(name))


@dataclass
class _Visible:
    compilation: Compilation

    def __getitem__(self, row_and_table: str) -> str:
        return self.compilation.visible(*row_and_table.split())


def alike(fields: Sequence[Selected]) -> list[list[Selected]]:
    """The fields of one object, grouped if they select the same under several keys."""
    names = Counter(each.name for each in fields)
    groups: dict[object, list[Selected]] = defaultdict(list)
    for place, each in enumerate(fields):
        groups[_asked(each) if names[each.name] > 1 else place].append(each)
    return list(groups.values())


def _asked(selected: Selected) -> tuple[str, ...]:
    """The selection of a field, regardless of its response key."""
    nodes = [details.node for details in selected.details]
    parts = [part for node in nodes for part in (*(node.arguments or ()), node.selection_set) if part]
    return selected.name, *map(print_ast, parts)
