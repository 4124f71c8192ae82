"""Retention: what is archived, what is kept and why, and that a run which is killed loses and repeats nothing."""

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncSession

from resolvers import retention
from resolvers.callers import Caller
from resolvers.transaction import Transaction
from resolvers.versions import create_version
from storage import retention as stored
from storage.engine import Database
from tests.conftest import POLICY, Cluster, Registry, connect, run_sql
from tests.support.documents import creating_version
from tests.support.generated_old_versions import OldVersions, insert, old_versions
from tests.support.kills import assert_chains_intact
from tests.support.live import at_full_length, eventually
from tests.support.needs import MUTATIONS

CREATE = creating_version("id parent { id }")
APPLY = """
mutation($project: ID!, $dry: Boolean!) { applyRetention(input: {projectId: $project, dryRun: $dry}) {
  archived { id stage } kept { version { id } reason } more dryRun
} }
"""
ADD_TAGS = "mutation($input: TagsInput!) { addTags(input: $input) { version { id } } }"
REMOVE_TAGS = "mutation($input: TagsInput!) { removeTags(input: $input) { version { id } } }"
MOVE = "mutation($input: TransitionStageInput!) { transitionStage(input: $input) { version { id } } }"
REQUEST = "mutation($input: RequestTransitionInput!) { requestTransition(input: $input) { request { id } } }"
CANCEL = "mutation($input: CancelTransitionInput!) { cancelTransition(input: $input) { request { id } } }"
DESCRIBE = "mutation($input: UpdateVersionInput!) { updateVersion(input: $input) { version { id } } }"
CARD = "mutation($input: UpdateModelCardInput!) { updateModelCard(input: $input) { version { id } } }"

ALIAS = "mutation($input: SetAliasInput!) { setAlias(input: $input) { alias { name } } }"

LIVING = "A living version was derived from it."


@dataclass
class Applied:
    archived: list[str]
    kept: dict[str, str]
    more: bool


@dataclass
class Neglected:
    """A project whose policy says 90 days, and how to register versions there that nobody has touched for 100."""

    registry: Registry
    database: Cluster
    project: str
    numbers: Any = field(default_factory=lambda: count(1))

    def input(self, model: str = "a", parent: str | None = None, **facts: Any) -> dict[str, Any]:
        of = {"projectId": self.project, "modelId": f"model_{self.project[5:]}_{model}", "createModel": True}
        line = {"parentId": parent} if parent else {"parentVersion": None}
        return {**of, "version": f"1.{next(self.numbers)}.0", **line, **facts}

    async def young(self, model: str = "a", parent: str | None = None, **facts: Any) -> str:
        made = await self.registry.ask(CREATE, input=self.input(model, parent, **facts))
        return str(made["createVersion"]["version"]["id"])

    async def old(self, model: str = "a", parent: str | None = None, **facts: Any) -> str:
        id_ = await self.young(model, parent, **facts)
        await self.age(id_)
        return id_

    async def age(self, *ids: str, hours: float = 100 * 24) -> None:
        """As the owner: the app says only that somebody works with it now."""
        connection = await connect(self.database.owner_url)
        aged = "UPDATE versions SET touched_at = clock_timestamp() - make_interval(hours => $2) WHERE id = ANY ($1)"
        await connection.execute(aged, list(ids), hours)
        await connection.close()

    async def named(self, id_: str) -> dict[str, str]:
        """A version as inputs name it."""
        (row,) = await self.sql("SELECT model_id, array_to_string(number, '.') FROM versions WHERE id = $1", id_)
        return {"modelId": row[0], "version": row[1]}

    async def sql(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        connection = await connect(self.database.owner_url)
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()

    async def apply(self, dry: bool = False) -> Applied:
        done = (await self.registry.ask(APPLY, project=self.project, dry=dry))["applyRetention"]
        assert done["dryRun"] == dry
        assert {version["stage"] for version in done["archived"]} <= {"DEVELOPMENT" if dry else "ARCHIVED"}
        kept = {each["version"]["id"]: each["reason"] for each in done["kept"]}
        return Applied([version["id"] for version in done["archived"]], kept, done["more"])

    async def stages(self) -> dict[str, str]:
        rows = await self.sql("SELECT id, stage FROM versions WHERE project_id = $1", self.project)
        return {row["id"]: row["stage"] for row in rows}


@pytest_asyncio.fixture
async def neglected(registry: Registry, database: Cluster, project: str) -> Neglected:
    return Neglected(registry, database, project)


# --------------------------------------------------------------------------------------- what is archived


async def test_a_dry_run_changes_nothing_and_names_what_the_real_run_archives(neglected: Neglected) -> None:
    archived = [await neglected.old("a"), await neglected.old("b")]
    kept = await neglected.old("b", tags=["keep"])
    before = await neglected.stages()
    events = "SELECT count(*) FROM audit_events WHERE project_id = $1"
    told = await neglected.sql(events, neglected.project)
    dry = await neglected.apply(dry=True)
    assert (set(dry.archived), set(dry.kept), dry.more) == (set(archived), {kept}, False)
    assert (await neglected.stages(), await neglected.sql(events, neglected.project)) == (before, told)
    assert await neglected.apply() == dry
    assert await neglected.stages() == before | dict.fromkeys(archived, "ARCHIVED")
    assert await neglected.apply() == Applied([], dry.kept, False)


async def test_what_was_touched_within_the_days_is_neither_archived_nor_named(neglected: Neglected) -> None:
    id_ = await neglected.young()
    await neglected.age(id_, hours=90 * 24 - 0.1)
    assert await neglected.apply() == Applied([], {}, False)
    await neglected.age(id_, hours=90 * 24 + 0.1)
    assert (await neglected.apply()).archived == [id_]


async def test_only_development_versions_are_archived(neglected: Neglected) -> None:
    staged = await neglected.young()
    await neglected.registry.ask(MOVE, input=await neglected.named(staged) | {"targetStage": "STAGING"})
    await neglected.age(staged)
    assert await neglected.apply() == Applied([], {}, False)


async def test_a_project_without_a_number_of_days_keeps_all(neglected: Neglected) -> None:
    id_ = await neglected.old()
    await neglected.registry.ask(POLICY, input={"projectId": neglected.project, "retentionDays": None})
    assert await neglected.apply() == Applied([], {}, False)
    await neglected.registry.ask(POLICY, input={"projectId": neglected.project, "retentionDays": 99})
    assert (await neglected.apply()).archived == [id_]


async def test_another_project_is_left_alone(neglected: Neglected, registry: Registry, database: Cluster) -> None:
    made = await registry.ask('mutation { createProject(input: {name: "Test"}) { project { id } } }')
    other = Neglected(registry, database, made["createProject"]["project"]["id"])
    theirs, ours = await other.old(), await neglected.old()
    assert (await neglected.apply()).archived == [ours]
    assert (await other.stages())[theirs] == "DEVELOPMENT"


async def test_entries_of_the_history_say_that_it_was_retention_and_who_applied_it(neglected: Neglected) -> None:
    id_ = await neglected.old()
    await neglected.apply()
    history = """query($id: ID!) { node(id: $id) { ... on ModelVersion {
        stageHistory { fromStage toStage automatic actor notes approvedBy }
    } } }"""
    entry = (await neglected.registry.ask(history, id=id_))["node"]["stageHistory"][-1]
    notes = "Not touched for more than 90 days."
    assert entry == {
        "fromStage": "DEVELOPMENT", "toStage": "ARCHIVED", "automatic": True, "actor": "ana@example.com",
        "notes": notes, "approvedBy": None,
    }  # fmt: skip
    events = "query($id: ID!) { auditEvents(filter: {subjectId: $id}) { nodes { action actor notes details } } }"
    event = (await neglected.registry.ask(events, id=id_))["auditEvents"]["nodes"][0]
    details = {"before": {"stage": "DEVELOPMENT"}, "after": {"stage": "ARCHIVED", "approvedBy": None}}
    expected = {"action": "version.transitioned", "actor": "ana@example.com", "notes": notes, "details": details}
    assert event == expected


async def test_at_most_a_batch_is_archived_at_once_children_first(
    neglected: Neglected, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert retention.BATCH == 500
    monkeypatch.setattr(retention, "BATCH", 2)
    line = [await neglected.young()]
    for model in "abcb":
        line.append(await neglected.young(model, line[-1]))
    await neglected.age(*line)
    dry = await neglected.apply(dry=True)
    runs = [await neglected.apply() for _ in range(3)]
    assert [(run.archived, run.more) for run in runs] == [
        ([line[4], line[3]], True),
        ([line[2], line[1]], True),
        ([line[0]], False),
    ]
    assert (dry.archived, dry.more) == (runs[0].archived, True)


# ------------------------------------------------------------------------------------------- what is kept


async def test_a_version_that_is_tagged_keep_is_kept_until_it_is_not(neglected: Neglected) -> None:
    id_ = await neglected.old(tags=["keep"])
    assert await neglected.apply() == Applied([], {id_: "It is tagged keep."}, False)
    await neglected.registry.ask(REMOVE_TAGS, input=await neglected.named(id_) | {"tags": ["keep"]})
    await neglected.age(id_)
    assert (await neglected.apply()).archived == [id_]


async def test_a_version_that_an_alias_points_to_is_kept_until_none_does(neglected: Neglected) -> None:
    id_, other = await neglected.young(), await neglected.young()
    await neglected.registry.ask(ALIAS, input=await neglected.named(id_) | {"alias": "shadow"})
    await neglected.age(id_)
    assert await neglected.apply() == Applied([], {id_: "An alias points to it."}, False)
    await neglected.registry.ask(ALIAS, input=await neglected.named(other) | {"alias": "shadow"})
    assert (await neglected.apply()).archived == [id_]


async def test_a_version_under_review_is_kept_until_the_request_is_over(neglected: Neglected) -> None:
    id_ = await neglected.young()
    asked = await neglected.registry.ask(REQUEST, input=await neglected.named(id_) | {"targetStage": "STAGING"})
    request = asked["requestTransition"]["request"]["id"]
    await neglected.age(id_)
    assert await neglected.apply() == Applied([], {id_: "It is under review."}, False)
    over = "UPDATE transition_requests SET expires_at = clock_timestamp() WHERE id = $1"
    await neglected.sql(over, request)
    assert (await neglected.apply()).archived == [id_]


@pytest.mark.parametrize("model", ["a", "b"], ids=["of the same model", "of another model"])
@pytest.mark.parametrize("stage", ["DEVELOPMENT", "STAGING"])
async def test_parents_of_a_living_version_are_kept_all_the_way_up(
    neglected: Neglected, model: str, stage: str
) -> None:
    grandparent = await neglected.young("a")
    parent = await neglected.young(model, grandparent)
    child = await neglected.young("a", parent)
    if stage != "DEVELOPMENT":
        await neglected.registry.ask(MOVE, input=await neglected.named(child) | {"targetStage": stage})
        await neglected.age(child)
    await neglected.age(grandparent, parent)
    assert await neglected.apply() == Applied([], {parent: LIVING, grandparent: LIVING}, False)


@pytest.mark.parametrize("reason", ["It is tagged keep.", "It is under review."])
async def test_a_version_that_is_kept_keeps_its_parents_but_not_its_children(neglected: Neglected, reason: str) -> None:
    parent = await neglected.young("a")
    middle = await neglected.young("b", parent, tags=["keep"] if "keep" in reason else [])
    child = await neglected.young("a", middle)
    if "review" in reason:
        await neglected.registry.ask(REQUEST, input=await neglected.named(middle) | {"targetStage": "STAGING"})
    await neglected.age(parent, middle, child)
    assert await neglected.apply() == Applied([child], {middle: reason, parent: LIVING}, False)


async def test_a_whole_line_of_old_versions_is_archived_at_once_leaf_by_leaf(neglected: Neglected) -> None:
    line = [await neglected.young()]
    for model in "baca":
        line.append(await neglected.young(model, line[-1]))
    twin = await neglected.young("b", line[1])
    await neglected.age(*line, twin)
    assert await neglected.apply() == Applied([twin, *reversed(line)], {}, False)


async def test_a_version_whose_children_are_archived_is_archived(neglected: Neglected) -> None:
    parent = await neglected.young()
    child = await neglected.young("b", parent)
    await neglected.registry.ask(MOVE, input=await neglected.named(child) | {"targetStage": "ARCHIVED"})
    await neglected.age(parent)
    assert await neglected.apply() == Applied([parent], {}, False)


TOUCHES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "a tag more": [(ADD_TAGS, {"tags": ["baseline"]})],
    "a tag less": [(REMOVE_TAGS, {"tags": ["first"]})],
    "a description": [(DESCRIBE, {"description": "Looked at again."})],
    "a card": [(CARD, {"modelCard": {"limitations": "Few data."}})],
    "a request": [(REQUEST, {"targetStage": "STAGING"})],
    "a way back": [(MOVE, {"targetStage": "STAGING"}), (MOVE, {"targetStage": "DEVELOPMENT"})],
}


@pytest.mark.parametrize("touches", TOUCHES.values(), ids=TOUCHES.keys())
async def test_a_version_that_somebody_works_with_is_not_old(
    neglected: Neglected, touches: list[tuple[str, dict[str, Any]]]
) -> None:
    id_ = await neglected.old(tags=["first"])
    for mutation, more in touches:
        done = await neglected.registry.ask(mutation, input=await neglected.named(id_) | more)
        if mutation == REQUEST:  # that it was asked for counts, not that it is still open
            await neglected.registry.ask(CANCEL, input={"requestId": done["requestTransition"]["request"]["id"]})
    assert await neglected.apply() == Applied([], {}, False)


# ----------------------------------------------------------------------------- races with new versions


@asynccontextmanager
async def transaction(database: Cluster, mutation: str) -> AsyncIterator[Transaction]:
    """One that is committed when the block ends."""
    opened = Database(database.app_url)
    await opened.open()
    try:
        async with opened.transaction() as session:
            yield Transaction(session, Caller("bo@example.com", None, "test"), MUTATIONS[mutation])
    finally:
        await opened.close()


async def test_a_version_from_which_one_is_being_derived_is_passed_over_and_then_kept(neglected: Neglected) -> None:
    grandparent = await neglected.young("a")
    parent = await neglected.young("a", grandparent)
    other = await neglected.young("c")
    await neglected.age(grandparent, parent, other)
    model: Any = {"project_id": neglected.project, "model_id": f"model_{neglected.project[5:]}_b", "create_model": True}
    async with transaction(neglected.database, "createVersion") as tx:
        await create_version(tx, **model, parent_id=parent)
        # Without waiting for it.
        assert (await asyncio.wait_for(neglected.apply(), 5)).archived == [other]
    assert await neglected.apply() == Applied([], {parent: LIVING, grandparent: LIVING}, False)


async def test_a_version_is_derived_only_after_a_running_retention_has_ended(neglected: Neglected) -> None:
    parent = await neglected.old("a")
    async with transaction(neglected.database, "applyRetention") as tx:
        assert (await retention.apply_retention(tx, project_id=neglected.project, dry_run=False))["archived_ids"]
        deriving = asyncio.create_task(neglected.young("b", parent))
        waits = "SELECT true FROM pg_locks WHERE NOT granted"
        await eventually(lambda: neglected.sql(waits), 5)
        assert not deriving.done()
    child = await deriving
    stages = await neglected.stages()
    assert (stages[parent], stages[child]) == ("ARCHIVED", "DEVELOPMENT")


BEFORE = """
SELECT p.id FROM versions c JOIN versions p ON p.id = c.parent_id
JOIN audit_events made ON made.subject_id = c.id AND made.action = 'version.created'
JOIN audit_events archived ON archived.subject_id = p.id AND archived.action = 'version.transitioned'
WHERE c.project_id = $1 AND c.stage <> 'ARCHIVED' AND made.at < archived.at
"""


async def test_no_parent_is_archived_after_a_child_of_another_model_was_made(neglected: Neglected) -> None:
    told = {"ARCHIVED": 0, "DEVELOPMENT": 0}
    for _ in range(6):
        parents = [await neglected.young("a") for _ in range(4)]
        await neglected.age(*parents)
        deriving = [neglected.young(f"b{place}", parent) for place, parent in enumerate(parents)]
        random.shuffle(deriving)
        await asyncio.gather(*deriving[:2], neglected.apply(), *deriving[2:])
        stages = await neglected.stages()
        for parent in parents:
            told[stages[parent]] += 1
    assert await neglected.sql(BEFORE, neglected.project) == []
    print(f"\n24 parents while versions were derived from them: {told}")


# ------------------------------------------------------------------------------------------- the daily run


async def daily(database: Cluster) -> int:
    opened = Database(database.app_url)
    await opened.open()
    try:
        return await retention.run_retention(opened)
    finally:
        await opened.close()


@pytest.fixture
def size(pytestconfig: pytest.Config) -> int:
    return 100_000 if at_full_length(pytestconfig) else 2_000


async def test_the_daily_run_goes_through_all_projects_once_a_day(
    make_database: Callable[[], Any], make_registry: Callable[..., Any]
) -> None:
    database = await make_database()
    registry = await make_registry(database)
    projects, ids = [], []
    for days in (90, 120, None, 1):
        made = await registry.ask('mutation { createProject(input: {name: "Test"}) { project { id } } }')
        project = Neglected(registry, database, made["createProject"]["project"]["id"])
        await registry.ask(POLICY, input={"projectId": project.project, "retentionDays": days})
        projects.append(project)
        ids.append(await project.old())
    assert await daily(database) == 2
    stages = [(await project.stages())[id_] for project, id_ in zip(projects, ids, strict=True)]
    assert stages == ["ARCHIVED", "DEVELOPMENT", "DEVELOPMENT", "ARCHIVED"]
    later = await projects[0].old()
    assert await daily(database) == 0
    await run_sql(database.owner_url, "UPDATE daily_runs SET finished_at = finished_at - interval '25 hours'")
    assert await daily(database) == 1
    assert (await projects[0].stages())[later] == "ARCHIVED"
    (event,) = await projects[0].sql(
        "SELECT actor FROM audit_events WHERE subject_id = $1 ORDER BY seq DESC LIMIT 1", later
    )
    assert event["actor"] == "lineal retention"


async def test_a_run_that_fails_half_way_is_not_finished_and_goes_on(
    make_database: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    database, made = await make_database(), old_versions(300)
    await insert(database.owner_url, made)
    monkeypatch.setattr(retention, "BATCH", 40)
    append, batches = stored.append_all, count()

    async def fails_at_the_third(session: AsyncSession, chains: Any) -> None:
        await append(session, chains)
        if next(batches) == 2:
            raise ConnectionResetError

    monkeypatch.setattr(stored, "append_all", fails_at_the_third)
    with pytest.raises(ConnectionResetError):
        await daily(database)
    kept = await outcome(database)
    assert len(kept.archived) == 80 and not kept.finished
    assert await daily(database) == len(made.archivable()) - 80
    kept = await outcome(database)
    assert kept.archived == made.archivable() and kept.finished


async def test_a_look_that_is_smaller_than_the_project_and_a_parent_listed_before_its_child_lose_nothing(
    make_database: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    database, made = await make_database(), old_versions(300)
    chance = random.Random(1)
    for version in made.rows["versions"]:  # as if the clock had gone astray
        version["created_at"] = chance.choice(made.rows["versions"])["created_at"]
    await insert(database.owner_url, made)
    monkeypatch.setattr(retention, "BATCH", 7)
    monkeypatch.setattr(retention, "LOOK", 30)
    assert await daily(database) == len(made.archivable())
    assert (await outcome(database)).archived == made.archivable()


@dataclass
class Outcome:
    archived: set[str]
    finished: bool
    largest: int
    wrong: list[str]


ARCHIVED = "SELECT count(*) FROM stage_transitions WHERE automatic"
TOGETHER = "SELECT count(*) AS steps FROM stage_transitions WHERE automatic GROUP BY xmin ORDER BY 1 DESC LIMIT 1"
PARENT_FIRST = """
SELECT p.version_id FROM versions c JOIN stage_transitions s ON s.version_id = c.id AND s.automatic
JOIN stage_transitions p ON p.version_id = c.parent_id AND p.automatic
WHERE s.at > p.at AND s.xmin <> p.xmin -- a transaction archives at once
"""
UNTOLD = """
SELECT coalesce(s.id, e.step) FROM (SELECT id FROM stage_transitions WHERE automatic) s
FULL JOIN (SELECT entry::json -> 'step' ->> 'id' AS step FROM audit_events) e ON e.step = s.id
WHERE s.id IS NULL OR e.step IS NULL
"""


async def outcome(database: Cluster) -> Outcome:
    """What a run left, from the database alone; `wrong` are parents archived before a child and steps without event."""
    connection = await connect(database.owner_url)
    try:
        rows = await connection.fetch("SELECT version_id FROM stage_transitions WHERE automatic")
        ids = [row["version_id"] for row in rows]
        assert len(set(ids)) == len(ids), "archived twice"
        largest = await connection.fetchval(TOGETHER) or 0
        wrong = [row[0] for row in [*await connection.fetch(PARENT_FIRST), *await connection.fetch(UNTOLD)]]
        await assert_chains_intact(connection)
        finished = await connection.fetchval("SELECT finished_at IS NOT NULL FROM daily_runs")
    finally:
        await connection.close()
    return Outcome(set(ids), finished, largest, wrong)


RUNNER = """
import asyncio, sys
from resolvers import retention
from storage.engine import Database

async def main(url, batch):
    retention.BATCH = int(batch)
    database = Database(url)
    await database.open()
    try:
        print(await retention.run_retention(database))
    finally:
        await database.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def runner(database: Cluster, batch: int) -> asyncio.subprocess.Process:
    """The daily run in a process of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUNNER, database.app_url, str(batch),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


BACKENDS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'lineal'
"""


async def disturb(connection: asyncpg.Connection, database: Cluster, batch: int, kills: int) -> int:
    """Two runs at once, killed as soon as something more is archived, or cut off from the database; how many times
    something was left to do."""
    so_far, midway = 0, 0
    for kill in range(kills):
        runners = [await runner(database, batch) for _ in range(2)]

        async def is_further(so_far: int = so_far, runners: Any = runners) -> bool:
            ended = all(process.returncode is not None for process in runners)
            return ended or await connection.fetchval(ARCHIVED) > so_far

        await eventually(is_further)
        await asyncio.sleep(random.uniform(0, 0.1))
        if kill % 3 == 2:
            await connection.fetch(BACKENDS)
        else:
            for process in runners:
                if process.returncode is None:
                    process.kill()
        for process in runners:
            await process.communicate()
        so_far = await connection.fetchval(ARCHIVED)
        midway += not await connection.fetchval("SELECT finished_at IS NOT NULL FROM daily_runs")
    return midway


@pytest.mark.long
async def test_a_run_that_is_killed_again_and_again_ends_as_an_undisturbed_one(
    make_database: Callable[[], Any], size: int
) -> None:
    made, batch, kills = old_versions(size), 500 if size > 10_000 else 10, 20 if size > 10_000 else 3
    expected = made.archivable()
    undisturbed, seconds = await undisturbed_run(make_database, made)
    assert undisturbed == Outcome(expected, True, undisturbed.largest, [])
    assert undisturbed.largest <= retention.BATCH

    database = await make_database()
    await insert(database.owner_url, made)
    connection = await connect(database.superuser_url)
    midway = await disturb(connection, database, batch, kills)
    last = [await runner(database, batch) for _ in range(2)]
    said = [await process.communicate() for process in last]
    await connection.close()
    assert [process.returncode for process in last] == [0, 0], said
    disturbed = await outcome(database)
    assert disturbed == Outcome(expected, True, disturbed.largest, []) and disturbed.largest <= batch
    assert midway > 0
    print(
        f"\n{size} versions, {len(expected)} archived in {seconds:.1f} s undisturbed, at most {undisturbed.largest} in"
        f" a transaction; and the same by two processes killed {kills} times, {midway} of them midway"
    )


async def undisturbed_run(make_database: Callable[[], Any], made: OldVersions) -> tuple[Outcome, float]:
    database = await make_database()
    await insert(database.owner_url, made)
    began = time.monotonic()
    await daily(database)
    return await outcome(database), time.monotonic() - began
