"""A project's shared vocabulary."""

from typing import Any

import pytest

from tests.conftest import POLICY, Registry
from tests.support.documents import ADD_TAGS, REMOVE_TAGS, creating_version

DEFINE = """mutation($input: DefineTagInput!) { defineTag(input: $input) {
    project { tagVocabulary { name description aliases deprecated } } } }"""
REGISTER = creating_version("tags version")


async def define(registry: Registry, project: str, name: str, **stated: Any) -> Any:
    done = await registry.ask(DEFINE, input={"projectId": project, "name": name} | stated)
    return done["defineTag"]["project"]["tagVocabulary"]


async def register(registry: Registry, project: str, *tags: str) -> Any:
    new = {"projectId": project, "modelId": f"model_{project[5:]}", "createModel": True, "bump": "MINOR"}
    return (await registry.ask(REGISTER, input=new | {"tags": list(tags)}))["createVersion"]


async def test_a_tag_is_defined_and_defined_anew(registry: Registry, project: str) -> None:
    await define(registry, project, "production-ready", aliases=["prod-ready", "approved"], description="May serve.")
    vocabulary = await define(registry, project, "production-ready", deprecated=True)
    assert vocabulary == [
        {
            "name": "production-ready",
            "description": "May serve.",
            "aliases": ["approved", "prod-ready"],
            "deprecated": True,
        }
    ]
    vocabulary = await define(registry, project, "production-ready", aliases=["prod-ready"], deprecated=False)
    assert (vocabulary[0]["aliases"], vocabulary[0]["deprecated"]) == (["prod-ready"], False)


@pytest.mark.parametrize(
    ("name", "aliases", "field"),
    [("prod-ready", [], "input.name"), ("other", ["prod-ready"], "input.aliases"), ("x", ["x"], "input.aliases"),
     ("other", ["production-ready"], "input.aliases")],
)  # fmt: skip
async def test_a_name_stands_for_one_tag(registry: Registry, project: str, name: str, aliases: Any, field: str) -> None:
    await define(registry, project, "production-ready", aliases=["prod-ready"])
    refusal = await registry.refusal(DEFINE, input={"projectId": project, "name": name, "aliases": aliases})
    assert (refusal["code"], refusal["field"]) == ("CONFLICT", field)


async def test_aliases_turn_into_the_shared_name_wherever_tags_are_written(registry: Registry, project: str) -> None:
    await define(registry, project, "production-ready", aliases=["prod-ready", "approved"])
    made = await register(registry, project, "prod-ready", "approved")
    assert (made["version"]["tags"], made["warnings"]) == (["production-ready"], [])
    which = {"modelId": f"model_{project[5:]}", "version": made["version"]["version"]}
    added = await registry.ask(ADD_TAGS, input=which | {"tags": ["approved", "keep"]})
    assert added["addTags"] == {"warnings": [], "version": {"tags": ["keep", "production-ready"]}}
    removed = await registry.ask(REMOVE_TAGS, input=which | {"tags": ["approved"]})
    assert removed["removeTags"]["version"]["tags"] == ["keep"]


async def test_unknown_tags_are_warned_of_with_the_nearest_known(registry: Registry, project: str) -> None:
    await define(registry, project, "production-ready", aliases=["prod-ready"])
    await define(registry, project, "old", deprecated=True)
    made = await register(registry, project, "producton-ready", "zzz", "old")
    assert made["version"]["tags"] == ["old", "producton-ready", "zzz"]
    assert made["warnings"] == [
        'The tag "producton-ready" is not in the project\'s vocabulary; the nearest tag is "production-ready".',
        'The tag "zzz" is not in the project\'s vocabulary.',
        'The tag "old" is deprecated in this project.',
    ]


async def test_an_enforced_vocabulary_refuses_what_it_does_not_know(registry: Registry, project: str) -> None:
    await define(registry, project, "candidate")
    await registry.ask(POLICY, input={"projectId": project, "tags": "ENFORCE"})
    made = await register(registry, project, "candidate", "keep")
    which = {"modelId": f"model_{project[5:]}", "version": made["version"]["version"]}
    refusal = await registry.refusal(ADD_TAGS, input=which | {"tags": ["candidate", "candidat"]})
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.tags[1]")
    assert refusal["message"].endswith("define this one with defineTag.")
    await registry.ask(POLICY, input={"projectId": project, "tags": "OFF"})
    assert (await registry.ask(ADD_TAGS, input=which | {"tags": ["candidat"]}))["addTags"]["warnings"] == []
