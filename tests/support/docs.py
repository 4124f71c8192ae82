"""What the pages of the documentation show: requests with their answers, links, and the table of settings."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from server.settings import Settings

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
ANSWERED = re.compile(r"```graphql\n(.*?)```\n```json\n(.*?)```", re.DOTALL)
BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
TABLE = re.compile(r"(\| variable \| option \| default \| meaning \|\n\|---\|---\|---\|---\|\n)((?:\|.*\n)*)")
# A file or folder of the tree, in backticks.
NAMED = re.compile(r"`((?:server|schema|resolvers|storage|tests|scripts|docs|benchmarks)/[\w./-]*)`")
TESTS = re.compile(r"`(test_\w+\.py)`")


class Example(NamedTuple):
    """A request, and the answer that is printed below it."""

    page: Path
    request: str
    printed: str


def examples(page: Path) -> list[Example]:
    return [Example(page, *match) for match in ANSWERED.findall(page.read_text())]


def block_of(page: Path, language: str, beginning: str = "") -> str:
    """The first code block of a language that begins so."""
    found = re.search(rf"^```{language}\n({re.escape(beginning)}.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    assert found, f"{page} has no such {language} block"
    return found[1]


def settings_rows() -> str:
    """The rows of the table of settings, as they are in server/settings.py."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = f"`{field.default}`" if field.default else ""
        option = f"--{name.replace('_', '-')}"
        meaning = str(field.description).replace("|", "\\|")
        rows.append(f"| `LINEAL_{name.upper()}` | `{option}` | {default} | {meaning} |\n")
    return "".join(rows)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    return LINK.findall(BLOCK.sub("", page.read_text()))


def is_dead(page: Path, link: str) -> bool:
    if link.startswith(("https://", "http://")):
        return False
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return not target.exists() or bool(anchor and anchor not in anchors(target))


def missing_files(page: Path) -> set[str]:
    """The files and folders that a page names and the tree does not have."""
    text = page.read_text()
    named = {path for path in NAMED.findall(text) if not (ROOT / path).exists()}
    return named | {name for name in TESTS.findall(text) if not list((ROOT / "tests").rglob(name))}


def reworded(printed: Any, found: Any) -> Iterator[tuple[str, str]]:
    """The texts of two answers that differ at the same place."""
    if isinstance(printed, dict) and isinstance(found, dict):
        pairs = [(printed[key], found[key]) for key in printed.keys() & found.keys()]
    elif isinstance(printed, list) and isinstance(found, list):
        pairs = list(zip(printed, found, strict=False))
    else:
        if isinstance(printed, str) and isinstance(found, str) and printed != found:
            yield printed, found
        return
    for pair in pairs:
        yield from reworded(*pair)


def correct_texts(example: Example, found: Any) -> None:
    """Write the texts of an answer into its page as they are now."""
    corrected = example.printed
    for before, after in reworded(json.loads(example.printed), found):
        corrected = corrected.replace(json.dumps(before, ensure_ascii=False), json.dumps(after, ensure_ascii=False))
    example.page.write_text(example.page.read_text().replace(example.printed, corrected))


def correct_settings(page: Path) -> None:
    page.write_text(TABLE.sub(lambda match: match[1] + settings_rows(), page.read_text()))
