"""Completes the database's response before it is sent: Python fills in computed values, and copies a field that was
selected under several keys to each of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from resolvers.errors import AnswerTooLarge
from resolvers.rules import exact_json

Path = tuple[str, ...]


@dataclass(frozen=True)
class Fill:
    """A value that Python computes: its path, the keys of its inputs in the object, the function, and whether it takes
    long."""

    path: Path
    inputs: Mapping[str, str]
    compute: Callable[..., Any]
    is_weighty: bool


@dataclass(frozen=True)
class Inputs:
    """The keys of an object that are inputs for Python only, and the object's path."""

    path: Path
    keys: Sequence[str]


@dataclass(frozen=True)
class Repeat:
    """A field that one object selects several times: the object's path, the key under which the database returns the
    value, and the response keys."""

    path: Path
    source: str
    keys: Sequence[str]


@dataclass(frozen=True)
class Finishing:
    """What remains to be done for the responses of one statement. Inner values come after the objects around them."""

    fills: Sequence[Fill]
    inputs: Sequence[Inputs]
    repeats: Sequence[Repeat]

    def __bool__(self) -> bool:
        return bool(self.fills or self.repeats)

    @property
    def is_weighty(self) -> bool:
        """Whether it can take so long that other requests should not wait for it."""
        return bool(self.repeats) or any(fill.is_weighty for fill in self.fills)

    def __call__(self, answer: bytes, most_bytes: int) -> bytes:
        """The finished response. Raises AnswerTooLarge as soon as it exceeds the limit."""
        data = exact_json.loads(answer)
        written = _Written(most_bytes)
        for fill in reversed(self.fills):
            for row in objects_at(data, fill.path[:-1]):
                # Other members of a union can have another field under the same key. They do not have the inputs.
                if all(key in row for key in fill.inputs.values()):
                    value = fill.compute(**{name: row[key] for name, key in fill.inputs.items()})
                    row[fill.path[-1]] = written.once(value) if fill.is_weighty else value
        for inputs in self.inputs:
            for row in objects_at(data, inputs.path):
                for key in inputs.keys:
                    row.pop(key, None)
        for repeat in self.repeats:
            for row in objects_at(data, repeat.path):
                if repeat.source in row:
                    value = written.once(row.pop(repeat.source), len(repeat.keys))
                    row.update(dict.fromkeys(repeat.keys, value))
        return exact_json.dumps(data)


@dataclass
class _Written:
    """Values that are already written as JSON, each once however often it is returned."""

    most_bytes: int
    bytes: int = 0

    def once(self, value: Any, times: int = 1) -> orjson.Fragment:
        written = exact_json.dumps(value)
        self.bytes += times * len(written)
        if self.bytes > self.most_bytes:
            raise AnswerTooLarge(self.most_bytes)
        return orjson.Fragment(written)


def objects_at(value: Any, path: Sequence[str]) -> Iterator[dict[str, Any]]:
    """All objects at a path, in lists or not."""
    if isinstance(value, list):
        for item in value:
            yield from objects_at(item, path)
    elif isinstance(value, dict):
        if not path:
            yield value
        elif path[0] in value:
            yield from objects_at(value[path[0]], path[1:])
