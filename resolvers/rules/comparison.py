"""The differences between two to ten versions, with the first as the baseline (product description, "Comparing Model
Versions").

A difference is the last version's value minus the baseline's. A value that either does not state is unknown, and so is
everything derived from it. Parameters are compared leaf by leaf, nested objects by dotted names. Lists are leaves.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from resolvers.rules.bumps import Change, TrainingFacts, required_change
from resolvers.rules.metrics import higher_is_better
from resolvers.rules.same import ABSENT, same

MOST = 10

# One version as compared.sql returns it.
Version = Mapping[str, Any]


def metric_diffs(versions: Sequence[Version]) -> list[dict[str, Any]]:
    return _metric_diffs([version["metrics"] for version in versions])


def _metric_diffs(measured: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    names = sorted({name for metrics in measured for name in metrics})
    return [_metric_diff(name, [metrics.get(name) for metrics in measured]) for name in names]


def _metric_diff(name: str, values: Sequence[float | None]) -> dict[str, Any]:
    first, last, better = values[0], values[-1], higher_is_better(name)
    delta = None if first is None or last is None else _finite(last - first)
    return {
        "name": name,
        "values": values,
        "delta": delta,
        "relativeDelta": _finite(delta / abs(first)) if delta is not None and first else None,
        "higherIsBetter": better,
        "improved": _improved(first, last, better),
    }


def _improved(first: float | None, last: float | None, higher_is_better: bool | None) -> bool | None:
    if first is None or last is None or higher_is_better is None:
        return None
    return last > first if higher_is_better else last < first


def _finite(number: float) -> float | None:
    """Numbers at the ends of a double's range can differ by more than a double can hold."""
    return number if math.isfinite(number) else None


def parameter_diffs(versions: Sequence[Version], only_changed: bool) -> list[dict[str, Any]]:
    return [
        {"name": name, "values": [None if value is ABSENT else value for value in values], "changed": changed}
        for name, values, changed in parameters(versions)
        if changed or not only_changed
    ]


def parameters(versions: Sequence[Version]) -> Iterator[tuple[str, list[Any], bool]]:
    """Each parameter by its dotted name, its values, ABSENT for a missing one, and whether they differ."""
    flat = [dict(leaves(_facts(version)["parameters"])) for version in versions]
    for name in sorted({name for facts in flat for name in facts}):
        values = [facts.get(name, ABSENT) for facts in flat]
        yield name, values, not all(same(values[0], value) for value in values[1:])


# The longest name in a path. A longer name is cut and made unique by a digest.
LONGEST_PART = 200


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All values that are not objects, by dotted names. Names that contain dots or blanks are quoted."""
    if not isinstance(value, Mapping) or (path and not value):
        yield path, value
        return
    for name, inner in value.items():
        part = name if re.fullmatch(r'[^.\s"]+', name) else json.dumps(name, ensure_ascii=False)
        if len(part) > LONGEST_PART:
            # The name would be repeated for everything in its object.
            part = f"{part[:LONGEST_PART]}...{hashlib.sha256(name.encode()).hexdigest()[:12]}"
        yield from leaves(inner, f"{path}.{part}" if path else part)


def feature_diff(versions: Sequence[Version]) -> dict[str, list[str]]:
    first, last = _facts(versions[0])["features"], _facts(versions[-1])["features"]
    return _set_diff(first, last) if first and last else {"added": [], "removed": []}


def tag_diff(versions: Sequence[Version]) -> dict[str, list[str]]:
    return _set_diff(versions[0]["tags"], versions[-1]["tags"])


def _set_diff(first: Sequence[str], last: Sequence[str]) -> dict[str, list[str]]:
    return {"added": sorted(set(last) - set(first)), "removed": sorted(set(first) - set(last))}


def segment_diffs(versions: Sequence[Version]) -> list[dict[str, Any]]:
    written = [version["segments"] or {} for version in versions]
    return [
        {"segment": name, "metricDiffs": _metric_diffs([_measured(segments.get(name, {})) for segments in written])}
        for name in sorted({name for segments in written for name in segments})
    ]


def _measured(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name != "samples"}


def required_bump(versions: Sequence[Version]) -> str | None:
    """Unknown between models: each numbers its own versions."""
    same_model = versions[0]["change"]["model"] == versions[-1]["change"]["model"]
    return _change(versions).required if same_model else None


def reasons(versions: Sequence[Version]) -> list[str]:
    return _change(versions).reasons


def _change(versions: Sequence[Version]) -> Change:
    return required_change(TrainingFacts(**_facts(versions[0])), TrainingFacts(**_facts(versions[-1])))


def _facts(version: Version) -> Mapping[str, Any]:
    facts: Mapping[str, Any] = version["change"]["facts"]
    return facts
