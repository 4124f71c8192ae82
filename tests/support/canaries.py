"""Two projects in one registry, and what of the one must never be told to the other.

Every text and number of A is unlike any other, a canary; so are the ids and hashes that the registry gave.
"""

import base64
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from resolvers.rules.access import Need
from tests.conftest import Cluster, Registry
from tests.support import oracle
from tests.support.filled import INPUTS, Filled, create_api_key, replay_delivery, write
from tests.support.needs import MUTATIONS
from tests.support.oracle import Data, Row

BOTH, FORMER = "both@example.com", "former@example.com"


@dataclass(frozen=True)
class Neighbours:
    """Two projects with everything in them; who asks for B; what must not be told."""

    database: Cluster
    a: Filled
    b: Filled
    askers: Mapping[str, Registry]
    # By a key that reaches both projects.
    both: Registry
    data: Data
    canaries: frozenset[str]

    def of_a(self, table: str) -> list[Row]:
        return self.data.all(table, **{"id" if table == "projects" else "project_id": self.a.project})


async def fill(of: Filled) -> None:
    """Write all that mutations can write."""
    for mutation, new in INPUTS.items():
        by = of.root if MUTATIONS[mutation] in (Need.INSTANCE, Need.OWNER) else of.own
        await write(by, mutation, await new(of))
    key = await create_api_key(of)
    attesting = replace(of.root, key=(await write(of.root, "createApiKey", key))["secret"])
    await write(of.own, "setMember", {"projectId": of.project, "email": key["email"], "role": "CONTRIBUTOR"})
    asked = {"targetStage": "PRODUCTION", "approvedBy": of.admin, "notes": of.text()}
    await write(attesting, "transitionStage", await of.new_version("STAGING") | asked)
    rejected = {"requestId": await of.new_request(), "decision": "REJECT", "notes": of.text()}
    await write(of.own, "reviewTransition", rejected)
    await of.new_request()
    await of.new_deployment(previous=True)
    await replay_delivery(of)


async def two_projects(database: Cluster, root: Registry) -> Neighbours:
    a, b = await Filled.opened(database, root, "zqx"), await Filled.opened(database, root, "bee")
    # Both are made known by A's ADMIN; one is a member of B alone now.
    for email in (BOTH, FORMER):
        await write(a.own, "setMember", {"projectId": a.project, "email": email, "role": "ADMIN"})
    await write(a.own, "removeMember", {"projectId": a.project, "email": FORMER})
    await a.person("ADMIN", email=BOTH, only=a.project)
    askers = {
        "B's ADMIN": b.own,
        "B's VIEWER, formerly of A": await b.person("VIEWER", email=FORMER),
        "an ADMIN of both, by a key of B": await b.person("ADMIN", email=BOTH, only=b.project),
    }
    await fill(a)
    await fill(b)
    data = await oracle.load(database.app_url)
    return Neighbours(database, a, b, askers, await b.person("ADMIN", email=BOTH), data, canaries_of(a, data))


def canaries_of(a: Filled, data: Data) -> frozenset[str]:
    """What tells of A: its values, and the ids and hashes of whatever is in it or of its people and their keys."""
    found = set(a.marks)
    for rows in data.tables.values():
        for row in rows:
            told = [row.get(name) for name in ("project_id", "id", "name", "email", "entry")]
            if row.get("project_id") == a.project or any(f"{a.name}0" in str(value) for value in told):
                found |= {row["id"]} if "id" in row else set()
                found |= {row["hash"].hex()} if "hash" in row else set()
    return frozenset(each.lower() for each in found)


CURSOR = re.compile(r"[A-Za-z0-9_-]{20,}")


def plain(text: str) -> str:
    """A text in lower case, with what its cursors say."""
    cursors = []
    for found in CURSOR.findall(text):
        with suppress(ValueError):
            cursors.append(base64.urlsafe_b64decode(found + "=" * (-len(found) % 4)).decode())
    return "\n".join([text, *cursors]).lower()


def leaked(canaries: frozenset[str], asked: str, answered: str) -> set[str]:
    asked, answered = plain(asked), plain(answered)
    return {canary for canary in canaries if canary in answered and canary not in asked}
