"""The leaves of nested JSON objects by their dotted names, wherever parameters are compared or named."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

# Of a name in a path; what is longer is cut, and told apart by a digest.
LONGEST_PART = 200


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All that is not an object in itself, by its dotted name; names that hold dots or blanks stand in quotes."""
    if not isinstance(value, Mapping) or (path and not value):
        yield path, value
        return
    for name, inner in value.items():
        part = name if re.fullmatch(r'[^.\s"]+', name) else json.dumps(name, ensure_ascii=False)
        if len(part) > LONGEST_PART:
            # It would be repeated for all that it holds.
            part = f"{part[:LONGEST_PART]}...{hashlib.sha256(name.encode()).hexdigest()[:12]}"
        yield from leaves(inner, f"{path}.{part}" if path else part)
