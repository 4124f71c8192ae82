"""The most memory that a worker and its largest PostgreSQL process take while the dearest allowed documents run."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.asgi import times
from tests.support.documents import CREATE_VERSION
from tests.support.floods import Connection
from tests.support.live import OK, Live, at_full_length, descendants, lineal, name_of

MOST = 512  # MiB
FEATURES = [f"feature_{place}_{'x' * 140}" for place in range(5_000)]
SEGMENTS = {f"segment {s}": {f"metric_{m}": m + s / 7 for m in range(100)} for s in range(100)}
LONG = "Ein Satz, der <b>Zeichen</b> braucht: *, _, | und `. " * 180
CARD = {
    "description": LONG,
    "intendedUse": LONG,
    "limitations": LONG,
    "ethicalConsiderations": LONG,
    "performanceBySegment": SEGMENTS,
}


def page(selection: str, first: int = 100, key: str = "a") -> str:
    return f'{key}: model(id: "model_large") {{ versions(first: {first}) {{ nodes {{ {selection} }} }} }}'


LIGHT = 'id version stage target createdAt createdBy tags metric(name: "auc") lineageUrl'
FIRST = '"1.0.0"'
TEN = ", ".join(f'"1.0.{n}"' for n in range(10))
COMPARED = "metricDiffs { name values } segmentDiffs { segment metricDiffs { name values delta } } markdown"
# Each is allowed by its points, of which there may be 20,000; some are ended by the size of their answers.
DOCUMENTS = {
    "features": f"{{ {page('features')} }}",
    "as many features as fit": f"{{ {page('features', 30)} }}",
    "features under many keys": f"{{ {page(times(24, 'f#: features'), 100)} }}",
    "cards as Markdown": f"{{ {page('modelCard { markdown }')} }}",
    "cards in every form": f"{{ {page('modelCard { markdown huggingFace cycloneDx generated }', 60)} }}",
    "cards under many keys": f"{{ {page('modelCard { ' + times(19, 'm#: markdown') + ' }', 10)} }}",
    "segments": f"{{ {page('modelCard { performanceBySegment { segment metrics { name value higherIsBetter } } }')} }}",
    "changes": f"{{ {page('change { reasons }')} }}",
    "many pages": "{" + " ".join(page("features", 30, f"a{n}") for n in range(20)) + "}",
    "light objects": "{" + " ".join(page(LIGHT, 100, f"a{n}") for n in range(49)) + "}",
    "a comparison": f'{{ compareVersions(modelId: "model_large", versions: [{TEN}]) {{ {COMPARED} }} }}',
    "comparisons": "{" + page(f"compareTo(version: {FIRST}) {{ featureDiff {{ added removed }} reasons }}") + "}",
}


# Those that fit.
ANSWERED = ("as many features as fit", "light objects", "a comparison")


@pytest_asyncio.fixture(scope="module")
async def large(pytestconfig: pytest.Config) -> AsyncIterator[Live]:
    """A model whose versions are as large as they may be, on one worker."""
    async with lineal(size=1, started=False) as live:
        # Whoever may ask for it again and again.
        await live.start("--rate-per-second", "0")
        await live.ask('mutation { createProject(input: {id: "proj_large", name: "Large"}) { project { id } } }')
        write = "mutation($input: UpdateModelCardInput!) { updateModelCard(input: $input) { version { id } } }"
        for _ in range(100 if at_full_length(pytestconfig) else 45):
            given = {"projectId": "proj_large", "modelId": "model_large", "createModel": True, "features": FEATURES}
            made = await live.ask(CREATE_VERSION, input=given | {"bump": "PATCH", "metrics": {"auc": 0.9}})
            number = made["createVersion"]["version"]["version"]
            await live.ask(write, input={"modelId": "model_large", "version": number, "modelCard": CARD})
        yield live


def peak(pid: int) -> int:
    """The most memory that a process has had at once, in MiB."""
    (line,) = (each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


async def run_all(live: Live, at_once: int) -> None:
    port = int(live.url.rpartition(":")[2])
    for name, document in DOCUMENTS.items():
        reply = await live.send(document)
        assert not reply.message.startswith("The operation costs"), (name, reply.message)
        assert name not in ANSWERED or reply.code == OK, (name, reply)
        connections = [Connection(port, live.key) for _ in range(at_once)]
        statuses = await asyncio.gather(*(connection.post(document) for connection in connections))
        for connection in connections:
            connection.close()
        assert set(statuses) <= {200, 400, 429, 503}, (name, statuses)
        backends = [peak(pid) for pid in descendants(live.parent) if name_of(pid) == "postgres"]
        taken = f"worker {peak(live.workers[0])} MiB, backend {max(backends)} MiB"
        print(f"{name}, {at_once} at once: {reply.code} {statuses}; {taken}")


async def measure(live: Live, at_once: int) -> None:
    workers = live.workers
    await run_all(live, at_once)
    assert live.workers == workers, "the worker was killed"
    backends = [peak(pid) for pid in descendants(live.parent) if name_of(pid) == "postgres"]
    assert peak(workers[0]) < MOST
    assert max(backends) < MOST


@pytest.mark.long
async def test_the_dearest_documents_take_little_memory(large: Live, pytestconfig: pytest.Config) -> None:
    if at_full_length(pytestconfig):
        await measure(large, at_once=1)
        await measure(large, at_once=8)
    else:
        await measure(large, at_once=2)
