"""Many who listen, on two processes, while others write: each event once, in order, of the right project, and soon; and
one who stops reading, who slows nobody."""

import asyncio
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import POLICY
from tests.support.documents import CREATE_MODEL, CREATE_PROJECT, CREATE_VERSION
from tests.support.live import Live, at_full_length, eventually, lineal

pytestmark = pytest.mark.long

PROJECTS = ("proj_a", "proj_b")
QUERY = "subscription($p: ID!) { auditEvents(projectId: $p) { position projectId notes } }"
# What fills every buffer soon, for the one who does not read.
LARGE = QUERY.replace("notes", " ".join(f"a{n}: details" for n in range(15)))
UPDATE = "mutation($input: UpdateVersionInput!) { updateVersion(input: $input) { version { id } } }"


@dataclass(frozen=True)
class Effort:
    listeners: int
    changes_a_second: float
    seconds: float


SHORT, FULL = Effort(40, 20, 5), Effort(500, 20, 60)


@dataclass
class Listener:
    """One stream, read as it comes: the positions, and when each was heard."""

    project: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heard: list[tuple[int, float]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    async def listen(self) -> None:
        while line := await self.reader.readline():
            if line.startswith(b"data: "):
                answer = json.loads(line[6:])
                event = (answer.get("data") or {}).get("auditEvents")
                if event is None or event["projectId"] != self.project:
                    self.wrong.append(line.decode())
                else:
                    self.heard.append((event["position"], time.monotonic()))


async def open_stream(live: Live, project: str, query: str = QUERY) -> Listener:
    host, port = live.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**16)
    body = json.dumps({"query": query, "variables": {"p": project}})
    head = [
        "POST /graphql HTTP/1.1", f"Host: {host}:{port}", f"Authorization: Bearer {live.key}",
        "Accept: text/event-stream", "Content-Type: application/json", f"Content-Length: {len(body)}", "", body,
    ]  # fmt: skip
    writer.write("\r\n".join(head).encode())
    assert b" 200 " in await reader.readline()
    return Listener(project, reader, writer)


async def begin(live: Live) -> None:
    for project in PROJECTS:
        await live.ask(CREATE_PROJECT, input={"id": project, "name": project})
        await live.ask(POLICY, input={"projectId": project, "allowSelfApproval": True})
        model = {"id": f"model_{project}", "projectId": project, "name": project}
        await live.ask(CREATE_MODEL, input=model)
        await live.ask(CREATE_VERSION, input={"projectId": project, "modelId": model["id"], "version": "1.0.0"})


async def write(live: Live, effort: Effort) -> list[float]:
    """Changes at an even pace, in both projects by turns; when each was acknowledged."""
    began, done = time.monotonic(), []
    for number in range(int(effort.seconds * effort.changes_a_second)):
        await asyncio.sleep(max(0.0, began + number / effort.changes_a_second - time.monotonic()))
        project = PROJECTS[number % 2]
        given: dict[str, Any] = {
            "modelId": f"model_{project}",
            "version": "1.0.0",
            "description": secrets.token_hex(4_900),
        }
        await live.ask(UPDATE, input=given)
        done.append(time.monotonic())
    return done


def memory(pids: Sequence[int]) -> int:
    """Resident memory in MiB."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * 4 // 1024


async def test_each_hears_each_event_of_its_project_once_and_in_order(pytestconfig: pytest.Config) -> None:
    effort = FULL if at_full_length(pytestconfig) else SHORT
    async with lineal() as live:
        await begin(live)
        before = memory(live.workers)
        listeners = [await open_stream(live, PROJECTS[place % 2]) for place in range(effort.listeners)]
        silent = await open_stream(live, "proj_a", LARGE)
        tasks = [asyncio.create_task(listener.listen()) for listener in listeners]
        await asyncio.sleep(1.0)
        done = await write(live, effort)
        of_each = {project: len(done) // 2 for project in PROJECTS}
        await eventually(lambda: all(len(each.heard) >= of_each[each.project] for each in listeners), 30)
        during = memory(live.workers)
        await eventually(lambda: "does not read" in live.log.read_text(), 30)
        for each in [*listeners, silent]:
            each.writer.close()
        for task in tasks:
            task.cancel()
        await asyncio.sleep(3.0)
        after = memory(live.workers)
    delays = []
    for each in listeners:
        assert not each.wrong
        positions = [position for position, _ in each.heard]
        assert positions == list(range(positions[0], positions[0] + of_each[each.project]))
        mine = done[PROJECTS.index(each.project) :: 2]
        delays += [heard - told for (_, heard), told in zip(each.heard, mine, strict=True)]
    delays.sort()
    median, late = delays[len(delays) // 2], delays[len(delays) * 99 // 100]
    told = f"{median * 1000:.0f} ms in the middle, {late * 1000:.0f} ms for 99 of 100"
    print(
        f"{len(listeners)} listeners on 2 processes, {len(done)} changes: each heard once and in order, after the"
        f" answer to the writer by {told}; memory {before} MiB before, {during} with all, {after} after"
    )
