"""Corrections: what can be changed of what is registered, what the log says of it, and what is never changed."""

import asyncio
from typing import Any

import asyncpg
import pytest

from tests.conftest import Cluster, Registry, connect, make_key, make_project
from tests.support.documents import CREATE_MODEL, CREATE_VERSION, creating_version
from tests.support.receivers import MAKE, deliveries, fine, happen, listen, receiving, send_due, sending

UPDATE_PROJECT = """mutation($input: UpdateProjectInput!) { updateProject(input: $input) {
    project { name description } } }"""
UPDATE_MODEL = """mutation($input: UpdateModelInput!) { updateModel(input: $input) {
    model { name description owner properties archived updatedAt } } }"""
UPDATE_DATASET = """mutation($input: UpdateDatasetInput!) { updateDataset(input: $input) {
    dataset { name description } } }"""
UPDATE_EXPERIMENT = """mutation($input: UpdateExperimentInput!) { updateExperiment(input: $input) {
    experiment { name notes status } } }"""
MOVE_ARTIFACT = """mutation($input: MoveArtifactInput!) { moveArtifact(input: $input) {
    version { artifact { uri digest movedAt } } } }"""
DELETE_WEBHOOK = "mutation($input: DeleteWebhookInput!) { deleteWebhook(input: $input) { id project { id } } }"
CREATE_DATASET = "mutation($input: CreateDatasetInput!) { createDataset(input: $input) { dataset { id } } }"
CREATE_EXPERIMENT = "mutation($input: CreateExperimentInput!) { createExperiment(input: $input) { experiment { id } } }"
EVENTS = """query($id: ID!) { auditEvents(filter: {subjectId: $id}, first: 100) { nodes {
    action actor notes details } } }"""
MODELS = """query($id: ID!, $q: String) { project(id: $id) { models { totalCount nodes { id } } }
    models(projectId: $id, query: $q) { totalCount nodes { id } } }"""
FOUND = "query($q: String!, $m: ID!) { searchVersions(filter: {query: $q, modelId: $m}) { totalCount } }"


async def events_of(registry: Registry, subject: str) -> list[dict[str, Any]]:
    """The events about something, the latest first."""
    return list((await registry.ask(EVENTS, id=subject))["auditEvents"]["nodes"])


async def new_model(registry: Registry, project: str, name: str = "Churn", **facts: Any) -> str:
    made = await registry.ask(CREATE_MODEL, input={"projectId": project, "name": name, **facts})
    return str(made["createModel"]["model"]["id"])


async def subjects(registry: Registry, project: str) -> dict[str, str]:
    """One of each that can be corrected, by its mutation."""
    dataset = await registry.ask(CREATE_DATASET, input={"projectId": project, "name": "Clciks", "description": "Old."})
    run = {"projectId": project, "name": "Clciks", "notes": "Old."}
    experiment = await registry.ask(CREATE_EXPERIMENT, input=run)
    await registry.ask(UPDATE_PROJECT, input={"projectId": project, "name": "Clciks", "description": "Old."})
    return {
        "project": project,
        "model": await new_model(registry, project, "Clciks", description="Old."),
        "dataset": dataset["createDataset"]["dataset"]["id"],
        "experiment": experiment["createExperiment"]["experiment"]["id"],
    }


CORRECTIONS = {
    "project": (UPDATE_PROJECT, "description"),
    "model": (UPDATE_MODEL, "description"),
    "dataset": (UPDATE_DATASET, "description"),
    "experiment": (UPDATE_EXPERIMENT, "notes"),
}


@pytest.mark.parametrize("noun", CORRECTIONS)
async def test_a_typo_is_corrected_and_the_log_keeps_both(registry: Registry, project: str, noun: str) -> None:
    query, text = CORRECTIONS[noun]
    id_ = (await subjects(registry, project))[noun]

    async def correct(**new: Any) -> Any:
        payload = next(iter((await registry.ask(query, input={f"{noun}Id": id_, **new})).values()))
        return next(iter(payload.values()))

    corrected = await correct(name=" Clicks ")
    assert (corrected["name"], corrected[text]) == ("Clicks", "Old."), "what is left out stays"
    event = (await events_of(registry, id_))[0]
    assert event["action"] == f"{noun}.updated" and event["actor"] == "ana@example.com"
    assert event["details"] == {"before": {"name": "Clciks"}, "after": {"name": "Clicks"}}
    await correct(**{text: "New.\nLines."})
    assert (await correct(**{text: ""}))[text] is None, "an empty text clears it"
    details = (await events_of(registry, id_))[0]["details"]
    assert details == {"before": {text: "New.\nLines."}, "after": {text: None}}
    # What changes nothing is no event, and neither is null.
    count = len(await events_of(registry, id_))
    await correct(name="Clicks", **{text: None})
    assert len(await events_of(registry, id_)) == count


@pytest.mark.parametrize("noun", CORRECTIONS)
@pytest.mark.parametrize(
    ("new", "problem"),
    [
        ({"name": ""}, "is empty"),
        ({"name": "x" * 201}, "at most 200"),
        ({"name": "a\nb"}, "control character"),
    ],
)
async def test_a_name_that_cannot_be_is_refused(
    registry: Registry, project: str, noun: str, new: dict[str, str], problem: str
) -> None:
    query, text = CORRECTIONS[noun]
    id_ = (await subjects(registry, project))[noun]
    count = len(await events_of(registry, id_))
    refusal = await registry.refusal(query, input={f"{noun}Id": id_, text: "New.", **new})
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.name")
    assert problem in refusal["message"]
    assert len(await events_of(registry, id_)) == count


@pytest.mark.parametrize("noun", ["model", "dataset"])
async def test_a_name_of_another_one_in_the_project_is_refused(registry: Registry, project: str, noun: str) -> None:
    query, text = CORRECTIONS[noun]
    id_ = (await subjects(registry, project))[noun]
    await new_model(registry, project, "Taken")
    await registry.ask(CREATE_DATASET, input={"projectId": project, "name": "Taken"})
    refusal = await registry.refusal(query, input={f"{noun}Id": id_, "name": "Taken", text: "New."})
    assert (refusal["code"], refusal["field"]) == ("ALREADY_EXISTS", "input.name")
    assert (await events_of(registry, id_))[0]["action"] == f"{noun}.created", "nothing of it was kept"


async def test_a_model_has_an_owner_and_properties(registry: Registry, project: str) -> None:
    origin = {"system": "mlflow", "id": "churn", "createdAt": "2024-02-29", "createdBy": "bo", "url": "https://a.b/7"}
    stated: dict[str, Any] = {"owner": "Team Growth", "properties": {"cost_center": 7, "git": None}, "origin": origin}
    model = await new_model(registry, project, **stated)
    ask = "query($id: ID!) { model(id: $id) { owner properties origin { system id createdAt createdBy url } } }"
    seen = (await registry.ask(ask, id=model))["model"]
    assert seen == stated | {"origin": origin | {"createdAt": "2024-02-29T00:00:00+00:00"}}
    changed = {"modelId": model, "owner": "growth@example.com", "properties": {"cost_center": True}}
    updated = (await registry.ask(UPDATE_MODEL, input=changed))["updateModel"]["model"]
    assert (updated["owner"], updated["properties"]) == ("growth@example.com", {"cost_center": True})
    details = (await events_of(registry, model))[0]["details"]
    assert details["before"] == {"owner": "Team Growth", "properties": {"cost_center": 7, "git": None}}
    assert details["after"] == {"owner": "growth@example.com", "properties": {"cost_center": True}}
    created = (await events_of(registry, model))[-1]["details"]["after"]
    assert created["origin"]["system"] == "mlflow" and created["properties"] == {"cost_center": 7, "git": None}
    # 1 and true are different values, 1 and 1.0 are not.
    await registry.ask(UPDATE_MODEL, input=changed | {"properties": {"cost_center": 1}})
    await registry.ask(UPDATE_MODEL, input=changed | {"properties": {"cost_center": 1.0}})
    assert (await events_of(registry, model))[0]["details"]["before"] == {"properties": {"cost_center": True}}
    for wrong, field in (({"properties": [1]}, "properties"), ({"owner": "x" * 201}, "owner")):
        assert (await registry.refusal(UPDATE_MODEL, input=changed | wrong))["field"] == f"input.{field}"
    cleared = await registry.ask(UPDATE_MODEL, input={"modelId": model, "owner": "", "properties": {}})
    assert cleared["updateModel"]["model"]["owner"] is None and cleared["updateModel"]["model"]["properties"] == {}


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "ftp://a/b", "https://u:p@host/a", "https://host/a?token=abcdefgh", "/runs/1"]
)
async def test_an_origin_is_linked_by_an_address_that_can_be_opened(registry: Registry, project: str, url: str) -> None:
    new = {"projectId": project, "name": "Linked", "origin": {"system": "mlflow", "id": "1", "url": url}}
    refusal = await registry.refusal(CREATE_MODEL, input=new)
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.origin.url")


async def test_a_version_states_where_it_was_before_and_its_history_does_not(registry: Registry, project: str) -> None:
    origin = {"system": "mlflow", "id": "churn/7", "createdAt": "2019-01-31T12:00:00+02:00", "createdBy": "bo"}
    new = {"projectId": project, "modelId": f"model_{project[5:]}", "createModel": True, "origin": origin}
    query = creating_version("id createdBy createdAt stageHistory { at } origin { system id createdAt createdBy url }")
    version = (await registry.ask(query, input=new))["createVersion"]["version"]
    assert version["origin"] == origin | {"createdAt": "2019-01-31T10:00:00+00:00", "url": None}
    assert version["createdBy"] == "ana@example.com" and version["createdAt"] > "2025"
    assert version["stageHistory"][0]["at"] > "2025"
    recorded = (await events_of(registry, version["id"]))[0]["details"]["after"]["origin"]
    assert recorded == origin | {"createdAt": "2019-01-31T10:00:00+00:00"}
    plain = (await registry.ask(query, input=new | {"origin": None}))["createVersion"]["version"]
    assert plain["origin"] is None


# ---------------------------------------------------------------- archived models


async def archive(registry: Registry, model: str, **more: Any) -> Any:
    asked = {"modelId": model, "archived": True, "reason": "Replaced by the new churn model."} | more
    return (await registry.ask(UPDATE_MODEL, input=asked))["updateModel"]["model"]


async def test_an_archived_model_is_left_out_of_lists_and_found_by_its_id(registry: Registry, project: str) -> None:
    old, current = await new_model(registry, project, "Old"), await new_model(registry, project, "Current")
    assert (await archive(registry, old))["archived"] is True
    event = (await events_of(registry, old))[0]
    assert event["details"] == {"before": {"archived": False}, "after": {"archived": True}}
    assert event["notes"] == "Replaced by the new churn model."
    seen = await registry.ask(MODELS, id=project)
    assert seen["project"]["models"] == seen["models"] == {"totalCount": 1, "nodes": [{"id": current}]}
    assert (await registry.ask(MODELS, id=project, q="old"))["models"]["totalCount"] == 0
    by_id = "query($id: ID!) { model(id: $id) { archived } node(id: $id) { id } }"
    assert await registry.ask(by_id, id=old) == {"model": {"archived": True}, "node": {"id": old}}
    back = await registry.ask(UPDATE_MODEL, input={"modelId": old, "archived": False})
    assert back["updateModel"]["model"]["archived"] is False
    assert (await registry.ask(MODELS, id=project))["models"]["totalCount"] == 2


async def test_a_model_is_not_archived_without_a_reason(registry: Registry, project: str) -> None:
    model = await new_model(registry, project)
    refusal = await registry.refusal(UPDATE_MODEL, input={"modelId": model, "archived": True, "name": "Other"})
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.reason")
    assert (await registry.ask(MODELS, id=project))["models"]["totalCount"] == 1
    assert len(await events_of(registry, model)) == 1


async def test_the_name_and_the_id_of_an_archived_model_stay_taken(registry: Registry, project: str) -> None:
    model = await new_model(registry, project, id=f"model_{project[5:]}")
    other = await new_model(registry, project, "Other")
    await archive(registry, model)
    for query, asked in (
        (CREATE_MODEL, {"projectId": project, "name": "Churn"}),
        (UPDATE_MODEL, {"modelId": other, "name": "Churn"}),
    ):
        refusal = await registry.refusal(query, input=asked)
        assert (refusal["code"], refusal["field"], refusal["id"]) == ("ALREADY_EXISTS", "input.name", model)
        assert "updateModel(archived: false)" in refusal["message"]
    taken = await registry.refusal(CREATE_MODEL, input={"projectId": project, "name": "New", "id": model})
    assert (taken["code"], taken["field"]) == ("ALREADY_EXISTS", "input.id")
    elsewhere = await make_project(registry)
    assert await new_model(registry, elsewhere, "Churn"), "names are unique in their project"


async def test_an_archived_model_accepts_no_new_version(registry: Registry, project: str) -> None:
    model = f"model_{project[5:]}"
    new = {"projectId": project, "modelId": model, "createModel": True}
    await registry.ask(CREATE_VERSION, input=new)
    await archive(registry, model)
    refusal = await registry.refusal(CREATE_VERSION, input=new)
    assert (refusal["code"], refusal["field"], refusal["id"]) == ("CONFLICT", "input.modelId", model)
    found = await registry.ask("query($id: ID!) { model(id: $id) { versions { totalCount } } }", id=model)
    assert found["model"]["versions"]["totalCount"] == 1
    await registry.ask(UPDATE_MODEL, input={"modelId": model, "archived": False})
    await registry.ask(CREATE_VERSION, input=new)


# ---------------------------------------------------------------- editors at once


async def test_of_editors_at_once_each_event_begins_where_the_one_before_ended(
    registry: Registry, project: str
) -> None:
    ids = await subjects(registry, project)
    for noun, (query, text) in CORRECTIONS.items():
        edits = [{"name": f"{noun} {n}"} for n in range(6)] + [{text: f"{noun} {n}"} for n in range(6)]
        await asyncio.gather(*(registry.ask(query, input={f"{noun}Id": ids[noun], **edit}) for edit in edits))
        told = [e["details"] for e in await events_of(registry, ids[noun]) if e["action"] == f"{noun}.updated"]
        for field in ("name", text):
            changes = [(d["before"][field], d["after"][field]) for d in reversed(told) if field in d["after"]]
            changes = changes[-6:]
            assert len(changes) == 6
            assert [before for before, _ in changes[1:]] == [after for _, after in changes[:-1]]


async def test_a_model_renamed_while_others_register_is_found_by_its_new_name_alone(
    registry: Registry, project: str
) -> None:
    model = f"model_{project[5:]}"
    await new_model(registry, project, "Chrun quokka", id=model)
    new = {"projectId": project, "modelId": model}
    renames = [registry.ask(UPDATE_MODEL, input={"modelId": model, "name": f"Churn wombat{n}"}) for n in range(3)]
    await asyncio.gather(*(registry.ask(CREATE_VERSION, input=new) for _ in range(8)), *renames)
    name = (await registry.ask("query($id: ID!) { model(id: $id) { name } }", id=model))["model"]["name"]
    word = name.split()[1]
    assert (await registry.ask(FOUND, q=word, m=model))["searchVersions"]["totalCount"] == 8
    for gone in {"quokka", "wombat0", "wombat1", "wombat2"} - {word}:
        assert (await registry.ask(FOUND, q=f'"{gone}"', m=model))["searchVersions"]["totalCount"] == 0


async def test_two_who_take_one_name_at_once_do_not_both_have_it(registry: Registry, project: str) -> None:
    first, second = await new_model(registry, project, "One"), await new_model(registry, project, "Two")
    sent = [registry.send(UPDATE_MODEL, input={"modelId": model, "name": "Same"}) for model in (first, second)]
    sent.append(registry.send(CREATE_MODEL, input={"projectId": project, "name": "Same"}))
    answers = [reply.json() for reply in await asyncio.gather(*sent)]
    codes = [answer["errors"][0]["extensions"]["code"] for answer in answers if "errors" in answer]
    assert codes == ["ALREADY_EXISTS", "ALREADY_EXISTS"]


async def test_an_experiments_new_name_and_notes_are_what_its_versions_are_found_by(
    registry: Registry, project: str
) -> None:
    experiment = (await subjects(registry, project))["experiment"]
    model = f"model_{project[5:]}"
    new = {"projectId": project, "modelId": model, "createModel": True, "experimentId": experiment}
    await registry.ask(CREATE_VERSION, input=new)
    await registry.ask(UPDATE_EXPERIMENT, input={"experimentId": experiment, "name": "Numbat", "notes": "Echidna."})
    for word, count in (("numbat", 1), ("echidna", 1), ("clciks", 0)):
        assert (await registry.ask(FOUND, q=word, m=model))["searchVersions"]["totalCount"] == count


# ---------------------------------------------------------------- when anything of a model changed


async def test_a_model_says_when_anything_of_it_last_changed(registry: Registry, project: str) -> None:
    model = f"model_{project[5:]}"
    named = {"modelId": model, "version": "1.0.0"}
    steps: list[tuple[str, dict[str, Any]]] = [
        ("createVersion", {"projectId": project, "modelId": model}),
        ("addTags", named | {"tags": ["a"]}),
        ("updateModelCard", named | {"modelCard": {"description": "A."}}),
        ("transitionStage", named | {"targetStage": "STAGING"}),
        ("setAlias", named | {"alias": "champion"}),
        ("createDeployment", {
            "projectId": project, "registryVersion": named, "name": f"d-{project}", "environment": "test",
            "strategy": "DIRECT",
        }),
        ("updateModel", {"modelId": model, "owner": "Team"}),
    ]  # fmt: skip
    inputs = {"addTags": "TagsInput"}
    await new_model(registry, project, id=model)
    ask = "query($id: ID!) { model(id: $id) { createdAt updatedAt } }"
    last = (await registry.ask(ask, id=model))["model"]["updatedAt"]
    for mutation, given in steps:
        of = inputs.get(mutation, mutation[0].upper() + mutation[1:] + "Input")
        await registry.ask(f"mutation($input: {of}!) {{ {mutation}(input: $input) {{ __typename }} }}", input=given)
        now = (await registry.ask(ask, id=model))["model"]["updatedAt"]
        assert now > last, mutation
        last = now
    await new_model(registry, project, "Another")
    assert (await registry.ask(ask, id=model))["model"]["updatedAt"] == last


# ---------------------------------------------------------------- artifacts


async def with_artifact(registry: Registry, project: str, **artifact: Any) -> dict[str, Any]:
    """A version, as inputs name it."""
    model = f"model_{project[5:]}"
    new = {"projectId": project, "modelId": model, "createModel": True}
    query = creating_version("id version")
    made = await registry.ask(query, input=new | ({"artifact": artifact} if artifact else {}))
    return {"modelId": model, "version": made["createVersion"]["version"]["version"]}


async def artifact_of(registry: Registry, version: dict[str, Any]) -> Any:
    query = "query($m: ID!, $v: SemVer!) { version(modelId: $m, version: $v) { id artifact { uri digest movedAt } } }"
    return (await registry.ask(query, m=version["modelId"], v=version["version"]))["version"]


async def test_an_artifact_moves_with_its_digest_and_the_log_keeps_both_places(
    registry: Registry, project: str
) -> None:
    version = await with_artifact(registry, project, uri="s3://old/m", digest="sha256:ab", sizeBytes=7)
    reason = {"reason": "The bucket is closed."}
    moved = await registry.ask(MOVE_ARTIFACT, input=version | {"uri": "s3://new/m"} | reason)
    artifact = moved["moveArtifact"]["version"]["artifact"]
    assert (artifact["uri"], artifact["digest"]) == ("s3://new/m", "sha256:ab") and artifact["movedAt"]
    seen = await artifact_of(registry, version)
    event = (await events_of(registry, seen["id"]))[0]
    assert (event["action"], event["notes"]) == ("version.artifactMoved", "The bucket is closed.")
    assert event["details"] == {
        "before": {"artifact": {"uri": "s3://old/m", "digest": "sha256:ab"}},
        "after": {"artifact": {"uri": "s3://new/m", "digest": "sha256:ab"}},
    }
    # The same digest may be stated; the same place is no move.
    again = version | {"uri": "s3://newer/m", "digest": "SHA256:AB"} | reason
    await registry.ask(MOVE_ARTIFACT, input=again)
    count = len(await events_of(registry, seen["id"]))
    await registry.ask(MOVE_ARTIFACT, input=again)
    assert len(await events_of(registry, seen["id"])) == count


async def test_an_artifact_with_another_digest_or_without_one_is_not_moved(registry: Registry, project: str) -> None:
    known = await with_artifact(registry, project, uri="s3://old/m", digest="sha256:ab")
    plain = await with_artifact(registry, project, uri="s3://old/n")
    nothing = await with_artifact(registry, project)
    to = {"uri": "s3://new/m", "reason": "Moved."}
    other = await registry.refusal(MOVE_ARTIFACT, input=known | to | {"digest": "sha256:cd"})
    assert (other["code"], other["field"], other["current"]) == ("CONFLICT", "input.digest", "sha256:ab")
    for version in (plain, nothing):
        assert (await registry.refusal(MOVE_ARTIFACT, input=version | to))["code"] == "CONFLICT"
    secret = await registry.refusal(MOVE_ARTIFACT, input=known | to | {"uri": "https://u:p@host/m"})
    assert (secret["code"], secret["field"]) == ("BAD_USER_INPUT", "input.uri")
    empty = await registry.refusal(MOVE_ARTIFACT, input=known | to | {"reason": " "})
    assert (empty["code"], empty["field"]) == ("BAD_USER_INPUT", "input.reason")
    for version, uri in ((known, "s3://old/m"), (plain, "s3://old/n")):
        seen = await artifact_of(registry, version)
        assert (seen["artifact"]["uri"], seen["artifact"]["movedAt"]) == (uri, None)
        assert len(await events_of(registry, seen["id"])) == 1


async def test_a_version_whose_artifact_was_moved_is_the_same_to_its_children(registry: Registry, project: str) -> None:
    parent = await with_artifact(registry, project, uri="s3://old/m", digest="sha256:ab")
    await with_artifact(registry, project, uri="s3://old/m", digest="sha256:ab")
    await registry.ask(MOVE_ARTIFACT, input=parent | {"uri": "s3://new/m", "reason": "Moved."})
    query = "query($id: ID!) { model(id: $id) { latestVersion { change { reasons } } } }"
    found = await registry.ask(query, id=parent["modelId"])
    assert found["model"]["latestVersion"]["change"]["reasons"] == ["No training fact changed."]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE versions SET artifact_uri = 's3://elsewhere'",
        "UPDATE versions SET artifact_uri = NULL",
        "UPDATE versions SET artifact_digest = 'sha256:cd'",
        "UPDATE versions SET artifact_moved_at = NULL",
        "UPDATE versions SET ordinal = 7",
        "UPDATE versions SET origin = '{}'",
        "UPDATE models SET updated_at = now()",
        "UPDATE models SET origin = '{}'",
    ],
)
async def test_who_holds_the_apps_role_moves_no_artifact_without_an_event(
    registry: Registry, project: str, database: Cluster, change: str
) -> None:
    await with_artifact(registry, project, uri="s3://old/m", digest="sha256:ab")
    thief = await connect(database.app_url)
    refused = (asyncpg.InsufficientPrivilegeError, asyncpg.IntegrityConstraintViolationError)
    with pytest.raises(refused):
        await thief.execute(f"{change} WHERE project_id = '{project}'")
    await thief.close()


# ---------------------------------------------------------------- webhooks


async def test_a_webhook_is_deleted_with_its_deliveries_and_the_log_keeps_what_it_was(
    registry: Registry, project: str, database: Cluster
) -> None:
    async with sending(database) as sender, receiving(fine) as receiver:
        made = await listen(registry, project, receiver.url, description="For the team.")
        await happen(registry, project)
        await send_due(sender)
        assert [each["status"] for each in await deliveries(registry, project)] == ["DELIVERED"] * 3
        webhook = made["webhook"]["id"]
        deleted = await registry.ask(DELETE_WEBHOOK, input={"webhookId": webhook})
        assert deleted["deleteWebhook"] == {"id": webhook, "project": {"id": project}}
        received = len(receiver.got)
        await happen(registry, project, 2)
        await send_due(sender)
        assert len(receiver.got) == received, "nothing is sent any more"
    seen = await registry.ask("query($id: ID!) { project(id: $id) { webhooks { id } } }", id=project)
    assert seen["project"]["webhooks"] == []
    event = (await events_of(registry, webhook))[0]
    before = {"url": receiver.url, "actions": [], "description": "For the team.", "active": True}
    assert (event["action"], event["details"]) == ("webhook.deleted", {"before": before, "after": None})
    thief = await connect(database.app_url)
    await listen(registry, project, "https://example.com/b")
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="no event of the same transaction"):
        await thief.execute("DELETE FROM webhooks WHERE project_id = $1", project)
    await thief.close()
    again = await registry.refusal(DELETE_WEBHOOK, input={"webhookId": webhook})
    assert (again["code"], again["field"]) == ("NOT_FOUND", "input.webhookId")


async def test_a_webhook_that_is_deleted_while_it_is_sent_to_ends_quietly(
    registry: Registry, project: str, database: Cluster
) -> None:
    arrived, go = asyncio.Event(), asyncio.Event()

    async def slow(number: int) -> tuple[int, dict[str, str]]:
        arrived.set()
        await go.wait()
        return 204, {}

    async with sending(database) as sender, receiving(slow) as receiver:
        webhook = (await listen(registry, project, receiver.url))["webhook"]["id"]
        await happen(registry, project)
        while not await sender.start_due():
            await asyncio.sleep(0.01)
        await arrived.wait()
        await registry.ask(DELETE_WEBHOOK, input={"webhookId": webhook})
        go.set()
        await send_due(sender)
    left = await registry.ask("query($id: ID!) { project(id: $id) { webhooks { id } } }", id=project)
    assert left["project"]["webhooks"] == []


async def test_only_an_admin_deletes_a_webhook_or_renames_a_project(
    registry: Registry, project: str, database: Cluster
) -> None:
    webhook = (await registry.ask(MAKE, input={"projectId": project, "url": "https://example.com/a"}))["createWebhook"]
    key = await make_key(database.app_url, f"carol-{project[5:]}@example.com", role="CONTRIBUTOR", project=project)
    carol = registry.with_key(key)
    for query, asked in (
        (DELETE_WEBHOOK, {"webhookId": webhook["webhook"]["id"]}),
        (UPDATE_PROJECT, {"projectId": project, "name": "Mine"}),
    ):
        refusal = await carol.refusal(query, input=asked)
        assert (refusal["code"], refusal["needed"]) == ("FORBIDDEN", "ADMIN")
