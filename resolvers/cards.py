from collections.abc import Mapping
from typing import Any

from resolvers.errors import Conflict
from resolvers.rules.cards import SECTIONS, changed_sections
from resolvers.rules.semver import Number
from resolvers.transaction import Transaction
from resolvers.versions import touch, version_of
from storage import load
from storage.cards import CardEdit, keep_edit


async def update_model_card(
    tx: Transaction,
    *,
    model_id: str,
    version: Number,
    model_card: Mapping[str, Any],
    expected_revision: int | None = None,
) -> dict[str, str]:
    project_id, found = await version_of(tx, model_id, version)
    before = await load.card(tx.session, found["id"])
    if expected_revision is not None and expected_revision != before["revision"]:
        raise Conflict(
            f"The card is at revision {before['revision']}, not at {expected_revision} as expectedRevision says; read"
            " it again, so that nobody's words are lost.",
            current=before["revision"],
            expected=expected_revision,
        )
    sections = {name: model_card.get(name, before[name]) for name in SECTIONS}
    changed = changed_sections(before, sections)
    if changed:
        edit = CardEdit(project_id, found["id"], before["revision"] + 1, tx.caller.actor, sections, changed)
        await keep_edit(tx.session, edit)
        await touch(tx, found["id"])
        change = {
            "before": {"revision": before["revision"], **_only(before, changed)},
            "after": {"revision": before["revision"] + 1, **_only(sections, changed)},
        }
        await tx.record("card.updated", found["id"], project_id, chain=model_id, **change)
    return {"version_id": found["id"]}


def _only(card: Mapping[str, Any], changed: list[str]) -> dict[str, Any]:
    return {shown: card[name] for name, shown in SECTIONS.items() if shown in changed}
