"""What B can learn of A by writing: ids of A, its people, its answers.

Ids are unique in the whole registry. An id of A under which B would make something is refused as a reserved one is.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from graphql import get_named_type, get_nullable_type, is_input_object_type, is_list_type

from resolvers.rules.access import Need
from tests.conftest import Registry, connect
from tests.support import oracle
from tests.support.canaries import FORMER, Neighbours, leaked, two_projects
from tests.support.filled import INPUTS, MUTATION, Input, mutation_of, replay_delivery, update_webhook, write
from tests.support.needs import MUTATIONS


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def neighbours(make_database: Callable[[], Any], make_registry: Callable[..., Any]) -> Neighbours:
    database = await make_database()
    return await two_projects(database, await make_registry(database, rate_per_second=0))


# ---------------------------------------------------------------- ids of A in what B writes


def places(of: Any, given: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where ids stand in an input."""
    for name, field in of.fields.items():
        inner: Any = get_named_type(field.type)
        is_list = is_list_type(get_nullable_type(field.type))
        for step in [(name, place) for place in range(len(given.get(name, ())))] if is_list else [(name,)]:
            if is_input_object_type(inner) and name in given:
                found = given
                for key in step:
                    found = found[key]
                yield from places(inner, found, (*path, *step))
            elif inner.name == "ID" and name in given:
                yield (*path, *step)


def at(given: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        given = given[step]
    return given


def replaced(given: Input, path: tuple[Any, ...], value: str) -> Input:
    changed = deepcopy(given)
    at(changed, path[:-1])[path[-1]] = value
    return changed


@dataclass(frozen=True)
class Ids:
    """An id of each kind in A, and one that there is not."""

    theirs: Mapping[str, str]
    nobodys: Mapping[str, str]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ids(neighbours: Neighbours) -> Ids:
    a = neighbours.a
    theirs = {
        "proj": a.project,
        "model": a.model,
        "ver": a.version_id,
        "exp": await a.new_experiment(),
        "ds": a.dataset,
        "dsv": a.dataset_version,
        "req": await a.new_request(),
        "key": await a.new_key(),
        "dep": await a.new_deployment(),
        "whk": (await update_webhook(a))["webhookId"],
        "pch": (await INPUTS["confirmPolicyChange"](a))["changeId"],
        "dlv": (await replay_delivery(a))["deliveryId"],
    }
    return Ids(theirs, {prefix: f"{prefix}_nobodys" for prefix in theirs})


async def rows_of_a(neighbours: Neighbours) -> str:
    connection = await connect(neighbours.database.app_url)
    found = [
        await connection.fetchval(
            f"SELECT string_agg(t::text, '|' ORDER BY t::text) FROM {table} t WHERE"
            f" {'id' if table == 'projects' else 'project_id'} = $1",
            neighbours.a.project,
        )
        for table in oracle.TABLES
        if table != "principals"
    ]
    await connection.close()
    return json.dumps(found)


# Mutations of B's ADMIN that name something by an id.
NAMING = [name for name, need in MUTATIONS.items() if need is not Need.INSTANCE]


@pytest.mark.parametrize("mutation", NAMING)
async def test_an_id_of_a_anywhere_in_what_b_writes_is_as_an_id_that_there_is_not(
    neighbours: Neighbours, ids: Ids, mutation: str
) -> None:
    b, query = neighbours.b, mutation_of(mutation)
    base, before = await INPUTS[mutation](b), await rows_of_a(neighbours)
    tried = list(places(get_named_type(MUTATION.fields[mutation].args["input"].type), base))
    for path in tried:
        prefix = str(at(base, path)).split("_")[0]
        their, none = ids.theirs[prefix], ids.nobodys[prefix]
        sent = replaced(base, path, their)
        response = await b.own.send(query, input=sent)
        assert not leaked(neighbours.canaries, json.dumps(sent), response.text)
        assert "errors" in response.json(), (path, response.text)
        if path == ("id",) and mutation.startswith("create"):
            continue
        absent = await b.own.send(query, input=replaced(base, path, none))
        assert response.text.replace(their, none) == absent.text
    assert tried
    assert await rows_of_a(neighbours) == before


@pytest.mark.parametrize("mutation", NAMING)
async def test_who_is_in_both_projects_cannot_bring_anything_of_a_into_b(
    neighbours: Neighbours, ids: Ids, mutation: str
) -> None:
    base = await INPUTS[mutation](neighbours.b)
    of = get_named_type(MUTATION.fields[mutation].args["input"].type)
    tried = [path for path in places(of, base) if path != ("id",)]
    for path in tried if len(tried) > 1 else []:
        sent = replaced(base, path, ids.theirs[str(at(base, path)).split("_")[0]])
        assert (await neighbours.both.refusal(mutation_of(mutation), input=sent))["code"] in (
            "NOT_FOUND",
            "BAD_USER_INPUT",
        )


# ---------------------------------------------------------------- ids that are taken

CREATING = [name for name, need in MUTATIONS.items() if name.startswith("create") and need is not Need.INSTANCE]
NOUNS = {
    "createModel": "a model",
    "createDataset": "a data set",
    "createDatasetVersion": "a data set version",
    "createExperiment": "an experiment",
}
# How an input names what it makes, so that the same input is tried with several ids.
NAMED = {"createVersion": "modelId"}


async def making(neighbours: Neighbours, mutation: str, id_: str) -> Input:
    base = await INPUTS[mutation](neighbours.b)
    if mutation == "createVersion":
        return {"projectId": neighbours.b.project, "modelId": id_, "createModel": True}
    return base | {"id": id_}


async def answered(neighbours: Neighbours, mutation: str, id_: str) -> tuple[int, str]:
    """How B is refused an id, without the id."""
    sent = await making(neighbours, mutation, id_)
    response = await neighbours.b.own.send(mutation_of(mutation), input=sent)
    assert "errors" in response.json(), response.text
    return response.status_code, response.text.replace(id_, "")


def reserved(id_: str) -> str:
    return f"{id_.split('_', maxsplit=1)[0]}_lineal.{id_.split('_')[1]}"


@pytest.mark.parametrize("mutation", [*NOUNS, "createVersion"])
async def test_an_id_that_is_taken_in_a_is_refused_exactly_as_a_reserved_one(
    neighbours: Neighbours, ids: Ids, mutation: str
) -> None:
    assert set(NOUNS) | {"createVersion", "createDeployment", "createWebhook"} == set(CREATING)
    prefix = "model" if mutation == "createVersion" else str((await INPUTS[mutation](neighbours.b))["id"]).split("_")[0]
    taken = ids.theirs[prefix]
    refused = await answered(neighbours, mutation, taken)
    assert refused == await answered(neighbours, mutation, reserved(taken))
    (error,) = json.loads(refused[1])["errors"]
    field = f"input.{NAMED.get(mutation, 'id')}"
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": field}
    assert error["message"] == f'{field} is ""; this id is reserved or in use. Choose another id.'


@pytest.mark.parametrize("mutation", NOUNS)
async def test_an_id_that_is_taken_in_sight_is_told_to_be_taken(neighbours: Neighbours, mutation: str) -> None:
    base = await INPUTS[mutation](neighbours.b)
    await write(neighbours.b.own, mutation, base)
    again = {"id": base["id"]} | {k: v for k, v in (await INPUTS[mutation](neighbours.b)).items() if k != "id"}
    refusal = await neighbours.b.own.refusal(mutation_of(mutation), input=again)
    sentence = f"There is {NOUNS[mutation]} with this id already; ids are never reused. Choose another id."
    assert refusal == {"code": "ALREADY_EXISTS", "field": "input.id", "message": sentence}


async def test_whatever_else_is_wrong_with_a_request_does_not_tell_an_id_in_use_from_a_reserved_one(
    neighbours: Neighbours, ids: Ids
) -> None:
    b = neighbours.b
    name = b.text()
    await write(b.own, "createModel", {"projectId": b.project, "name": name})
    for mutation, prefix, wrong in (
        ("createModel", "model", {"projectId": b.project, "name": name}),
        ("createDatasetVersion", "dsv", {"datasetId": b.dataset, "label": "a", "parentIds": ["dsv_nobodys"]}),
        ("createExperiment", "exp", {"projectId": b.project, "name": "a", "datasetVersionId": "dsv_nobodys"}),
    ):
        texts = []
        for id_ in (ids.theirs[prefix], reserved(ids.theirs[prefix])):
            response = await b.own.send(mutation_of(mutation), input=wrong | {"id": id_})
            texts.append(response.text.replace(id_, ""))
        assert texts[0] == texts[1]
        assert "reserved or in use" in texts[0]


@pytest.mark.parametrize("mutation", ["createModel", "createVersion"])
async def test_two_who_make_the_same_id_at_once_do_not_hear_of_each_other(
    neighbours: Neighbours, mutation: str
) -> None:
    id_ = neighbours.a.id("model")
    racing = await connect(neighbours.database.app_url)
    async with racing.transaction():
        await racing.execute(
            "INSERT INTO models (id, project_id, name, created_by) VALUES ($1, $2, $1, 'a')", id_, neighbours.a.project
        )
        slower = asyncio.create_task(answered(neighbours, mutation, id_))
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
        while not await racing.fetchval(waiting):
            assert not slower.done(), slower.result()
            await asyncio.sleep(0.01)
    await racing.close()
    assert await slower == await answered(neighbours, mutation, reserved(id_))


# ---------------------------------------------------------------- people

MEMBERS = "{ project { members { email role kind createdBy } } }"


async def test_making_somebody_a_member_does_not_tell_whether_the_address_is_known(neighbours: Neighbours) -> None:
    told = []
    for email in (neighbours.a.admin, "unheard.of@example.com"):
        sent = {"projectId": neighbours.b.project, "email": email, "role": "VIEWER"}
        response = await neighbours.b.own.send(mutation_of("setMember"), input=sent)
        assert not leaked(neighbours.canaries, json.dumps(sent), response.text)
        members = (await write(neighbours.b.own, "setMember", sent, MEMBERS))["project"]["members"]
        told.append(next(member for member in members if member["email"] == email) | {"email": ""})
        await write(neighbours.b.own, "removeMember", {"projectId": neighbours.b.project, "email": email})
    assert told[0] == told[1] == {"email": "", "role": "VIEWER", "kind": "USER", "createdBy": neighbours.b.admin}


async def test_taking_somebody_out_does_not_tell_whether_the_address_is_known(neighbours: Neighbours) -> None:
    told = []
    for email in (neighbours.a.admin, "nobody@example.com"):
        sent = {"projectId": neighbours.b.project, "email": email}
        told.append(json.dumps(await neighbours.b.own.refusal(mutation_of("removeMember"), input=sent)))
    assert told[0].replace(neighbours.a.admin, "nobody@example.com") == told[1]


async def test_a_reviewer_of_a_is_nobody_whose_approval_counts_in_b(neighbours: Neighbours) -> None:
    version = await neighbours.b.new_version("STAGING") | {"targetStage": "PRODUCTION"}
    told = []
    for email in (neighbours.a.admin, "nobody@example.com"):
        refusal = await neighbours.b.own.refusal(mutation_of("transitionStage"), input=version | {"approvedBy": email})
        assert refusal["reason"] == "UNKNOWN_REVIEWER"
        told.append(json.dumps(refusal).replace(email, ""))
    assert told[0] == told[1]


async def test_what_is_told_of_a_member_does_not_hold_its_other_roles(neighbours: Neighbours) -> None:
    narrow = neighbours.askers["an ADMIN of both, by a key of B"]
    query = "{ viewer { memberships { project { id } } } principals { nodes { memberships { project { id } } } } }"
    only_b = [{"project": {"id": neighbours.b.project}}]
    assert await narrow.ask(query) == {
        "viewer": {"memberships": only_b},
        "principals": {"nodes": [{"memberships": only_b}]},
    }
    keys = await narrow.ask("{ apiKeys { totalCount nodes { project { id } } } }")
    assert keys["apiKeys"] == {"totalCount": 1, "nodes": only_b}


async def test_who_made_a_principal_known_is_told_to_who_administers_the_instance_alone(neighbours: Neighbours) -> None:
    query = "{ principals { nodes { email createdBy } } }"
    former = await neighbours.askers["B's VIEWER, formerly of A"].ask(query)
    assert former["principals"]["nodes"] == [{"email": FORMER, "createdBy": None}]
    everybody = await neighbours.a.root.ask("{ principals(first: 100) { nodes { email createdBy } } }")
    assert {"email": FORMER, "createdBy": neighbours.a.admin} in everybody["principals"]["nodes"]


# ---------------------------------------------------------------- answers that are kept


async def test_an_idempotency_key_opens_nobody_elses_answer(neighbours: Neighbours) -> None:
    query = mutation_of("createModel")
    sent = {"projectId": neighbours.a.project, "name": neighbours.a.text()}

    async def send(registry: Registry) -> str:
        headers = {"Authorization": f"Bearer {registry.key}", "Idempotency-Key": "once"}
        body = {"query": query, "variables": {"input": sent}}
        return (await registry.client.post("/graphql", json=body, headers=headers)).text

    first = await send(neighbours.both)
    assert neighbours.a.project in first
    assert await send(neighbours.both) == first
    for registry in neighbours.askers.values():
        answer = json.loads(await send(registry))
        assert answer["data"] == {"createModel": None}
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["NOT_FOUND"]
