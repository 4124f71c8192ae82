"""What modules may import, beside the order of the floors (tests/test_house.py)."""

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions

import pytest

from tests.support.sources import FLOORS, ROOT, imports, sources

DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
DISTRIBUTIONS = packages_distributions()


def normal(name: str) -> str:
    """The name of a distribution as PEP 503 compares it, without what may follow it in a requirement."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", name)[0]).lower()  # type: ignore[index]


def undeclared(modules: Iterable[str], declared: Iterable[str]) -> set[str]:
    """The modules of these whose distribution none of these requirements name."""
    known = set(map(normal, declared))
    top = {name.split(".")[0] for name in modules} - {*FLOORS, *sys.stdlib_module_names}
    return {name for name in top if not known & set(map(normal, DISTRIBUTIONS.get(name, [])))}


@pytest.mark.parametrize("floor", FLOORS)
def test_every_package_that_is_imported_is_declared(floor: str) -> None:
    assert not undeclared((name for file in sources(floor) for name in imports(file)), DECLARED)


def test_a_package_that_only_comes_with_another_is_not_declared() -> None:
    without = [each for each in DECLARED if not each.startswith(("graphql-core", "httpcore"))]
    assert undeclared(["graphql.language", "httpcore", "jwt", "yaml", "asyncio"], without) == {"graphql", "httpcore"}


def test_every_declared_package_is_pinned() -> None:
    pinned = {normal(line) for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line}
    assert not set(map(normal, DECLARED)) - pinned


IN_TESTS = sorted((ROOT / "tests").rglob("*.py")) + sorted((ROOT / "benchmarks").rglob("*.py"))


def test_nothing_is_imported_from_a_module_of_tests() -> None:
    # What several of them need stands in tests/support.
    borrowed = {
        (str(file.relative_to(ROOT)), name)
        for file in IN_TESTS
        for name in imports(file)
        if name.split(".")[0] == "tests" and name.split(".")[-1].startswith("test_")
    }
    assert not borrowed
