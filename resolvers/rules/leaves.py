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


# Facts that trackers write beside hyper-parameters, by the last part of their names.
NO_PARAMETERS = frozenset(
    {
        *("commit", "git_commit", "git_sha", "git_hash", "commit_hash", "commit_sha", "git_branch", "git_url"),
        *("run_id", "run_name", "run_url", "job_id", "pipeline_id", "experiment_id", "build_id", "build_url"),
        *("license", "licence", "url", "link", "homepage", "docker_image", "hostname", "username"),
    }
)


def misplaced(parameters: Mapping[str, Any]) -> list[str]:
    """A warning of parameters that are no hyper-parameters; each change of them would ask for a bump."""
    names = [name for name, _ in leaves(parameters) if name.rpartition(".")[2].lower() in NO_PARAMETERS]
    if not names:
        return []
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return [
        f"parameters has {', '.join(names[:3])}{more}, which no training depends on. Send such facts as properties: a"
        " change of parameters requires a MINOR bump."
    ]
