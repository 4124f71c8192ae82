from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from resolvers.errors import Conflict
from resolvers.rules.cards import SECTIONS, changed_sections
from resolvers.rules.semver import Number
from resolvers.transaction import Transaction
from resolvers.versions import locked_version, touch
from storage import cards
from storage.cards import CardEdit, keep_edit


async def update_model_card(
    tx: Transaction,
    *,
    model_id: str,
    version: Number,
    model_card: Mapping[str, Any],
    expected_revision: int | None = None,
) -> dict[str, str]:
    row = await locked_version(tx, model_id, version)
    card = await cards.card(tx.session, row.id)
    before = asdict(card)
    if expected_revision is not None and expected_revision != card.revision:
        raise Conflict(
            f"expectedRevision is {expected_revision}; the model card is at revision {card.revision}. Read it again, so"
            " that no edit is lost.",
            current=card.revision,
            expected=expected_revision,
        )
    sections = {name: model_card.get(name, before[name]) for name in SECTIONS}
    changed = changed_sections(before, sections)
    if changed:
        edit = CardEdit(row.project_id, row.id, card.revision + 1, tx.caller.actor, sections, changed)
        await keep_edit(tx.session, edit)
        await touch(tx, row.id)
        change = {
            "before": {"revision": card.revision, **_only(before, changed)},
            "after": {"revision": card.revision + 1, **_only(sections, changed)},
        }
        await tx.record("card.updated", row.id, row.project_id, chain=model_id, **change)
    return {"version_id": row.id}


def _only(card: Mapping[str, Any], changed: list[str]) -> dict[str, Any]:
    return {shown: card[name] for name, shown in SECTIONS.items() if shown in changed}
