"""Names: one noun has one spelling on every floor, and no name is a riddle."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import PurePath

import pytest

from tests.support.sources import FLOORS, ROOT, sources

# What the house calls a thing, by other words for it.
NOUNS = {
    "account": "principal",
    "canary": "rollout",
    "hook": "webhook",
    "member": "principal",
    "person": "principal",
    "promotion": "transition",
    "request": "transition_request",
    "run": "experiment",
    "user": "principal",
}
# Named for one exact thing: the shape of a canary, the root types of the schema, the server's one gate.
EXACT = {
    "resolvers/rules/canary.py",
    "schema/mutation.py",
    "schema/subscription.py",
    "server/http/gate.py",
}
RIDDLES = {"found", "given", "said", "told", "moved", "Given", "Outcome", "Refused", "Facts", "who_asks"}


def singular(stem: str) -> str:
    if stem.endswith("ies"):
        return f"{stem[:-3]}y"
    return stem[:-1] if stem.endswith("s") and not stem.endswith("ss") else stem


def misnamed(paths: Iterable[str]) -> set[str]:
    """Files that spell a noun in another number, or name it by another word, than files of the same noun elsewhere."""
    spellings: dict[str, set[str]] = {}
    files = [PurePath(path) for path in paths if path not in EXACT]
    for file in files:
        spellings.setdefault(singular(file.stem), set()).add(file.stem)
    return {str(file) for file in files if len(spellings[singular(file.stem)]) > 1 or singular(file.stem) in NOUNS}


def names_in(source: str) -> Iterator[str]:
    """The names that a module gives: functions, classes, arguments, variables and attributes."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def ours() -> list[str]:
    files = [file for floor in FLOORS for file in sources(floor)]
    return [str(file.relative_to(ROOT)) for file in files if file.stem != "__init__" and "migrations" not in file.parts]


def test_a_noun_has_one_file_name_on_every_floor() -> None:
    assert not misnamed(ours())


@pytest.mark.parametrize("planted", ["schema/rollout.py", "storage/members.py", "resolvers/requests.py"])
def test_a_second_name_of_a_noun_is_found(planted: str) -> None:
    assert planted in misnamed([*ours(), planted])


def test_no_name_is_a_riddle() -> None:
    assert not {f"{file}: {name}" for file in ours() for name in names_in((ROOT / file).read_text()) if name in RIDDLES}


@pytest.mark.parametrize(
    "planted",
    ["found = 1", "def told(): pass", "class Outcome: pass", "def f(given): pass", "self.moved = 1", "f(said := 1)"],
)
def test_a_riddle_is_found(planted: str) -> None:
    assert RIDDLES & {*names_in(planted)}
