"""What governance says of a version: whether its approvals still count, and whether it may go on to a stage."""

from dataclasses import dataclass
from typing import Any

from resolvers.reads.bindings import computed, projection
from resolvers.reads.compilation import TYPENAME, Compilation, Selected, build_object
from resolvers.reads.types import BoundType
from resolvers.rules import gates
from resolvers.rules.approvals import Asked, Person, Review, problem
from resolvers.rules.gates import Promotion
from storage.load import promotion_facts, review
from storage.vocabulary import Stage

REVIEW_NEEDS = {"review": review("{t}")}


def is_valid(review: Review) -> bool:
    return problem(review) is None


def invalid_reason(review: Review) -> str | None:
    wrong = problem(review)
    return wrong.sentence if wrong else None


CALLER = """json_build_object('id', {me}, 'email', {email}, 'kind', {kind}, 'role', (
    SELECT m.role FROM members m WHERE m.project_id = {v}.project_id AND m.principal_id = {me}))"""
WOULD_ARCHIVE = "{c}.model_id = {t}.model_id AND {c}.stage = 'PRODUCTION' AND {c}.id <> {t}.id"


@dataclass(frozen=True)
class PromotionDryRun:
    """All gates of the step that the field's argument names, for the caller, and what the step would archive."""

    def sql(self, compilation: Compilation, of: BoundType, selected: Selected, alias: str) -> str:
        check = compilation.types[compilation.types.of(selected.definition).name]
        fields = compilation.selection(selected, check.graphql)
        return build_object([(each.key, self._field(compilation, check, selected, each, alias)) for each in fields])

    def _field(self, compilation: Compilation, check: BoundType, selected: Selected, each: Selected, alias: str) -> str:
        if each.name == TYPENAME:
            return f"'{check.name}'::text"
        if each.name == "wouldArchive":
            return self._archived(compilation, selected, each, alias)
        project = projection(compilation, each)
        mark = compilation.fill(each, lambda needs: project(_answer(each.name, **needs)))
        return computed(mark, list(self._needs(compilation, selected, alias).items()))

    def _needs(self, compilation: Compilation, selected: Selected, alias: str) -> dict[str, str]:
        target = compilation.template("{args[targetStage]}::text", selected)
        caller = {name: f"{{caller[{field}]}}::text" for name, field in CALLER_FIELDS.items()}
        filled = {name: compilation.template(value, selected) for name, value in caller.items()}
        return {
            "promotion": promotion_facts(alias, target),
            "target": target,
            "caller": CALLER.format(v=alias, **filled),
            "may_attest": compilation.template("{caller[may_attest]}::boolean", selected),
        }

    def _archived(self, compilation: Compilation, selected: Selected, each: Selected, alias: str) -> str:
        version = compilation.types[compilation.types.of(each.definition).name]
        row = compilation.alias("versions")
        where = f"{WOULD_ARCHIVE.format(c=row, t=alias)} AND {compilation.visible(row, 'versions')}"
        target = compilation.template("{args[targetStage]}::text", selected)
        item, rows = compilation.rows(version, each, row, f"versions {row} WHERE {where} AND {target} = 'PRODUCTION'")
        return f"(SELECT {item} FROM {rows})"


CALLER_FIELDS = {"me": "principal_id", "email": "actor", "kind": "kind"}


def _answer(field: str, promotion: dict[str, Any], target: str, caller: Person, may_attest: bool) -> Any:
    outcome = gates.outcome(Promotion(**promotion), Stage(target), Asked(caller, may_attest=may_attest))
    return outcome.allowed if field == "allowed" else [gate._asdict() for gate in outcome.gates]
