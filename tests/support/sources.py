"""The source files of the floors, and what they import."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FLOORS = ["storage", "resolvers", "schema", "server"]  # from the ground up


def sources(folder: str) -> list[Path]:
    return [file for file in sorted((ROOT / folder).rglob("*.py")) if "migrations" not in file.parts]


def imports(file: Path) -> set[str]:
    """The modules that a file imports, by their full names."""
    return imports_of(file.read_text())


def imports_of(source: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names
