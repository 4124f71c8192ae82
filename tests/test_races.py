"""Many callers at the same moment, over real connections to two workers: what each is told, and what is kept."""

import asyncio
import itertools
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.conftest import EXTERNAL, POLICY
from tests.support.documents import creating_version
from tests.support.live import OK, Live, Reply, at_full_length, at_once, codes, eventually, lineal

pytestmark = pytest.mark.long

CALLERS = 32

CREATE_PROJECT = "mutation($input: CreateProjectInput!) { createProject(input: $input) { project { id } } }"
NEW_KEY = "mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) { id secret } }"
REVOKE = "mutation($input: RevokeApiKeyInput!) { revokeApiKey(input: $input) { id } }"
MEMBER = "mutation($input: SetMemberInput!) { setMember(input: $input) { project { id } } }"
LEAVE = "mutation($input: RemoveMemberInput!) { removeMember(input: $input) { project { id } } }"
CREATE_MODEL = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id } } }"
CREATE_VERSION = creating_version("version description")
CREATE_EXPERIMENT = "mutation($input: CreateExperimentInput!) { createExperiment(input: $input) { experiment { id } } }"
COMPLETE = """
mutation($input: CompleteExperimentInput!) { completeExperiment(input: $input) { versions { version model { id } } } }
"""
TRANSITION = """
mutation($input: TransitionStageInput!) { transitionStage(input: $input) { version { stage } archived { version } } }
"""
SET_ALIAS = """
mutation($input: SetAliasInput!) { setAlias(input: $input) { alias { version { version } } previous { version } } }
"""
BY_ALIAS = """
query($model: ID!) { model(id: $model) {
  aliases { name version { version } } versionByAlias(alias: "champion") { version aliases }
} }
"""
ALIAS_EVENTS = """
query($model: ID!, $after: String) { auditEvents(filter: {subjectId: $model, action: ["alias.set"]},
  first: 100, after: $after) { nodes { details } pageInfo { hasNextPage endCursor } } }
"""
UPDATE_MODEL = "mutation($input: UpdateModelInput!) { updateModel(input: $input) { model { name } } }"
IN_PRODUCTION = """
query($model: ID!) { model(id: $model) {
  productionVersion { version }
  versions(filter: {stage: [PRODUCTION]}) { totalCount nodes { version } }
} }
"""
HISTORY = """
query($model: ID!) { model(id: $model) { versions(first: 100) { totalCount nodes {
  version description stage stageHistory { fromStage toStage at automatic }
} } } }
"""
POSITIONS = """
SELECT count(*) AS steps, min(position) AS first, max(position) AS last, bool_and(in_time) AS in_time
FROM (SELECT position, at >= lag(at, 1, at) OVER (ORDER BY position) AS in_time
      FROM stage_transitions WHERE model_id = $1) steps
"""


@pytest.fixture(scope="module")
def external(request: pytest.FixtureRequest) -> Callable[[], Any] | None:
    """Makes a database where the suite was given a PostgreSQL; otherwise the server runs its own."""
    return request.getfixturevalue("make_database") if EXTERNAL else None


@pytest_asyncio.fixture(scope="module")
async def live(external: Callable[[], Any] | None) -> AsyncIterator[Live]:
    async with lineal(await external() if external else None, started=False) as live:
        # One principal has at most 60 % of a worker's connections, and here all contestants are one and may be at one
        # worker: the database decides these races, so its door has to let all of them through.
        await live.start("--pool-size", "20")
        await live.ask(CREATE_PROJECT, input={"id": "proj_races", "name": "Races"})
        await live.ask(POLICY, input={"projectId": "proj_races", "allowSelfApproval": True})
        yield live


@pytest.fixture(scope="module")
def rounds(pytestconfig: pytest.Config) -> Callable[[int, int], int]:
    return lambda short, full: full if at_full_length(pytestconfig) else short


@pytest.fixture(autouse=True)
def no_defect(live: Live) -> Iterator[None]:
    yield
    assert "internal error" not in live.log.read_text(), live.said()


async def new_model(live: Live) -> str:
    model = f"model_{secrets.token_hex(6)}"
    await live.ask(CREATE_MODEL, input={"id": model, "projectId": "proj_races", "name": model})
    return model


def create(live: Live, model: str, **more: Any) -> Any:
    return live.send(CREATE_VERSION, input={"projectId": "proj_races", "modelId": model, **more})


def transition(live: Live, model: str, version: str, stage: str) -> Any:
    return live.send(TRANSITION, input={"modelId": model, "version": version, "targetStage": stage})


async def versions_of(live: Live, model: str) -> list[dict[str, Any]]:
    found = (await live.ask(HISTORY, model=model))["model"]["versions"]
    assert found["totalCount"] == len(found["nodes"])
    return list(found["nodes"])


# ---------------------------------------------------------------------------------------------- promotions


@dataclass
class Seen:
    """What the readers saw in production, one entry for each change; `wrong` holds what nobody may ever see."""

    answers: int = 0
    last: str | None = None
    wrong: list[Any] = field(default_factory=list)

    def take(self, reply: Reply) -> None:
        self.answers += 1
        if reply.code != OK:
            self.wrong.append(reply)
            return
        model = reply.data["model"]
        listed = [node["version"] for node in model["versions"]["nodes"]]
        current = (model["productionVersion"] or {}).get("version")
        none_yet = self.last is None and current is None
        if listed != ([] if none_yet else [current]) or model["versions"]["totalCount"] != len(listed):
            self.wrong.append(model)
        self.last = current


@asynccontextmanager
async def watched(live: Live, model: str, readers: int = 2) -> AsyncIterator[Seen]:
    """Readers that ask all the while which version is in production."""
    seen, done = [Seen() for _ in range(readers)], asyncio.Event()

    async def read(mine: Seen) -> None:
        while not done.is_set():
            mine.take(await live.send(IN_PRODUCTION, model=model))

    tasks = [asyncio.create_task(read(mine)) for mine in seen]
    total = Seen()
    try:
        yield total
    finally:
        done.set()
        await asyncio.gather(*tasks)
        total.answers = sum(mine.answers for mine in seen)
        total.wrong = [wrong for mine in seen for wrong in mine.wrong]


@asynccontextmanager
async def starting_gun(live: Live, model: str, contestants: int) -> AsyncIterator[None]:
    """Holds the model's row from before the block until all contestants wait for it, then lets them go at once."""
    async with live.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SELECT FROM models WHERE id = $1 FOR UPDATE", model)

        async def shoot() -> None:
            async def all_wait() -> bool:
                waiting: int = await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted")
                return waiting >= contestants

            await eventually(all_wait, 5)
            await transaction.rollback()

        shot = asyncio.create_task(shoot())
        yield
        await shot


async def promote_at_once(live: Live, model: str, versions: Sequence[str], *, gun: bool) -> list[Reply]:
    def promotions() -> Iterator[Any]:
        return (transition(live, model, version, "PRODUCTION") for version in versions)

    if not gun:
        return await at_once(promotions())
    async with starting_gun(live, model, len(versions)):
        return await at_once(promotions())


def archived_by(replies: Sequence[Reply]) -> set[str | None]:
    """The versions that promotions replaced; None stands for the first, which replaced none."""
    archived = [reply.data["transitionStage"]["archived"] for reply in replies]
    return {each and each["version"] for each in archived}


async def staged_versions(live: Live, model: str, count: int) -> list[str]:
    numbers = [f"1.{minor}.0" for minor in range(count)]
    for number in numbers:
        assert (await create(live, model, version=number)).code == OK
        assert (await transition(live, model, number, "STAGING")).code == OK
    return numbers


@pytest.mark.parametrize("contestants", [2, 4, 8])
async def test_simultaneous_promotions_leave_one_production_version_and_an_unbroken_history(
    live: Live, rounds: Callable[[int, int], int], contestants: int
) -> None:
    model = await new_model(live)
    numbers = await staged_versions(live, model, contestants + 1)
    await live.warm_up(contestants + 2)
    began, current, promotions = time.monotonic(), None, 0
    async with watched(live, model) as seen:
        for turn in range(rounds(5, 100)):
            candidates = [number for number in numbers if number != current][:contestants]
            replies = await promote_at_once(live, model, candidates, gun=turn % 2 == 1)
            assert codes(replies) == {OK: contestants}, replies
            promotions += contestants
            # Nobody archives what somebody else archived: all but one were replaced, each by another.
            replaced = archived_by(replies)
            assert len(replaced) == contestants
            (current,) = {current, *candidates} - replaced
            back = await at_once(transition(live, model, str(number), "STAGING") for number in replaced - {None})
            assert set(codes(back)) == {OK}, back
    took = time.monotonic() - began
    assert seen.wrong == [] and seen.answers > promotions / 10
    await assert_unbroken(live, model, promotions, current)
    print(
        f"\n{promotions} promotions, {contestants} at once, none refused, in {took:.1f} s; {seen.answers} reads "
        f"meanwhile, none wrong; connections by worker {live.connections_by_worker()}"
    )


async def assert_unbroken(live: Live, model: str, promotions: int, current: str | None) -> None:
    versions = await versions_of(live, model)
    assert [version["version"] for version in versions if version["stage"] == "PRODUCTION"] == [current]
    for version in versions:
        stages = [step["toStage"] for step in version["stageHistory"]]
        assert [step["fromStage"] for step in version["stageHistory"]] == [None, *stages[:-1]]
        assert stages[0] == "DEVELOPMENT" and stages[-1] == version["stage"]
    steps = [step for version in versions for step in version["stageHistory"]]
    promoted = sorted(step["at"] for step in steps if step["toStage"] == "PRODUCTION")
    archived = sorted(step["at"] for step in steps if step["toStage"] == "ARCHIVED" and step["automatic"])
    assert len(promoted) == promotions and archived == promoted[1:]
    (kept,) = await live.sql(POSITIONS, model)
    assert dict(kept) == {"steps": len(steps), "first": 1, "last": len(steps), "in_time": True}


# ------------------------------------------------------------------------------------------------- aliases


def set_alias(live: Live, model: str, version: str, **more: Any) -> Any:
    return live.send(SET_ALIAS, input={"modelId": model, "alias": "champion", "version": version, **more})


@asynccontextmanager
async def alias_watched(live: Live, model: str, readers: int = 2) -> AsyncIterator[Counter[str]]:
    """Readers that ask all the while where the alias points: how often each version was seen."""
    seen, done = Counter[str](), asyncio.Event()

    async def read() -> None:
        while not done.is_set():
            reply = await live.send(BY_ALIAS, model=model)
            assert reply.code == OK, reply
            asked = reply.data["model"]
            # Both ways of one answer agree, and neither is ever without.
            (alias,) = asked["aliases"]
            pointed = asked["versionByAlias"]
            assert alias["version"]["version"] == pointed["version"] and pointed["aliases"] == ["champion"]
            seen[pointed["version"]] += 1

    tasks = [asyncio.create_task(read()) for _ in range(readers)]
    try:
        yield seen
    finally:
        done.set()
        await asyncio.gather(*tasks)


async def alias_steps(live: Live, model: str) -> list[tuple[str | None, str]]:
    """Each move of the alias as the log has it, the first one first."""
    steps: list[tuple[str | None, str]] = []
    after = None
    while True:
        page = (await live.ask(ALIAS_EVENTS, model=model, after=after))["auditEvents"]
        for details in (node["details"] for node in page["nodes"]):
            steps.append(((details["before"] or {}).get("version"), details["after"]["version"]))
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return steps[::-1]


@pytest.mark.parametrize("same_target", [False, True], ids=["to different versions", "to one version"])
async def test_of_eight_movers_of_an_alias_who_expect_the_same_version_exactly_one_wins(
    live: Live, rounds: Callable[[int, int], int], same_target: bool
) -> None:
    movers, turns = 8, rounds(6, 100)
    model = await new_model(live)
    numbers = [f"1.{minor}.0" for minor in range(movers + 1)]
    for number in numbers:
        assert (await create(live, model, version=number)).code == OK
    assert (await set_alias(live, model, "1.0.0")).code == OK
    await live.warm_up(movers + 2)
    current = "1.0.0"
    async with alias_watched(live, model) as seen:
        for turn in range(turns):
            targets = [number for number in numbers if number != current][:movers]
            targets = targets[:1] * movers if same_target else targets
            moves = (set_alias(live, model, target, expectedVersion=current) for target in targets)
            if turn % 2:
                async with starting_gun(live, model, movers):
                    replies = await at_once(moves)
            else:
                replies = await at_once(moves)
            assert codes(replies) == {OK: 1, "CONFLICT": movers - 1}, replies
            (winner,) = (reply.data["setAlias"] for reply in replies if reply.code == OK)
            assert winner["previous"] == {"version": current}
            current = winner["alias"]["version"]["version"]
    steps = await alias_steps(live, model)
    assert len(steps) == turns + 1 and steps[-1][1] == current
    assert [before for before, _ in steps] == [None, *(after for _, after in steps[:-1])]
    assert seen.total() > turns
    print(
        f"\n{turns} times {movers} movers: one won each time, {movers - 1} CONFLICT; {seen.total()} reads, none empty"
    )


async def test_movers_of_an_alias_who_expect_nothing_all_move_it_one_after_the_other(
    live: Live, rounds: Callable[[int, int], int]
) -> None:
    movers, turns = 8, rounds(3, 50)
    model = await new_model(live)
    numbers = [f"1.{minor}.0" for minor in range(movers + 1)]
    for number in numbers:
        assert (await create(live, model, version=number)).code == OK
    assert (await set_alias(live, model, "1.0.0")).code == OK
    await live.warm_up(movers + 2)
    async with alias_watched(live, model) as seen:
        for turn in range(turns):
            targets = numbers[1:] if turn % 2 == 0 else numbers[:-1]
            replies = await at_once(set_alias(live, model, target) for target in targets)
            assert codes(replies) == {OK: movers}, replies
    steps = await alias_steps(live, model)
    assert [before for before, _ in steps] == [None, *(after for _, after in steps[:-1])], "an unbroken line"
    print(f"\n{turns} times {movers} movers: all moved it, {len(steps)} events; {seen.total()} reads, none empty")


async def test_a_model_renamed_and_archived_while_others_register_is_counted_without_a_gap(
    live: Live, rounds: Callable[[int, int], int]
) -> None:
    turns = rounds(2, 30)
    await live.warm_up(CALLERS)
    for _ in range(turns):
        model = await new_model(live)
        names = [f"{model} {n}" for n in range(8)]
        renames = [live.send(UPDATE_MODEL, input={"modelId": model, "name": name}) for name in names]
        archiving = live.send(UPDATE_MODEL, input={"modelId": model, "archived": True, "reason": "Over."})
        replies = await at_once([*(create(live, model) for _ in range(16)), *renames, archiving])
        told = codes(replies)
        assert set(told) <= {OK, "CONFLICT"} and told[OK] >= 9, replies
        kept = await live.sql("SELECT ordinal FROM versions WHERE model_id = $1 ORDER BY 1", model)
        assert [row["ordinal"] for row in kept] == list(range(1, told[OK] - 9 + 1))
        (last,) = await live.sql("SELECT name, archived FROM models WHERE id = $1", model)
        assert last["name"] in names and last["archived"]
        # Whoever registered before was found by the new name at once: words follow the last name.
        words = "SELECT count(*) FROM version_texts t JOIN versions v ON v.id = t.version_id WHERE v.model_id = $1"
        (found,) = await live.sql(f"{words} AND t.words @@ phraseto_tsquery('simple', $2)", model, last["name"])
        assert found["count"] == len(kept)


# ------------------------------------------------------------------------------------------- registrations


async def test_of_many_registrations_of_one_number_exactly_one_wins(
    live: Live, rounds: Callable[[int, int], int]
) -> None:
    model, turns = await new_model(live), rounds(3, 50)
    await live.warm_up(CALLERS)
    for turn in range(turns):
        number = f"1.{turn}.0"
        replies = await at_once(create(live, model, version=number, description=f"by {n}") for n in range(CALLERS))
        assert codes(replies) == {OK: 1, "ALREADY_EXISTS": CALLERS - 1}, codes(replies)
        (winner,) = (reply.data["createVersion"]["version"] for reply in replies if reply.code == OK)
        kept = await versions_of(live, model)
        assert len(kept) == turn + 1
        assert kept[0]["version"] == number and kept[0]["description"] == winner["description"]
    print(f"\n{turns} times {CALLERS} registrations of one number: one won each time, the others ALREADY_EXISTS")


@pytest.mark.parametrize("more", [{"bump": "MINOR"}, {}], ids=["bump MINOR", "neither bump nor version"])
async def test_many_registrations_without_a_number_get_a_number_each(
    live: Live, rounds: Callable[[int, int], int], more: dict[str, Any]
) -> None:
    model, turns = await new_model(live), rounds(2, 20)
    assert (await create(live, model, version="1.0.0")).code == OK
    await live.warm_up(CALLERS)
    told = {"1.0.0"}
    for turn in range(1, turns + 1):
        replies = await at_once(create(live, model, **more) for _ in range(CALLERS))
        assert codes(replies) == {OK: CALLERS}, replies
        told |= {reply.data["createVersion"]["version"]["version"] for reply in replies}
        assert len(told) == 1 + turn * CALLERS
    kept = await live.sql("SELECT array_to_string(number, '.') AS number FROM versions WHERE model_id = $1", model)
    assert {row["number"] for row in kept} == told
    print(f"\n{turns} times {CALLERS} registrations with {more or 'no number'}: {len(told) - 1} different numbers")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"version": "1.0.0"}, {OK: 1, "ALREADY_EXISTS": CALLERS - 1}),
        ({"bump": "MINOR"}, {OK: CALLERS}),
        ({}, {OK: CALLERS}),
    ],
    ids=["one number", "bump MINOR", "neither bump nor version"],
)
async def test_many_first_registrations_of_a_model_make_it_once(
    live: Live, rounds: Callable[[int, int], int], more: dict[str, Any], expected: dict[str, int]
) -> None:
    turns = rounds(2, 20)
    await live.warm_up(CALLERS)
    for _ in range(turns):
        model = f"model_{secrets.token_hex(6)}"
        replies = await at_once(create(live, model, createModel=True, **more) for _ in range(CALLERS))
        assert codes(replies) == expected, {reply.message for reply in replies}
        assert {reply.message for reply in replies if reply.code != OK} <= {ONE_NUMBER.format(model=model)}
        numbers = [version["version"] for version in await versions_of(live, model)]
        assert len(set(numbers)) == len(numbers) == expected[OK]
    print(f"\n{turns} times {CALLERS} first registrations with {more or 'no number'}: one model, {expected}")


ONE_NUMBER = "{model} already has a version 1.0.0; numbers are never reused."


# --------------------------------------------------------------------------------------------- experiments


async def new_experiment(live: Live) -> str:
    made = await live.ask(CREATE_EXPERIMENT, input={"projectId": "proj_races", "name": "Race"})
    return str(made["createExperiment"]["experiment"]["id"])


def complete(live: Live, experiment: str, *models: str, **more: Any) -> Any:
    versions = [{"projectId": "proj_races", "modelId": model, **more} for model in models]
    return live.send(COMPLETE, input={"experimentId": experiment, "status": "COMPLETED", "versions": versions})


async def test_an_experiment_completed_twice_at_once_is_completed_once(
    live: Live, rounds: Callable[[int, int], int]
) -> None:
    model, turns = await new_model(live), rounds(5, 100)
    await live.warm_up(4)
    for _ in range(turns):
        experiment = await new_experiment(live)
        replies = await at_once(complete(live, experiment, model) for _ in range(2))
        assert codes(replies) == {OK: 1, "CONFLICT": 1}, replies
        assert len(await live.sql("SELECT FROM versions WHERE experiment_id = $1", experiment)) == 1
    print(f"\n{turns} experiments completed twice at once: one won each time, the other got CONFLICT")


@pytest.mark.parametrize("made_before", [True, False], ids=["existing models", "new models"])
async def test_experiments_that_name_the_same_models_in_crossing_orders_both_complete(
    live: Live, rounds: Callable[[int, int], int], made_before: bool
) -> None:
    turns, told = rounds(5, 50), Counter[str]()
    await live.warm_up(8)
    for _ in range(turns):
        names = [f"model_{secrets.token_hex(6)}" for _ in range(3)]
        models = [await new_model(live) for _ in range(3)] if made_before else names
        orders = list(itertools.permutations(models))
        experiments = [await new_experiment(live) for _ in orders]
        pairs = zip(experiments, orders, strict=True)
        replies = await at_once(complete(live, each, *order, createModel=True) for each, order in pairs)
        told += codes(replies)
        completed = sum(reply.code == OK for reply in replies)
        for model in models:
            assert len(await versions_of(live, model)) == completed
    # The models are locked in id order: nobody has to be sent back, not even with UNAVAILABLE.
    assert told == {OK: turns * 6}, told
    print(f"\n{turns} times 6 experiments on 3 {'' if made_before else 'new '}models in all orders: {dict(told)}")


async def test_a_revoked_key_and_a_lost_role_stop_within_five_seconds_on_every_process(live: Live) -> None:
    made = await live.ask(NEW_KEY, input={"name": "short", "email": "short@example.com", "kind": "USER"})
    await live.ask(MEMBER, input={"projectId": "proj_races", "email": "short@example.com", "role": "VIEWER"})
    key = made["createApiKey"]
    seen = '{ project(id: "proj_races") { id } }'

    async def answers() -> Counter[str]:
        """What both workers answer: each request comes by a connection of its own."""
        found: Counter[str] = Counter()
        processes: set[str] = set()
        while len(processes) < 2 or found.total() < 20:
            async with httpx.AsyncClient(trust_env=False) as client:
                headers = {"Authorization": f"Bearer {key['secret']}"}
                answer = await client.post(f"{live.url}/graphql", json={"query": seen}, headers=headers)
            processes.add(answer.headers["x-request-id"].partition("-")[0])
            found["refused" if answer.status_code == 401 else str(answer.json()["data"]["project"])] += 1
            assert found.total() < 1_000, "one worker takes all connections"
        return found

    assert set(await answers()) == {"{'id': 'proj_races'}"}
    await live.ask(LEAVE, input={"projectId": "proj_races", "email": "short@example.com"})
    await asyncio.sleep(5 - 1)
    assert set(await answers()) == {"None"}
    await live.ask(REVOKE, input={"id": key["id"]})
    await asyncio.sleep(5 - 1)
    assert set(await answers()) == {"refused"}
