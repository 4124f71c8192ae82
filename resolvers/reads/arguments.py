"""A field's arguments: their values when a plan is compiled, and how they are read again at each execution."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from graphql import FieldNode, GraphQLField, VariableNode
from graphql.execution import get_argument_values
from graphql.execution.values import VariableValues
from graphql.language import Node, Visitor, visit
from graphql.pyutils import Undefined
from graphql.utilities.coerce_input_value import coerce_default_value

from resolvers.callers import Caller
from resolvers.reads.cleaning import CleanAll

Values = Mapping[str, Any]


class Execution(NamedTuple):
    """The sources of a statement's parameters. `known` caches what several parameters share."""

    variables: VariableValues
    caller: Caller
    payload: Values
    known: dict[Any, Values]


Parameter = Callable[[Execution], Any]


@dataclass(frozen=True)
class Arguments:
    """A field's arguments: their current values, which decide the statement's shape, and a way to read them again
    later."""

    definition: GraphQLField
    node: FieldNode
    values: dict[str, Any]
    clean: CleanAll

    def reader(self, read: Callable[[Values], Any]) -> Parameter:
        """Reads one value of the arguments again at each execution."""
        if not variables_in(*self.node.arguments or ()):
            constant = read(self.values)
            return lambda execution: constant
        later = self._later
        return lambda execution: read(later(execution))

    @cached_property
    def _later(self) -> Callable[[Execution], Values]:
        """The values at an execution, coerced and cleaned once for all that read them."""
        coerce, clean = self._coercion(), self.clean

        def later(execution: Execution) -> Values:
            values = execution.known.get(later)
            if values is None:
                values = execution.known[later] = clean(coerce(execution))
            return values

        return later

    def _coercion(self) -> Callable[[Execution], dict[str, Any]]:
        arguments = self.node.arguments or ()
        direct = {a.name.value: a.value.name.value for a in arguments if isinstance(a.value, VariableNode)}
        if variables_in(*(argument for argument in arguments if argument.name.value not in direct)):
            definition, node = self.definition, self.node
            return lambda execution: get_argument_values(definition, node, execution.variables)
        constants = {name: value for name, value in self.values.items() if name not in direct}
        defaults = {name: coerce_default_value(self.definition.args[name]) for name in direct}
        return _Direct(constants, direct, {n: d for n, d in defaults.items() if d is not Undefined})


@dataclass(frozen=True)
class _Direct:
    """The fast path, without graphql-core's coercion: each argument is a constant or a whole variable."""

    constants: Values
    direct: dict[str, str]
    defaults: Values

    def __call__(self, execution: Execution) -> dict[str, Any]:
        coerced = execution.variables.coerced
        values = dict(self.constants)
        for argument, variable in self.direct.items():
            if variable in coerced:
                values[argument] = coerced[variable]
            elif argument in self.defaults:
                values[argument] = self.defaults[argument]
        return values


def variables_in(*nodes: Node) -> set[str]:
    """The names of the variables that are used anywhere in these nodes."""
    names = set()

    class Finder(Visitor):
        def enter_variable(self, node: VariableNode, *_: Any) -> None:
            names.add(node.name.value)

    for node in nodes:
        visit(node, Finder())
    return names
