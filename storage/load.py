"""What mutations load before they decide.

Look-ups by an id that a caller gave take `who` asks: what the caller may not see is not found, and what is found comes
with the caller's role in its project.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

Row = Mapping[str, Any]
# `me` the principal, `only` the one project that its key reaches; `everything` is for who is no principal, such as a
# command: what a principal may is asked of the database.
Who = Mapping[str, Any]

ROLE = """(CASE WHEN CAST(:only AS text) <> {project} THEN NULL WHEN CAST(:everything AS boolean) THEN 'ADMIN' ELSE (
    SELECT CASE WHEN p.administers THEN 'ADMIN' ELSE m.role END FROM principals p
    LEFT JOIN members m ON m.principal_id = p.id AND m.project_id = {project} WHERE p.id = CAST(:me AS text)) END)"""
ADMINISTERS = """(CAST(:everything AS boolean) OR CAST(:only AS text) IS NULL
    AND EXISTS (SELECT FROM principals me WHERE me.id = CAST(:me AS text) AND me.administers))"""
STORAGE = Path(__file__).parent
FACTS = (STORAGE / "facts.sql").read_text()
REVIEWED = (STORAGE / "reviewed.sql").read_text()
REVIEW = (STORAGE / "review.sql").read_text()
PROMOTION = (STORAGE / "promotion.sql").read_text()
CARD_FACTS = (STORAGE / "card.sql").read_text()
VERSION_FACTS = "json_build_object('model', {v}.model_id, 'number', {v}.number, 'facts', " + FACTS + ")"


def request_status(request: str) -> str:
    """What became of the request in the row of this name, by now."""
    over = f"{request}.status = 'OPEN' AND {request}.expires_at <= clock_timestamp()"
    return f"CASE WHEN {over} THEN 'EXPIRED' ELSE {request}.status END"


def reviewer_left(policy: str) -> str:
    """Whether somebody has lost the role of a reviewer lately, for the policy of this name: within the cooling time, a
    day at least. Those who are left do not count as alone, so that nobody becomes so by removing the others."""
    until = f"{policy}.reviewer_left_at + make_interval(secs => greatest({policy}.loosening_hours, 24) * 3600)"
    return f"coalesce({until} > clock_timestamp(), false)"


def reviewed(version: str) -> str:
    """All that a review of the version of this name shows, as JSON."""
    return REVIEWED.format(v=version)


def review(approval: str) -> str:
    """A recorded decision beside what holds now, as JSON, for the row of this name."""
    return REVIEW.format(
        a=approval, reviewed_now=reviewed("v"), request_status=request_status("r"), reviewer_left=reviewer_left("y")
    )


def promotion_facts(version: str, target: str) -> str:
    """All that the gates look at, as JSON, for the version of this name and an expression for the target stage."""
    parent = f"(SELECT {VERSION_FACTS.format(v='f')} FROM versions f WHERE f.id = {version}.parent_id)"
    return PROMOTION.format(
        v=version,
        target=target,
        review=review("a"),
        reviewed=reviewed(version),
        reviewer_left=reviewer_left("y"),
        parent=parent,
        child=VERSION_FACTS.format(v=version),
    )


def role_in(table: str, column: str = "project_id") -> str:
    """The caller's role in the project of a row. Qualified: an inner table has columns of these names too."""
    return ROLE.format(project=f"{table}.{column}")


async def one(session: AsyncSession, statement: str, **values: Any) -> Row | None:
    row = (await session.execute(text(statement), values)).mappings().one_or_none()
    return None if row is None else dict(row)


async def project(session: AsyncSession, id_: str, who: Who) -> Row | None:
    role = role_in("projects", "id")
    statement = f"SELECT id, {role} AS role FROM projects WHERE id = :id AND {role} IS NOT NULL"
    return await one(session, statement, id=id_, **who)


async def projects(session: AsyncSession, ids: Sequence[str], who: Who) -> dict[str, Row]:
    """The caller's role in each of these projects that it sees."""
    role = role_in("projects", "id")
    statement = f"SELECT id, {role} AS role FROM projects WHERE id = ANY (CAST(:ids AS text[])) AND {role} IS NOT NULL"
    rows = (await session.execute(text(statement), {"ids": list(ids), **who})).mappings()
    return {row["id"]: dict(row) for row in rows}


async def lock_policy(session: AsyncSession, project_id: str, share: bool = False) -> Row:
    """A project's policy; members, tags, policy and data status do not change until the transaction ends. Who only
    reads them shares the lock."""
    lock = "SHARE" if share else "NO KEY UPDATE"
    row = await one(
        session,
        f"SELECT *, clock_timestamp() AS now FROM project_policies WHERE project_id = :id FOR {lock}",
        id=project_id,
    )
    assert row is not None, f"{project_id} has no policy"
    return row


async def policy(session: AsyncSession, project_id: str) -> dict[str, Any]:
    """A project's policy as the audit log tells of it."""
    facts = "to_jsonb(y) - ARRAY['project_id', 'reviewer_left_at']"
    statement = f"SELECT {facts} AS policy FROM project_policies y WHERE project_id = :id"
    row = await one(session, statement, id=project_id)
    assert row is not None, f"{project_id} has no policy"
    return dict(row["policy"])


async def registration_rules(session: AsyncSession, project_id: str) -> Row:
    """How a project takes numbers and tags: the modes, its tags with whether each is deprecated, their aliases."""
    row = await one(session, REGISTRATION_RULES, id=project_id)
    assert row is not None, f"{project_id} has no policy"
    return row


REGISTRATION_RULES = """
SELECT y.semver, y.tags,
    (SELECT coalesce(json_object_agg(t.name, t.deprecated), '{}') FROM tag_definitions t WHERE t.project_id = :id)
        AS deprecated,
    (SELECT coalesce(json_object_agg(a.alias, a.name), '{}') FROM tag_aliases a WHERE a.project_id = :id) AS aliases
FROM project_policies y WHERE y.project_id = :id
"""


async def lock_models(session: AsyncSession, ids: Sequence[str], who: Who) -> dict[str, Row]:
    """Models by id, locked in id order until the transaction ends; without those that there are not."""
    role = role_in("models")
    statement = (
        f"SELECT id, project_id, {role} AS role FROM models WHERE id = ANY (CAST(:ids AS text[]))"
        f" AND {role} IS NOT NULL ORDER BY id FOR NO KEY UPDATE"
    )
    rows = (await session.execute(text(statement), {"ids": list(ids), **who})).mappings()
    return {row["id"]: dict(row) for row in rows}


async def version_in_model(session: AsyncSession, model_id: str, number: Sequence[int]) -> Row | None:
    """A version of a locked model, which is in production, and the open requests of both."""
    return await one(session, VERSION_IN_MODEL, model_id=model_id, number=list(number))


VERSION_IN_MODEL = """
SELECT v.id, v.model_id, v.number, v.stage, v.stage_position, v.created_by, v.description, p.id AS production_id,
    (SELECT coalesce(array_agg(g.tag), '{}') FROM tags g WHERE g.version_id = v.id) AS tags,
    (SELECT coalesce(json_agg(json_build_object('id', q.id, 'version', q.version_id, 'target', q.target_stage,
            'is_over', q.expires_at <= clock_timestamp())), '[]')
        FROM transition_requests q WHERE q.version_id IN (v.id, p.id) AND q.status = 'OPEN') AS requests
FROM versions v
LEFT JOIN versions p ON p.model_id = v.model_id AND p.stage = 'PRODUCTION'
WHERE v.model_id = :model_id AND v.number = CAST(:number AS int[])
"""


async def promotion(session: AsyncSession, version_id: str, target: str) -> Row:
    facts = promotion_facts("promoted", "CAST(:target AS text)")
    row = await one(
        session, f"SELECT {facts} AS facts FROM versions promoted WHERE promoted.id = :id", id=version_id, target=target
    )
    assert row is not None
    return dict(row["facts"])


async def productive(session: AsyncSession, model_id: str) -> list[Row]:
    """The versions of a model that have been in production, the last first, each once."""
    rows = await session.execute(text(PRODUCTIVE), {"model_id": model_id})
    return [dict(row) for row in rows.mappings()]


PRODUCTIVE = """
SELECT v.id, v.number, v.stage, v.stage_position, max(s.position) AS position
FROM stage_transitions s JOIN versions v ON v.id = s.version_id
WHERE s.model_id = :model_id AND s.to_stage = 'PRODUCTION'
GROUP BY v.id ORDER BY max(s.position) DESC
"""


async def parent_by_number(session: AsyncSession, model_id: str, number: Sequence[int]) -> Row | None:
    return await one(session, _parent("v.number = CAST(:number AS int[])"), model_id=model_id, number=list(number))


async def highest_below(session: AsyncSession, model_id: str, number: Sequence[int] | None) -> Row | None:
    """The highest version of a model, below a number if one is given, with its facts."""
    below = "(CAST(:number AS int[]) IS NULL OR v.number < CAST(:number AS int[])) ORDER BY v.number DESC LIMIT 1"
    return await one(session, _parent(below), model_id=model_id, number=list(number) if number else None)


async def parent_by_id(session: AsyncSession, project_id: str, id_: str) -> Row | None:
    statement = f"SELECT v.id, v.model_id, v.number, {FACTS.format(v='v')} AS facts FROM versions v"
    return await one(
        session,
        # Shared, so that retention does not archive it meanwhile.
        f"{statement} WHERE v.project_id = :project_id AND v.id = :id FOR SHARE",
        project_id=project_id,
        id=id_,
    )


def _parent(condition: str) -> str:
    facts = f"v.id, v.model_id, v.number, {FACTS.format(v='v')} AS facts"
    return f"SELECT {facts} FROM versions v WHERE v.model_id = :model_id AND {condition}"


async def highest_between(
    session: AsyncSession, model_id: str, low: Sequence[int], high: Sequence[int]
) -> Sequence[int] | None:
    """The highest number of a model that is at least `low` and below `high`."""
    statement = (
        "SELECT number FROM versions WHERE model_id = :model_id"
        " AND number >= CAST(:low AS int[]) AND number < CAST(:high AS int[]) ORDER BY number DESC LIMIT 1"
    )
    row = await one(session, statement, model_id=model_id, low=list(low), high=list(high))
    return row["number"] if row else None


async def lock_experiment(session: AsyncSession, id_: str, who: Who) -> Row | None:
    role = role_in("experiments")
    facts = "id, project_id, status, training_duration_secs, notes"
    statement = f"SELECT {facts}, {role} AS role FROM experiments WHERE id = :id AND {role} IS NOT NULL"
    return await one(session, f"{statement} FOR NO KEY UPDATE", id=id_, **who)


async def share_experiment(session: AsyncSession, project_id: str, id_: str) -> None:
    """Lock an experiment, before its version's model as its completion does: its notes, by which the version is found,
    stay as they are until the transaction ends."""
    statement = "SELECT FROM experiments WHERE project_id = :project_id AND id = :id FOR SHARE"
    await session.execute(text(statement), {"project_id": project_id, "id": id_})


async def experiment_in(session: AsyncSession, project_id: str, id_: str) -> Row | None:
    statement = "SELECT algorithm, dataset_version_id FROM experiments WHERE project_id = :project_id AND id = :id"
    return await one(session, statement, project_id=project_id, id=id_)


async def dataset(session: AsyncSession, id_: str, who: Who) -> Row | None:
    return await one(session, _seen("datasets"), id=id_, **who)


async def dataset_version(session: AsyncSession, id_: str, who: Who) -> Row | None:
    return await one(session, _seen("dataset_versions", "status, status_reason"), id=id_, **who)


async def request(session: AsyncSession, id_: str, who: Who) -> Row | None:
    """A request by its id, with the model whose lock it changes under; read again under that lock."""
    more = "version_id, (SELECT v.model_id FROM versions v WHERE v.id = version_id) AS model_id"
    return await one(session, _seen("transition_requests", more), id=id_, **who)


def _seen(table: str, more: str = "id") -> str:
    role = role_in(table)
    return f"SELECT id, project_id, {more}, {role} AS role FROM {table} WHERE id = :id AND {role} IS NOT NULL"


async def locked_request(session: AsyncSession, id_: str) -> Row:
    """A request whose model is locked, with its version."""
    row = await one(session, LOCKED_REQUEST, id=id_)
    assert row is not None
    return row


LOCKED_REQUEST = f"""
SELECT q.id, q.project_id, q.target_stage, q.created_by, q.notes, {request_status("q")} AS status, v.model_id, v.number
FROM transition_requests q JOIN versions v ON v.id = q.version_id WHERE q.id = :id
"""


async def dataset_versions(session: AsyncSession, project_id: str, ids: Sequence[str]) -> dict[str, str]:
    """The data set of each of these data set versions that is in the project."""
    statement = text(
        "SELECT id, dataset_id FROM dataset_versions WHERE project_id = :project_id AND id = ANY (CAST(:ids AS text[]))"
    )
    rows = (await session.execute(statement, {"project_id": project_id, "ids": list(ids)})).mappings()
    return {row["id"]: row["dataset_id"] for row in rows}


async def card(session: AsyncSession, version_id: str) -> Row:
    """A version's card; its model is locked."""
    row = await one(session, "SELECT * FROM version_cards WHERE version_id = :id", id=version_id)
    assert row is not None
    return row


async def principal(session: AsyncSession, email: str, lock: bool = False) -> Row | None:
    statement = "SELECT id, email, kind, administers FROM principals WHERE email = :email"
    return await one(session, statement + (" FOR NO KEY UPDATE" if lock else ""), email=email)


async def member(session: AsyncSession, project_id: str, principal_id: str) -> Row | None:
    statement = "SELECT role FROM members WHERE project_id = :project AND principal_id = :principal"
    return await one(session, statement, project=project_id, principal=principal_id)


async def lock_key(session: AsyncSession, id_: str, who: Who) -> Row | None:
    """A key that the caller may end: any, or its own; with a key that is bound to a project, one that is so too."""
    return await one(session, LOCK_KEY, id=id_, **who)


LOCK_KEY = f"""
SELECT k.*, p.email, clock_timestamp() AS now, coalesce(k.expires_at <= clock_timestamp(), false) AS is_expired
FROM api_keys k JOIN principals p ON p.id = k.principal_id
WHERE k.id = :id AND ({ADMINISTERS} OR k.principal_id = CAST(:me AS text)
    AND (CAST(:only AS text) IS NULL OR k.project_id = CAST(:only AS text))) FOR NO KEY UPDATE OF k
"""


async def lock_webhook(session: AsyncSession, id_: str, who: Who) -> Row | None:
    return await one(
        session,
        _seen("webhooks", "id AS webhook_id, url, actions, description, active, secret") + " FOR NO KEY UPDATE",
        id=id_,
        **who,
    )


async def delivery(session: AsyncSession, id_: str, who: Who) -> Row | None:
    return await one(session, _seen("webhook_deliveries", "webhook_id, event_id"), id=id_, **who)


async def webhooks_of(session: AsyncSession, project_id: str) -> int:
    """How many webhooks a project has; whoever adds one has locked its policy."""
    statement = "SELECT count(*) FROM webhooks WHERE project_id = :project"
    return int(await session.scalar(text(statement), {"project": project_id}) or 0)


async def now(session: AsyncSession) -> datetime:
    """The database's clock."""
    moment: datetime = await session.scalar(text("SELECT clock_timestamp()"))
    return moment


async def administers(session: AsyncSession, who: Who) -> bool:
    """Whether who asks administers the instance, with a key that is not bound to a project."""
    return bool(await session.scalar(text(f"SELECT {ADMINISTERS}"), dict(who)))


async def administrators(session: AsyncSession) -> int:
    """How many administer the instance; their rows are locked."""
    statement = "SELECT id FROM principals WHERE administers ORDER BY id FOR NO KEY UPDATE"
    return len((await session.execute(text(statement))).all())
