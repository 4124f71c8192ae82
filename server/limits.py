"""What an operation may cost, judged before it is validated: one pass, each fragment measured once."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
)

from resolvers.errors import QueryTooComplex
from resolvers.reads.paging import DEFAULT_PAGE

MAX_TOKENS = 5_000
MAX_DEPTH = 20
MAX_ALIASES = 100
MAX_ROOT_FIELDS = 50
MAX_DIRECTIVES = 50
MAX_FIELDS = 2_000
MAX_REPEATS = 20
MAX_NODES = 20_000

# Lists that are not paged: how many entries they are counted as.
LIST_SIZES = {"versionChain": 20, "lineage": 20, "nodes": 1, "edges": 1, "metrics": 1, "tags": 1}


@dataclass(frozen=True)
class Measure:
    """What a selection set holds, fragments spelled out."""

    depth: int = 0
    fields: int = 0
    aliases: int = 0
    directives: int = 0

    def __add__(self, other: "Measure") -> "Measure":
        return Measure(
            max(self.depth, other.depth),
            self.fields + other.fields,
            self.aliases + other.aliases,
            self.directives + other.directives,
        )


@dataclass
class _Pass:
    fragments: Mapping[str, FragmentDefinitionNode]
    measured: dict[str, Measure] = field(default_factory=dict)

    def selections(self, selection_set: SelectionSetNode | None, depth: int = 0) -> Measure:
        if selection_set is None:
            return Measure()
        if depth > MAX_DEPTH:
            raise too_much("nesting", depth, MAX_DEPTH)
        _refuse_repeats(selection_set)
        total = Measure()
        for selection in selection_set.selections:
            total += self.selection(selection, depth)
        return total

    def selection(self, node: SelectionNode, depth: int) -> Measure:
        own = Measure(directives=len(node.directives or ()))
        if isinstance(node, FragmentSpreadNode):
            return own + self.fragment(node.name.value)
        inner = self.selections(node.selection_set, depth + 1)  # type: ignore[attr-defined]
        if isinstance(node, FieldNode):
            return own + Measure(inner.depth + 1, inner.fields + 1, inner.aliases + bool(node.alias), inner.directives)
        return own + inner

    def fragment(self, name: str) -> Measure:
        if name not in self.measured:
            # Nothing while it is being measured: validation refuses cycles by itself.
            self.measured[name] = Measure()
            fragment = self.fragments.get(name)
            self.measured[name] = self.selections(fragment.selection_set) if fragment else Measure()
        return self.measured[name]


def _refuse_repeats(selection_set: SelectionSetNode) -> None:
    nodes = [node for node in selection_set.selections if isinstance(node, FieldNode)]
    if len(nodes) > MAX_REPEATS:
        keys = Counter((node.alias or node.name).value for node in nodes)
        key, times = keys.most_common(1)[0]
        if times > MAX_REPEATS:
            raise too_much(f"repetitions of the field {key}", times, MAX_REPEATS)


def too_much(what: str, found: int, most: int) -> QueryTooComplex:
    return QueryTooComplex(
        f"The operation has too much {what}: {found} where {most} is the limit. Ask for less, or in several requests.",
        found=found,
        limit=most,
    )


def check_document(document: DocumentNode) -> None:
    """Refuse what would cost too much to validate or to run, before either begins."""
    fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
    measuring = _Pass(fragments)
    for fragment in fragments:
        _refuse(measuring.fragment(fragment))
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            _refuse(measuring.selections(definition.selection_set))
            if len(definition.selection_set.selections) > MAX_ROOT_FIELDS:
                raise too_much("root fields", len(definition.selection_set.selections), MAX_ROOT_FIELDS)


def _refuse(measure: Measure) -> None:
    for what, found, most in (
        ("depth", measure.depth, MAX_DEPTH),
        ("aliases", measure.aliases, MAX_ALIASES),
        ("directives", measure.directives, MAX_DIRECTIVES),
        ("fields", measure.fields, MAX_FIELDS),
    ):
        if found > most:
            raise too_much(what, found, most)


Estimate = Callable[[Mapping[str, Any]], int]


def estimate_of(operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]) -> Estimate:
    """How many objects the operation may answer, given its variables: pages multiply downwards."""
    sized_by: set[str] = set()
    total = _objects(operation.selection_set, fragments, sized_by)
    if sized_by:
        return total
    constant = total({})
    return lambda values: constant


def _objects(
    selection_set: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode], sized_by: set[str]
) -> Estimate:
    parts: list[Estimate] = []
    for node in selection_set.selections:
        if isinstance(node, FragmentSpreadNode):
            fragment = fragments[node.name.value]
            parts.append(_objects(fragment.selection_set, fragments, sized_by))
        elif inner := node.selection_set:  # type: ignore[attr-defined]
            below = _objects(inner, fragments, sized_by)
            parts.append(_times(_size(node, sized_by), below) if isinstance(node, FieldNode) else below)
    return lambda values: 1 + sum(part(values) for part in parts)


def _times(size: Estimate, below: Estimate) -> Estimate:
    return lambda values: size(values) * below(values)


def _size(node: FieldNode, sized_by: set[str]) -> Estimate:
    """How many entries a field may answer."""
    for argument in node.arguments or ():
        if argument.name.value in ("first", "last", "ids"):
            value = argument.value
            if isinstance(value, IntValueNode):
                constant = min(int(value.value), 1000)
                return lambda values: constant
            if isinstance(value, VariableNode):
                name = value.name.value
                sized_by.add(name)
                return lambda values: _count(values.get(name))
    constant = LIST_SIZES.get(node.name.value, 1)
    if node.selection_set and _is_page(node):
        constant = DEFAULT_PAGE
    return lambda values: constant


def _is_page(node: FieldNode) -> bool:
    """A connection selects its nodes or edges."""
    assert node.selection_set is not None
    names = {s.name.value for s in node.selection_set.selections if isinstance(s, FieldNode)}
    return bool(names & {"nodes", "edges"}) and node.name.value != "lineage"


def _count(value: Any) -> int:
    if isinstance(value, int):
        return max(0, min(value, 1000))
    return len(value) if isinstance(value, list) else DEFAULT_PAGE


def refuse_objects(estimate: int) -> None:
    if estimate > MAX_NODES:
        raise too_much("objects, counting full pages within pages,", estimate, MAX_NODES)
