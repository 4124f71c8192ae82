"""One compilation: selected fields become SQL expressions, arguments become bind parameters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLObjectType,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
)
from graphql.execution import get_argument_values
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_fields, collect_subfields
from graphql.execution.values import VariableValues
from graphql.language import Node, Visitor, visit
from graphql.pyutils import Undefined
from graphql.utilities.coerce_input_value import coerce_default_value

from resolvers.errors import BadUserInput, Forbidden
from resolvers.reads.arguments import CleanAll, cleaner_of
from resolvers.reads.types import BoundType, Types
from resolvers.rules.access import IN_PROJECT, SCOPES, need_of_field

TYPENAME = "__typename"
# What PostgreSQL takes: the columns of a row, the bytes of a name, and half of json_build_object's arguments.
COLUMNS_AT_ONCE, LONGEST_NAME, FIELDS_AT_ONCE = 1_600, 63, 50
# The first parameters: the projects that a restricted caller may see, who it is, the project its key is bound to.
SEEN = {"projects": "$1::text[]", "me": "$2::text", "only": "$3::text"}

# A row that becomes an object. No key can have this name, which would stand for the column instead.
ROW = '"#"'

Values = Mapping[str, Any]


class Asking(Protocol):
    """Who asks: the principal, the projects that it may see (None: all), the one that its key is bound to."""

    @property
    def visible(self) -> Sequence[str] | None: ...
    @property
    def principal_id(self) -> str | None: ...
    @property
    def only(self) -> str | None: ...


class Given(NamedTuple):
    """What a statement's parameters are read from. `known` holds what several of them share, once it was made."""

    variables: VariableValues
    caller: Asking
    payload: Values
    known: dict[Any, Values]


Parameter = Callable[[Given], Any]


@dataclass(frozen=True)
class Arguments:
    """A field's arguments: their values now, which decide the statement's shape, and a way to read them again later."""

    definition: GraphQLField
    node: FieldNode
    values: dict[str, Any]
    clean: CleanAll

    def reader(self, read: Callable[[Values], Any]) -> Parameter:
        """Reads one value of the arguments anew for each execution."""
        if not variables_in(*self.node.arguments or ()):
            constant = read(self.values)
            return lambda given: constant
        later = self._later
        return lambda given: read(later(given))

    @cached_property
    def _later(self) -> Callable[[Given], Values]:
        """The values at an execution, coerced and cleaned once for all that read them."""
        coerce, clean = self._coercion(), self.clean

        def later(given: Given) -> Values:
            values = given.known.get(later)
            if values is None:
                values = given.known[later] = clean(coerce(given))
            return values

        return later

    def _coercion(self) -> Callable[[Given], dict[str, Any]]:
        arguments = self.node.arguments or ()
        direct = {a.name.value: a.value.name.value for a in arguments if isinstance(a.value, VariableNode)}
        if variables_in(*(argument for argument in arguments if argument.name.value not in direct)):
            definition, node = self.definition, self.node
            return lambda given: get_argument_values(definition, node, given.variables)
        constants = {name: value for name, value in self.values.items() if name not in direct}
        defaults = {name: coerce_default_value(self.definition.args[name]) for name in direct}
        return _Direct(constants, direct, {n: d for n, d in defaults.items() if d is not Undefined})


@dataclass(frozen=True)
class _Direct:
    """The short way, without graphql-core's coercion: each argument is a constant or a whole variable."""

    constants: Values
    direct: dict[str, str]
    defaults: Values

    def __call__(self, given: Given) -> dict[str, Any]:
        coerced = given.variables.coerced
        values = dict(self.constants)
        for argument, variable in self.direct.items():
            if variable in coerced:
                values[argument] = coerced[variable]
            elif argument in self.defaults:
                values[argument] = self.defaults[argument]
        return values


def variables_in(*nodes: Node) -> set[str]:
    """The names of the variables that stand anywhere in these."""
    found = set()

    class Finder(Visitor):
        def enter_variable(self, node: VariableNode, *_: Any) -> None:
            found.add(node.name.value)

    for node in nodes:
        visit(node, Finder())
    return found


@dataclass(frozen=True)
class Selected:
    """One field of a selection: the key it answers under, its definition, its nodes merged, its arguments."""

    key: str
    name: str
    definition: GraphQLField
    details: list[FieldDetails]
    arguments: Arguments
    path: tuple[str, ...]


@dataclass(frozen=True)
class Fill:
    """A value that Python computes: where it stands, from which keys of its object, to what is answered."""

    path: tuple[str, ...]
    needs: Mapping[str, str]
    compute: Callable[..., Any]


@dataclass(frozen=True)
class Needs:
    """What an object tells for Python alone: where it stands, and under which keys."""

    path: tuple[str, ...]
    keys: Sequence[str]


@dataclass
class Compilation:
    """`restricted` tells whether the statement is for callers who see some projects only, or for those who see all."""

    types: Types
    operation: OperationDefinitionNode
    fragments: dict[str, FragmentDetails]
    variables: VariableValues
    restricted: bool
    parameters: list[Parameter] = field(
        default_factory=lambda: [
            lambda given: given.caller.visible,
            lambda given: given.caller.principal_id,
            lambda given: given.caller.only,
        ]
    )
    fills: list[Fill] = field(default_factory=list)
    needs: list[Needs] = field(default_factory=list)
    # Of the object at hand: what its computed fields need, each expression once, by the key that tells it.
    _needed: dict[str, str] = field(default_factory=dict)
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
            self._require_entry(of.name, name)
            clean = cleaner_of(self.types, of, name, definition)
            values = clean(get_argument_values(definition, node, self.variables))
            arguments = Arguments(definition, node, values, clean)
            selected.append(Selected(key, name, definition, details, arguments, (*path, key)))
        return selected

    def _require_entry(self, of: str, name: str) -> None:
        """Refuse a field that the table of who may see what does not have."""
        is_mutation = self.operation.operation is OperationType.MUTATION and of == "Mutation"
        if not (is_mutation or name.startswith("__") or need_of_field(of, name)):
            raise Forbidden(f"{of}.{name} is not in the table of who may see what, and is refused.")

    def alias(self, table: str) -> str:
        self._aliases += 1
        return f"{table[0]}{self._aliases}"

    def parameter(self, parameter: Parameter) -> str:
        self.parameters.append(parameter)
        return f"${len(self.parameters)}"

    def visible(self, alias: str, table: str) -> str:
        """The rows that the caller may see: every table that a field leads to carries this.

        Except where the database keeps the row in the project of a visible one, by foreign key: where a binding's
        condition is such a key (`scopes`), and in what is only looked up beside a row, such as a name or a tag.
        """
        if not self.restricted:
            return "true"
        return SCOPES.get(table, IN_PROJECT).format(row=alias, **SEEN)

    def object(self, of: BoundType, parent: Selected, alias: str) -> str:
        """The JSON object that answers a selection on one row."""
        return build_object(self._pairs(of, parent, alias))

    def rows(self, of: BoundType, parent: Selected, alias: str, source: str) -> tuple[str, str]:
        """The objects that answer a selection on the rows of a source: each object, and the FROM item it stands in."""
        pairs = self._pairs(of, parent, alias)
        if _fit_a_row(pairs):
            return ROW, f"(SELECT {_columns(pairs)} FROM {source}) {ROW}"
        return f"{ROW}.object", f"(SELECT {build_plain_object(pairs)} AS object FROM {source}) {ROW}"

    def _pairs(self, of: BoundType, parent: Selected, alias: str) -> list[tuple[str, str]]:
        """The fields of a selection on one row by their keys, and behind them what Python needs to compute some."""
        around, self._needed = self._needed, {}
        pairs = [(each.key, self.value(of, each, alias)) for each in self.selection(parent, of.graphql)]
        needed, self._needed = self._needed, around
        if needed:
            self.needs.append(Needs(parent.path, list(needed.values())))
        return pairs + [(key, expression) for expression, key in needed.items()]

    def need(self, expression: str) -> str:
        """The key under which the object at hand tells Python the value of an expression."""
        if expression not in self._needed:
            self._keys += 1
            self._needed[expression] = f"#{self._keys}"
        return self._needed[expression]

    def value(self, of: BoundType, selected: Selected, alias: str) -> str:
        if selected.name == TYPENAME:
            return f"'{of.name}'::text"
        return of.binding(selected.name).sql(self, of, selected, alias)

    def template(self, template: str, selected: Selected, **names: Any) -> str:
        """Fill in aliases, as parameters `{args[name]}`, `{args[a.b]}`, `{payload[name]}`, `{caller[name]}`, and
        `{visible[row table]}` for whether the caller may see a row of a table."""
        arguments = self.parameters_of(lambda name: selected.arguments.reader(lambda values: part_of(values, name)))
        payload = self.parameters_of(lambda name: lambda given: given.payload[name])
        caller = self.parameters_of(lambda name: lambda given: getattr(given.caller, name))
        return template.format(args=arguments, payload=payload, caller=caller, visible=_Visible(self), **names)

    def parameters_of(self, reader: Callable[[str], Parameter]) -> "_Parameters":
        """Parameters by name, each made where a template asks for it."""
        return _Parameters(self, reader)

    def fill(self, selected: Selected, needs: Mapping[str, str], compute: Callable[..., Any]) -> None:
        """Have Python compute a field from expressions, which the object tells beside it."""
        keys = {name: self.need(expression) for name, expression in needs.items()}
        self.fills.append(Fill(selected.path, keys, compute))


def part_of(values: Values, path: str) -> Any:
    """The value at a path such as `orderBy.metric`; null where something on the way is."""
    found: Any = values
    for name in path.split("."):
        found = found.get(name) if found is not None else None
    return found


def bounded(values: Values, name: str, default: int, highest: int) -> int:
    """An argument that must be between 1 and the highest; null asks for the default."""
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


def build_object(pairs: Sequence[tuple[str, str]]) -> str:
    """An object with these keys, as a row that JSON functions write: faster and shorter than json_build_object's."""
    if _fit_a_row(pairs):
        return f"(SELECT {ROW} FROM (SELECT {_columns(pairs)}) {ROW})"
    return build_plain_object(pairs)


def _fit_a_row(pairs: Sequence[tuple[str, str]]) -> bool:
    return len(pairs) <= COLUMNS_AT_ONCE and all(len(key) <= LONGEST_NAME for key, _ in pairs)


def _columns(pairs: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f'{value} AS "{key}"' for key, value in pairs)


def build_plain_object(pairs: Sequence[tuple[str, str]]) -> str:
    """An object of any number of keys of any length, by functions alone: its values may be aggregates of the query."""
    if len(pairs) <= FIELDS_AT_ONCE:
        return f"json_build_object({', '.join(f'{key!r}, {value}' for key, value in pairs)})"
    # Two parts as text, without the braces between them: json has no concatenation that keeps the order.
    head, tail = build_plain_object(pairs[:FIELDS_AT_ONCE]), build_plain_object(pairs[FIELDS_AT_ONCE:])
    return f"(left({head}::text, -1) || ', ' || substr({tail}::text, 2))::json"
