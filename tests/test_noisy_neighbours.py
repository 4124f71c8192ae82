"""One principal floods, another asks for a version now and then: the second is served as if nothing were."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.support.documents import CREATE_VERSION
from tests.support.floods import Connection
from tests.support.live import Live, at_full_length, lineal

FLOODS = [
    "introspection",
    "slow bodies",
    "WebSockets",
    "dearest query",
    "combining marks",
    "new documents",
    "plain reads",
]
READ = '{ version(modelId: "model_noise", version: "1.0.0") { id version stage tags metrics { name value } } }'
CARD = {"description": "What it does. " * 300, "limitations": "Where it is weak. " * 300}
VERSIONS = 100


@dataclass(frozen=True)
class Scene:
    live: Live
    innocent: str
    flood: str

    @property
    def port(self) -> int:
        return int(self.live.url.rpartition(":")[2])


@pytest_asyncio.fixture(scope="module")
async def scene() -> AsyncIterator[Scene]:
    async with lineal() as live:
        await live.ask('mutation { createProject(input: {id: "proj_noise", name: "Noise"}) { project { id } } }')
        write = "mutation($input: UpdateModelCardInput!) { updateModelCard(input: $input) { version { id } } }"
        for number in range(VERSIONS):
            features = [f"feature_{place}_{number}" for place in range(200)]
            given = {"projectId": "proj_noise", "modelId": "model_noise", "createModel": True, "features": features}
            facts = {"metrics": {"auc": 0.9, "log_loss": 0.3}, "parameters": {"algorithm": "xgboost", "depth": number}}
            made = await live.ask(CREATE_VERSION, input=given | facts)
            version = made["createVersion"]["version"]["version"]
            await live.ask(write, input={"modelId": "model_noise", "version": version, "modelCard": CARD})
        keys = [await key_of(live, name) for name in ("innocent", "flood")]
        yield Scene(live, *keys)


async def key_of(live: Live, name: str) -> str:
    email = f"{name}@example.com"
    made = await live.ask(
        "mutation($email: String!) { createApiKey(input: {name: $email, email: $email}) { secret } }", email=email
    )
    await live.ask(
        "mutation($input: SetMemberInput!) { setMember(input: $input) { project { id } } }",
        input={"projectId": "proj_noise", "email": email, "role": "CONTRIBUTOR"},
    )
    secret: str = made["createApiKey"]["secret"]
    return secret


@dataclass(frozen=True)
class Served:
    """How long the innocent caller waited, in milliseconds, and what it was answered."""

    times: list[float]
    statuses: set[int]

    def share(self, part: float) -> float:
        return sorted(self.times)[int(len(self.times) * part)]

    def __str__(self) -> str:
        return f"p50 {self.share(0.5):.2f} ms, p99 {self.share(0.99):.2f} ms of {len(self.times)}"


async def serve(scene: Scene, seconds: float) -> Served:
    """Ask both workers, by a few connections, some fifty times a second."""
    connections = [Connection(scene.port, scene.innocent) for _ in range(6)]
    times, statuses, ends = [], set(), time.monotonic() + seconds
    while time.monotonic() < ends:
        for connection in connections:
            began = time.perf_counter()
            statuses.add(await connection.post(READ))
            times.append(1_000 * (time.perf_counter() - began))
            await asyncio.sleep(0.02)
    for connection in connections:
        connection.close()
    return Served(times, statuses)


def flooding(scene: Scene, kind: str, seconds: float) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.support.floods", kind, str(scene.port), scene.flood, str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


@pytest.mark.long
@pytest.mark.parametrize("kind", FLOODS)
async def test_an_innocent_caller_is_served_in_about_its_usual_time(
    scene: Scene, kind: str, pytestconfig: pytest.Config
) -> None:
    if at_full_length(pytestconfig):
        await measure(scene, kind, seconds=15.0, most=3.0)
    else:
        # Other things may run on the machine, and two seconds tell little of a middle.
        await measure(scene, kind, seconds=2.0, most=20.0)


async def measure(scene: Scene, kind: str, seconds: float, most: float) -> None:
    workers = scene.live.workers
    quiet = await serve(scene, seconds / 2)
    flood = flooding(scene, kind, seconds + 2)
    await asyncio.sleep(1.5)
    noisy = await serve(scene, seconds)
    told, _ = await asyncio.to_thread(flood.communicate, timeout=60)
    await asyncio.sleep(0.1)  # until the connections that were closed have gone
    ratio = noisy.share(0.5) / quiet.share(0.5)
    print(f"{kind}: quiet {quiet}; flooded {noisy}; {ratio:.2f} times; the flood was told {json.loads(told)}")
    assert quiet.statuses == noisy.statuses == {200}
    assert scene.live.workers == workers, "a worker was killed"
    assert ratio < most
