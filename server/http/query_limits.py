"""The limits of an operation, checked before it is validated. One pass measures each fragment once."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
)

from resolvers.errors import QueryTooComplex

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
MAX_VALUES = 50_000
# Above the limit of any input, whose own refusal says more.
MAX_LIST = 6_000
FEW = 20
HOLDERS = (list, dict)
# What each limit counts: the stable key in the extensions of a refusal, and its words in the sentence.
COUNTED = {
    "aliasCharacters": "characters in one alias",
    "aliases": "aliases",
    "characters": "characters",
    "definitions": "definitions",
    "depth": "levels of fields and fragments",
    "directives": "directives",
    "introspectedFields": "introspected fields",
    "listEntries": "entries in one list",
    "operations": "operations",
    "repetitions": "repetitions of one field",
    "rootFields": "root fields",
    "selections": "selections including those of fragments",
    "variableCharacters": "characters in one text or name of its variables",
    "variableValues": "values in its variables",
}


def too_much(what: str, amount: int, most: int, path: str = "", repeated: str = "") -> QueryTooComplex:
    """The refusal of a request that exceeds a limit. `what` is a key of COUNTED."""
    # Nested fragments reach numbers that JSON cannot represent.
    amount = min(amount, 10**15)
    path = shortened(path)
    where = f"Most are in {path}; request less there" if path else "Request less"
    counted = f"repetitions of the field {repeated}" if repeated else COUNTED[what]
    sentence = f"The operation has {amount} {counted}; the limit is {most}. {where}, or split the operation."
    costliest = {"costliest": {"path": path, "cost": amount}} if path else {}
    return QueryTooComplex(sentence, what=what, found=amount, limit=most, **costliest)


def shortened(path: str, longest: int = 200) -> str:
    """The beginning of a path, cut at a name."""
    return path if len(path) <= longest else path[:longest].rpartition(".")[0] + "..."


def within(what: str, amount: int, most: int) -> None:
    if amount > most:
        raise too_much(what, amount, most)


class _Over(Exception):
    """A limit that a selection exceeds. `path` grows upwards to the root of the operation."""

    def __init__(self, what: str, amount: int, most: int, repeated: str = ""):
        super().__init__(what)
        self.what, self.amount, self.most, self.repeated = what, amount, most, repeated
        self.path: list[str] = []

    def refusal(self) -> QueryTooComplex:
        return too_much(self.what, self.amount, self.most, ".".join(self.path), self.repeated)


class Measure(NamedTuple):
    """The counts of a selection set, with fragments expanded."""

    depth: int = 0
    roots: int = 0
    selections: int = 0
    aliases: int = 0
    directives: int = 0


LIMITS = {"depth": MAX_DEPTH, "selections": MAX_SELECTIONS, "aliases": MAX_ALIASES, "directives": MAX_DIRECTIVES}


def _sum(parts: list[Measure]) -> Measure:
    if not parts:
        return Measure()
    depths, *others = zip(*parts, strict=True)
    return Measure(max(depths), *map(sum, others))


@dataclass
class _Pass:
    fragments: Mapping[str, FragmentDefinitionNode]
    measured: dict[str, Measure] = field(default_factory=dict)

    def check(self, measure: Measure, selection_set: SelectionSetNode) -> None:
        """Refuse a selection that exceeds a limit, and name the field with the largest part."""
        for name, most in LIMITS.items():
            amount = getattr(measure, name)
            if amount > most:
                over = _Over(name, amount, most)
                over.path = self._most_of(name, selection_set)
                raise over

    def _most_of(self, name: str, selection_set: SelectionSetNode) -> list[str]:
        """The deepest field with at least half of the count of this name."""
        path: list[str] = []
        whole = getattr(self.selections(selection_set), name)
        for _ in range(MAX_DEPTH):
            shares = [(getattr(self.selection(node, 1), name), node) for node in selection_set.selections]
            share, node = max(shares, key=lambda each: each[0], default=(0, None))
            if node is None or 2 * share < whole:
                break
            if isinstance(node, FieldNode):
                path.append((node.alias or node.name).value)
            definition: Any = self.fragments.get(node.name.value) if isinstance(node, FragmentSpreadNode) else node
            if definition is None or definition.selection_set is None:
                break
            selection_set = definition.selection_set
        return path

    def selections(self, selection_set: SelectionSetNode, level: int = 1) -> Measure:
        # Here and not only afterwards: deeper levels must not be walked.
        if level > MAX_DEPTH:
            raise _Over("depth", level, MAX_DEPTH)
        _refuse_repeats(selection_set)
        return _sum([self.selection(node, level) for node in selection_set.selections])

    def selection(self, node: SelectionNode, level: int) -> Measure:
        try:
            inner = self._below(node, level)
        except _Over as over:
            if isinstance(node, FieldNode):
                over.path.insert(0, (node.alias or node.name).value)
            raise
        depth, roots, selections, aliases, directives = inner
        directives += _directives(node)
        if isinstance(node, FieldNode):
            # The response repeats the alias for every object.
            within("aliasCharacters", len(node.alias.value) if node.alias else 0, MAX_ALIAS)
            return Measure(depth + 1, 1, selections + 1, aliases + bool(node.alias), directives)
        return Measure(depth + 1, roots, selections + 1, aliases, directives)

    def _below(self, node: SelectionNode, level: int) -> Measure:
        if isinstance(node, FragmentSpreadNode):
            return self.fragment(node.name.value, level + 1)
        below = node.selection_set  # type: ignore[attr-defined]
        return self.selections(below, level + 1) if below else Measure()

    def fragment(self, name: str, level: int = 1) -> Measure:
        if name not in self.measured:
            # Empty while it is being measured: validation refuses cycles.
            self.measured[name] = Measure()
            fragment = self.fragments.get(name)
            if fragment:
                self.measured[name] = self.selections(fragment.selection_set, level)
        return self.measured[name]


def _refuse_repeats(selection_set: SelectionSetNode) -> None:
    if len(selection_set.selections) > MAX_REPEATS:
        fields = [node for node in selection_set.selections if isinstance(node, FieldNode)]
        for key, times in Counter((node.alias or node.name).value for node in fields).most_common(1):
            if times > MAX_REPEATS:
                raise _Over("repetitions", times, MAX_REPEATS, key[:100])


def _directives(node: Any) -> int:
    return len(node.directives or ())


def check_text(text: str) -> None:
    within("characters", len(text), MAX_CHARACTERS)


def check_document(document: DocumentNode) -> None:
    """Refuse a document that would cost too much to validate or run, before either begins."""
    within("definitions", len(document.definitions), MAX_DEFINITIONS)
    try:
        _check_definitions(document)
    except _Over as over:
        raise over.refusal() from None


def _check_definitions(document: DocumentNode) -> None:
    fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
    measuring = _Pass(fragments)
    for name, fragment in fragments.items():
        measuring.check(measuring.fragment(name), fragment.selection_set)
        within("directives", _directives(fragment), MAX_DIRECTIVES)
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    within("operations", len(operations), MAX_OPERATIONS)
    for operation in operations:
        measure = measuring.selections(operation.selection_set)
        measuring.check(measure, operation.selection_set)
        within("rootFields", measure.roots, MAX_ROOT_FIELDS)
        variables = operation.variable_definitions or ()
        within("directives", sum(map(_directives, [operation, *variables])), MAX_DIRECTIVES)


def check_variables(variables: Mapping[str, Any]) -> None:
    """Refuse values that would take long to coerce or clean."""
    if len(variables) <= FEW and all(map(_is_small, variables.values())):
        return
    waiting: list[Any] = [variables]
    values = 0
    while waiting:
        value = waiting.pop()
        values += len(value)
        if values > MAX_VALUES:
            raise too_much("variableValues", values, MAX_VALUES)
        if isinstance(value, list):
            within("listEntries", len(value), MAX_LIST)
        else:
            value = [*value, *value.values()]
        for each in value:
            if isinstance(each, HOLDERS):
                waiting.append(each)
            elif isinstance(each, str) and len(each) > MAX_CHARACTERS:
                raise too_much("variableCharacters", len(each), MAX_CHARACTERS)


def _is_small(value: Any) -> bool:
    return len(value) <= MAX_CHARACTERS if isinstance(value, str) else not isinstance(value, HOLDERS)
