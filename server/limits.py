"""What an operation may cost, judged before it is validated: one pass, each fragment measured once."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLNamedType,
    GraphQLSchema,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_list_type,
)
from graphql.utilities.coerce_input_value import coerce_default_value

from resolvers.errors import QueryTooComplex
from resolvers.reads.paging import DEFAULT_PAGE

MAX_CHARACTERS = 100_000
MAX_TOKENS = 3_000
MAX_OPERATIONS = 10
MAX_DEFINITIONS = 100
MAX_DEPTH = 30
MAX_ALIASES = 100
MAX_ALIAS = 500
MAX_ROOT_FIELDS = 50
MAX_DIRECTIVES = 50
MAX_SELECTIONS = 2_000
MAX_REPEATS = 20
MAX_OBJECTS = 20_000
# GraphiQL's introspection of today's schema takes 10,500.
MAX_INTROSPECTED = 20_000
MAX_VALUES = 50_000
# Above what any input takes, whose own sentence says more.
MAX_LIST = 6_000
FEW = 20
HOLDERS = (list, dict)


def too_much(what: str, found: int, most: int) -> QueryTooComplex:
    # Fragments within fragments reach numbers that JSON has no room for.
    found = min(found, 10**15)
    sentence = f"The operation has {found} {what} where {most} is the limit; ask for less, or in several requests."
    return QueryTooComplex(sentence, what=what, found=found, limit=most)


def within(what: str, found: int, most: int) -> None:
    if found > most:
        raise too_much(what, found, most)


class Measure(NamedTuple):
    """What a selection set holds, fragments spelled out."""

    depth: int = 0
    roots: int = 0
    selections: int = 0
    aliases: int = 0
    directives: int = 0

    def check(self) -> None:
        within("levels of fields and fragments", self.depth, MAX_DEPTH)
        within("selections, fragments spelled out,", self.selections, MAX_SELECTIONS)
        within("aliases", self.aliases, MAX_ALIASES)
        within("directives", self.directives, MAX_DIRECTIVES)


def _sum(parts: list[Measure]) -> Measure:
    if not parts:
        return Measure()
    depths, *others = zip(*parts, strict=True)
    return Measure(max(depths), *map(sum, others))


@dataclass
class _Pass:
    fragments: Mapping[str, FragmentDefinitionNode]
    measured: dict[str, Measure] = field(default_factory=dict)

    def selections(self, selection_set: SelectionSetNode, level: int = 1) -> Measure:
        # Here and not only afterwards: what is nested deeper must not be walked.
        within("levels of fields and fragments", level, MAX_DEPTH)
        _refuse_repeats(selection_set)
        return _sum([self.selection(node, level) for node in selection_set.selections])

    def selection(self, node: SelectionNode, level: int) -> Measure:
        if isinstance(node, FragmentSpreadNode):
            inner = self.fragment(node.name.value, level + 1)
        else:
            below = node.selection_set  # type: ignore[attr-defined]
            inner = self.selections(below, level + 1) if below else Measure()
        depth, roots, selections, aliases, directives = inner
        directives += _directives(node)
        if isinstance(node, FieldNode):
            # It stands in the answer as often as there are objects.
            within("characters in one alias", len(node.alias.value) if node.alias else 0, MAX_ALIAS)
            return Measure(depth + 1, 1, selections + 1, aliases + bool(node.alias), directives)
        return Measure(depth + 1, roots, selections + 1, aliases, directives)

    def fragment(self, name: str, level: int = 1) -> Measure:
        if name not in self.measured:
            # Nothing while it is being measured: validation refuses cycles by itself.
            self.measured[name] = Measure()
            fragment = self.fragments.get(name)
            if fragment:
                self.measured[name] = self.selections(fragment.selection_set, level)
        return self.measured[name]


def _refuse_repeats(selection_set: SelectionSetNode) -> None:
    if len(selection_set.selections) > MAX_REPEATS:
        fields = [node for node in selection_set.selections if isinstance(node, FieldNode)]
        for key, times in Counter((node.alias or node.name).value for node in fields).most_common(1):
            within(f"repetitions of the field {key[:100]}", times, MAX_REPEATS)


def _directives(node: Any) -> int:
    return len(node.directives or ())


def check_text(text: str) -> None:
    within("characters", len(text), MAX_CHARACTERS)


def check_document(document: DocumentNode) -> None:
    """Refuse what would cost too much to validate or to run, before either begins."""
    within("definitions", len(document.definitions), MAX_DEFINITIONS)
    fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
    measuring = _Pass(fragments)
    for name, fragment in fragments.items():
        measuring.fragment(name).check()
        within("directives", _directives(fragment), MAX_DIRECTIVES)
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    within("operations", len(operations), MAX_OPERATIONS)
    for operation in operations:
        measure = measuring.selections(operation.selection_set)
        measure.check()
        within("root fields", measure.roots, MAX_ROOT_FIELDS)
        variables = operation.variable_definitions or ()
        within("directives", sum(map(_directives, [operation, *variables])), MAX_DIRECTIVES)


def check_variables(variables: Mapping[str, Any]) -> None:
    """Refuse values that would take long to coerce or to clean."""
    if len(variables) <= FEW and all(map(_is_small, variables.values())):
        return
    waiting: list[Any] = [variables]
    values = 0
    while waiting:
        value = waiting.pop()
        values += len(value)
        if values > MAX_VALUES:
            raise too_much("values in its variables", values, MAX_VALUES)
        if isinstance(value, list):
            within("entries in one list", len(value), MAX_LIST)
        else:
            value = [*value, *value.values()]
        for each in value:
            if isinstance(each, HOLDERS):
                waiting.append(each)
            elif isinstance(each, str) and len(each) > MAX_CHARACTERS:
                raise too_much("characters in one text or name of its variables", len(each), MAX_CHARACTERS)


def _is_small(value: Any) -> bool:
    return len(value) <= MAX_CHARACTERS if isinstance(value, str) else not isinstance(value, HOLDERS)


Estimate = Callable[[Mapping[str, Any]], int]
# A number where no variable has a say in it.
Count = int | Estimate

# Lists without pages: how many entries they are counted as. Those not named here are short by nature.
SHORT_LIST = 5
LIST_SIZES = {
    "LineageGraph.nodes": 500,
    "LineageGraph.edges": 500,
    "CompleteExperimentPayload.versions": 100,
    "VersionComparison.versions": 10,
    "VersionComparison.datasets": 10,
    "Impact.production": 20,
    "Impact.models": 20,
    "Impact.deployments": 20,
    "Deployment.events": 20,
}
# What one object takes that is computed from whatever many rows: all hashes of a chain, all that comes from something.
WEIGHTS = {
    "Query.auditIntegrity": 1_000,
    "DatasetVersion.impact": 100,
    "Experiment.impact": 100,
    "ModelVersion.impact": 100,
}
MAX_PAGE = 1_000


def estimate_of(
    schema: GraphQLSchema, operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> Estimate:
    """How many objects a valid operation may answer, given its variables: pages multiply downwards."""
    root = schema.get_root_type(operation.operation)
    assert root is not None
    total = _Estimator(schema, fragments).objects(operation.selection_set, root)
    return (lambda values: total) if isinstance(total, int) else total


@dataclass
class _Estimator:
    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]

    def objects(self, selection_set: SelectionSetNode, of: GraphQLNamedType) -> Count:
        return _plus([self.selected(node, of) for node in selection_set.selections])

    def selected(self, node: SelectionNode, of: GraphQLNamedType) -> Count:
        if isinstance(node, FieldNode):
            return self.field(node, of)
        fragment: Any = self.fragments[node.name.value] if isinstance(node, FragmentSpreadNode) else node
        condition = fragment.type_condition
        return self.objects(fragment.selection_set, self.schema.type_map[condition.name.value] if condition else of)

    def field(self, node: FieldNode, of: GraphQLNamedType) -> Count:
        # Introspection has a budget of its own.
        if node.selection_set is None or node.name.value.startswith("__"):
            return 0
        definition = self.schema.get_field(of, node.name.value)  # type: ignore[arg-type]
        assert definition is not None
        inner = self.objects(node.selection_set, get_named_type(definition.type))
        weight = WEIGHTS.get(f"{of.name}.{node.name.value}", 1)
        return _times(_size(node, definition, of), _plus([weight, inner]))


def _plus(counts: list[Count]) -> Count:
    constant = sum(count for count in counts if isinstance(count, int))
    varying = [count for count in counts if not isinstance(count, int)]
    if not varying:
        return constant
    return lambda values: constant + sum([count(values) for count in varying])


def _times(size: Count, below: Count) -> Count:
    if isinstance(size, int):
        if isinstance(below, int):
            return size * below
        return lambda values: size * below(values)
    if isinstance(below, int):
        return lambda values: size(values) * below
    return lambda values: size(values) * below(values)


def _size(node: FieldNode, definition: GraphQLField, of: GraphQLNamedType) -> Count:
    """How many entries a field may answer: the most that any of its arguments asks for."""
    default = _default_size(node.name.value, definition, of)
    asked = [a.value for a in node.arguments or () if a.name.value in ("first", "last", "ids")]
    variables = [value.name.value for value in asked if isinstance(value, VariableNode)]
    constants = list(_constants(asked))
    if not variables:
        return max(constants, default=default)

    def size(values: Mapping[str, Any]) -> int:
        given = [_count(values[name]) for name in variables if values.get(name) is not None]
        return max([*constants, *given], default=default)

    return size


def _constants(asked: Iterable[ValueNode]) -> Iterable[int]:
    for value in asked:
        if isinstance(value, IntValueNode):
            yield _count(int(value.value))
        elif isinstance(value, ListValueNode):
            yield len(value.values)
        elif not isinstance(value, VariableNode | NullValueNode):
            yield 1


def _default_size(name: str, definition: GraphQLField, of: GraphQLNamedType) -> int:
    if "first" in definition.args:
        default = coerce_default_value(definition.args["first"])
        return default if isinstance(default, int) else DEFAULT_PAGE
    # A connection has been counted as its page.
    if not is_list_type(get_nullable_type(definition.type)) or of.name.endswith("Connection"):
        return 1
    return LIST_SIZES.get(f"{of.name}.{name}", SHORT_LIST)


def _count(value: Any) -> int:
    return max(1, min(value, MAX_PAGE)) if isinstance(value, int) else len(value)


def check_objects(estimate: int) -> None:
    within("objects, counting full pages within pages,", estimate, MAX_OBJECTS)
