"""A comparison as Markdown, for a pull request or the minutes of a review."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from resolvers.renderings.markdown import escaped, table
from resolvers.rules.comparison import (
    Version,
    feature_diff,
    metric_diffs,
    parameters,
    reasons,
    required_bump,
    segment_diffs,
    tag_diff,
)
from resolvers.rules.same import ABSENT
from resolvers.rules.texts import json_text, number, plain

NOT_STATED = "-"


def markdown(versions: Sequence[Version]) -> str:
    """All differences. The first version is the baseline."""
    names = [escaped(f"{version['model']} {version['version']}") for version in versions]
    parts = [f"### {names[0]} → {names[-1]}", *_metrics(names, metric_diffs(versions)), *_rest(names, versions)]
    return "\n\n".join(parts) + "\n"


def _rest(names: Sequence[str], versions: Sequence[Version]) -> Iterator[str]:
    for segment in segment_diffs(versions):
        yield from _metrics(names, segment["metricDiffs"], f"Segment {escaped(segment['segment'])}")
    rows = [[escaped(name), *map(_parameter, values)] for name, values, changed in parameters(versions) if changed]
    if rows:
        yield table(["Changed parameter", *names], rows)
    yield table(["Data", *names], [["Trained on", *map(_data, versions)]])
    for what, diff in (("Features", feature_diff(versions)), ("Tags", tag_diff(versions))):
        for verb, entries in (("added", diff["added"]), ("removed", diff["removed"])):
            if entries:
                yield f"{what} {verb}: {', '.join(map(escaped, entries))}."
    bump = required_bump(versions)
    yield f"{f'The difference requires a {bump} change. ' if bump else ''}{escaped(' '.join(reasons(versions)))}"


def _metrics(names: Sequence[str], diffs: Sequence[Mapping[str, Any]], of: str = "Metric") -> Iterator[str]:
    if diffs:
        rows = [[escaped(d["name"]), *map(_number, d["values"]), _change(d), _verdict(d)] for d in diffs]
        yield table([of, *names, "Change", ""], rows)


def _number(value: float | None) -> str:
    return NOT_STATED if value is None else number(value)


def _change(diff: Mapping[str, Any]) -> str:
    if diff["delta"] is None:
        return NOT_STATED
    share = "" if diff["relativeDelta"] is None else f" ({plain(diff['relativeDelta']):+.1%})"
    return f"{plain(diff['delta']):+.6g}{share}"


def _verdict(diff: Mapping[str, Any]) -> str:
    if diff["improved"] is None or not diff["delta"]:
        return ""
    return "better" if diff["improved"] else "**worse**"


def _parameter(value: Any) -> str:
    return NOT_STATED if value is ABSENT else escaped(json_text(value))


def _data(version: Version) -> str:
    data = version["trainingData"]
    if data is None:
        return NOT_STATED
    rows = "" if data["rowCount"] is None else f" ({data['rowCount']:,} rows)"
    return escaped(data["name"]) + rows
