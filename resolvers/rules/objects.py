"""Limits of JSON values. Sizes and counts are checked first. The path of a refused part is determined only
afterwards."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from resolvers.errors import BadUserInput
from resolvers.rules import exact_json
from resolvers.rules.cleaning import check_count, inside, quoted
from resolvers.rules.exact_json import MOST_DIGITS
from resolvers.rules.limits import Text

NAME = Text(100)
# Samples are stored as doubles.
MOST_SAMPLES = 2**53 - 1
HOLDERS = (dict, list)
TOO_LONG = f"has more than {MOST_DIGITS} digits; write it as text."
MEASURED = "a metric must be a finite number. Omit the metric if it has no value."
HALF_A_PAIR = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Metrics:
    """An object of finite numbers by name."""

    most: int = 200

    @property
    def describe(self) -> str:
        return f'A JSON object of at most {self.most} finite numbers by name, such as {{"auc": 0.912}}.'

    def clean(self, field: str, value: Any) -> dict[str, float]:
        if not isinstance(value, Mapping):
            raise BadUserInput(field, f"is {quoted(value)}; it must be an object of numbers by name.")
        check_count(field, value, self.most)
        names = f"{field} name"
        kept = {NAME.clean(names, name): self._number(field, name, number) for name, number in value.items()}
        if len(kept) < len(value):
            raise BadUserInput(field, "has two names that are the same after trimming; keep one.")
        return kept

    def _number(self, field: str, name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadUserInput(inside(field, name), f"is {quoted(value)}; {MEASURED}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise BadUserInput(inside(field, name), f"is {quoted(value)}; {MEASURED}")
        return number


@dataclass(frozen=True)
class Thresholds:
    """Ranges of metrics, each with at least one bound."""

    most: int = 50

    @property
    def describe(self) -> str:
        return f"At most {self.most} entries, each with a minimum or a maximum. The list replaces the current ranges."

    def clean(self, field: str, value: Any) -> list[dict[str, Any]]:
        check_count(field, value, self.most)
        kept = [self._threshold(f"{field}[{place}]", each) for place, each in enumerate(value)]
        if len({each["name"] for each in kept}) < len(kept):
            raise BadUserInput(field, "contains a metric twice; use one range for each metric.")
        return kept

    def _threshold(self, field: str, value: Mapping[str, Any]) -> dict[str, Any]:
        low, high = value.get("min"), value.get("max")
        for name, bound in (("min", low), ("max", high)):
            if bound is not None and not math.isfinite(bound):
                raise BadUserInput(f"{field}.{name}", f"is {bound}; it must be a finite number.")
        if low is None and high is None:
            raise BadUserInput(field, "has no bound; set min, max or both.")
        if low is not None and high is not None and low > high:
            raise BadUserInput(field, f"has min {low:g} above max {high:g}; swap them.")
        return {"name": NAME.clean(f"{field}.name", value["name"]), "min": low, "max": high}


@dataclass(frozen=True)
class Segments:
    """Metrics by segment; `samples` among them says how many samples the segment has."""

    most: int = 100

    @property
    def describe(self) -> str:
        return (
            f"A JSON object of metrics for at most {self.most} segments, such as"
            ' {"enterprise": {"auc": 0.89, "samples": 12400}}.'
        )

    def clean(self, field: str, value: Any) -> dict[str, dict[str, float]]:
        if not isinstance(value, Mapping):
            raise BadUserInput(field, f"is {quoted(value)}; it must be an object of metrics by segment.")
        if len(value) > self.most:
            raise BadUserInput(field, f"has {len(value)} segments; at most {self.most} are allowed.")
        names = f"{field} name"
        kept = {NAME.clean(names, name): self._segment(inside(field, name), m) for name, m in value.items()}
        if len(kept) < len(value):
            raise BadUserInput(field, "has two segments that are the same after trimming; keep one.")
        return kept

    def _segment(self, field: str, value: Any) -> dict[str, float]:
        kept = Metrics().clean(field, value)
        samples = kept.get("samples")
        if samples is not None and not (0 <= samples <= MOST_SAMPLES and samples == int(samples)):
            raise BadUserInput(f"{field}.samples", f"is {samples:g}; it must be a whole number, 0 to {MOST_SAMPLES}.")
        return kept


@dataclass(frozen=True)
class JsonObject:
    """A JSON object, bounded in size and depth."""

    most_bytes: int = 65_536
    deepest: int = 10

    @property
    def describe(self) -> str:
        return f"A JSON object of at most {self.most_bytes:,} bytes and {self.deepest} levels."

    def clean(self, field: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise BadUserInput(field, f"is {quoted(value)}; it must be an object.")
        written = self._written(field, value)
        self._check_depth(field, value)
        # The written text shows whether a value can contain a refused part. Only then is each part checked.
        if b"\\u0000" in written:
            _refuse_first(field, value, _holds_nul, "contains a NUL character; remove it.")
        if exact_json.holds_long_number(written):
            _refuse_first(field, value, _is_too_long, TOO_LONG)
        if b"null" in written:
            _refuse_first(field, value, _is_not_finite, "is not a finite number; omit it or write it as text.")
        return dict(value)

    def _written(self, field: str, value: dict[str, Any]) -> bytes:
        try:
            written = exact_json.dumps(value)
        except (TypeError, ValueError, RecursionError) as error:
            # It is nested too deeply to be written, or cannot be written as JSON at all.
            self._check_depth(field, value)
            _refuse_first(field, value, _holds_half_a_pair, "contains half a surrogate pair; remove it.")
            _refuse_first(field, value, _is_too_long, TOO_LONG)
            raise BadUserInput(field, "cannot be written as JSON.") from error
        if len(written) > self.most_bytes:
            raise BadUserInput(field, f"has {len(written)} bytes as JSON; at most {self.most_bytes} are allowed.")
        return written

    def _check_depth(self, field: str, value: dict[str, Any]) -> None:
        level: list[Any] = [value]
        for _ in range(self.deepest):
            below: list[Any] = []
            for each in level:
                inner = each.values() if isinstance(each, dict) else each
                below += [one for one in inner if isinstance(one, HOLDERS)]
            level = below
        if level:
            raise BadUserInput(field, f"is nested more than {self.deepest} levels deep; make it flatter.")


NAMES = {math.inf: "Infinity", -math.inf: "-Infinity"}


@dataclass(frozen=True)
class Observed(JsonObject):
    """A JSON object of measurements. A number that is not finite indicates a problem: it is stored, as text."""

    def clean(self, field: str, value: Any) -> dict[str, Any]:
        if isinstance(value, dict):
            self._check_depth(field, value)
            value = _named(value)
        return super().clean(field, value)


def not_finite(observed: Mapping[str, Any], path: str = "") -> list[str]:
    """The paths of values that were measured as NaN or infinite."""
    names = []
    for name, each in observed.items():
        if isinstance(each, Mapping):
            names += not_finite(each, f"{path}{name}.")
        elif each == "NaN" or each in NAMES.values():
            names.append(f"{path}{name}")
    return names


def _named(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _named(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_named(each) for each in value]
    return NAMES.get(value, "NaN") if isinstance(value, float) and not math.isfinite(value) else value


def _refuse_first(field: str, value: Any, is_wrong: Callable[[Any], bool], problem: str) -> None:
    """Refuse the first wrong part of a value by its path, and a wrong name by the path of its object."""
    place = _first(value, is_wrong)
    if place is not None:
        raise BadUserInput(reduce(inside, place, field), problem)


def _first(value: Any, is_wrong: Callable[[Any], bool]) -> list[str | int] | None:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if is_wrong(key):
            return []
        if isinstance(inner, HOLDERS):
            if (place := _first(inner, is_wrong)) is not None:
                return [key, *place]
        elif is_wrong(inner):
            return [key]
    return None


def _holds_nul(value: Any) -> bool:
    # PostgreSQL cannot store it in text.
    return isinstance(value, str) and "\0" in value


def _holds_half_a_pair(value: Any) -> bool:
    return isinstance(value, str) and HALF_A_PAIR.search(value) is not None


def _is_too_long(value: Any) -> bool:
    # Estimated from the bits, because Python refuses to write very long numbers.
    return isinstance(value, int) and value.bit_length() > 3.33 * MOST_DIGITS


def _is_not_finite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
