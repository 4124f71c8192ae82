"""Reviewers, editors and administrators at the same moment; the audit log, replayed in plain Python, is the judge."""

import asyncio
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.conftest import CONFIRM, EXTERNAL, PENDING, POLICY
from tests.support.documents import CREATE_VERSION
from tests.support.kills import assert_chains_intact
from tests.support.live import OK, Live, Reply, at_full_length, at_once, codes, lineal, reply_in

pytestmark = pytest.mark.long

PROJECT = "proj_reviews"
MODELS = 4
REVIEWERS = [f"reviewer{n}@example.com" for n in range(8)]
# Beside OK: closed already; the author's or a former reviewer's; removed from the project; too few approvals; done.
EXPECTED = {OK, "CONFLICT", "FORBIDDEN", "NOT_FOUND", "APPROVAL_REQUIRED", "ILLEGAL_TRANSITION"}

CREATE_PROJECT = "mutation($input: CreateProjectInput!) { createProject(input: $input) { project { id } } }"
CREATE_MODEL = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id } } }"
CREATE_KEY = "mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) { secret } }"
SET_MEMBER = "mutation($input: SetMemberInput!) { setMember(input: $input) { project { id } } }"
REMOVE_MEMBER = "mutation($input: RemoveMemberInput!) { removeMember(input: $input) { project { id } } }"
TRANSITION = "mutation($input: TransitionStageInput!) { transitionStage(input: $input) { version { stage } } }"
REQUEST = "mutation($input: RequestTransitionInput!) { requestTransition(input: $input) { request { id status } } }"
REVIEW = "mutation($input: ReviewTransitionInput!) { reviewTransition(input: $input) { request { status } } }"
CANCEL = "mutation($input: CancelTransitionInput!) { cancelTransition(input: $input) { request { status } } }"
CARD = "mutation($input: UpdateModelCardInput!) { updateModelCard(input: $input) { version { id } } }"
STATUS = "query($id: ID!) { transitionRequest(id: $id) { status approvals { decision valid } } }"


@pytest.fixture(scope="module")
def external(request: pytest.FixtureRequest) -> Callable[[], Any] | None:
    """Makes a database where the suite was given a PostgreSQL; otherwise the server runs its own."""
    return request.getfixturevalue("make_database") if EXTERNAL else None


@dataclass(frozen=True)
class Person:
    live: Live
    key: str

    async def send(self, query: str, **variables: Any) -> Reply:
        response = await self.live._client.post(
            f"{self.live.url}/graphql",
            json={"query": query, "variables": variables},
            headers={"Authorization": f"Bearer {self.key}", "Accept": "application/graphql-response+json"},
        )
        return reply_in(response)

    async def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        reply = await self.send(query, **variables)
        assert reply.code == OK, (reply, self.live.said())
        return reply.data


@dataclass(frozen=True)
class Office:
    """A project with everybody who works there."""

    live: Live
    people: dict[str, Person]

    @property
    def admin(self) -> Person:
        return Person(self.live, self.live.key)

    async def employ(self, email: str, role: str) -> None:
        asked = {"name": "test", "email": email, "kind": "USER"}
        made = await self.admin.ask(CREATE_KEY, input=asked)
        self.people[email] = Person(self.live, made["createApiKey"]["secret"])
        await self.restore(email, role)

    async def restore(self, email: str, role: str = "REVIEWER") -> None:
        await self.admin.ask(SET_MEMBER, input={"projectId": PROJECT, "email": email, "role": role})


@pytest_asyncio.fixture(scope="module")
async def office(external: Callable[[], Any] | None) -> AsyncIterator[Office]:
    async with lineal(await external() if external else None) as live:
        office = Office(live, {})
        await live.ask(CREATE_PROJECT, input={"id": PROJECT, "name": "Reviews"})
        for place in range(MODELS):
            await live.ask(CREATE_MODEL, input={"id": f"model_{place}", "projectId": PROJECT, "name": f"{place}"})
        for email in REVIEWERS:
            await office.employ(email, "REVIEWER")
        for email in ("author@example.com", "editor@example.com", "contributor@example.com"):
            await office.employ(email, "CONTRIBUTOR")
        yield office


# ------------------------------------------------------------------------------------------- one round


@dataclass
class Case:
    """A version in STAGING for which somebody asks to go to PRODUCTION."""

    office: Office
    chance: random.Random
    author: str
    model: str
    id: str = ""
    number: str = ""
    request: str = ""

    @property
    def named(self) -> dict[str, str]:
        return {"modelId": self.model, "version": self.number}

    async def open(self) -> None:
        author = self.office.people[self.author]
        new = {"projectId": PROJECT, "modelId": self.model, "bump": "MINOR"}
        version = (await author.ask(CREATE_VERSION, input=new))["createVersion"]["version"]
        self.id, self.number = version["id"], version["version"]
        await author.ask(TRANSITION, input=self.named | {"targetStage": "STAGING"})
        asked = await author.ask(REQUEST, input=self.named | {"targetStage": "PRODUCTION"})
        self.request = asked["requestTransition"]["request"]["id"]

    async def soon(self, most: float = 0.05) -> None:
        await asyncio.sleep(self.chance.uniform(0, most))

    async def review(self, email: str, decision: str) -> Reply:
        await self.soon(0.1)
        return await self.office.people[email].send(REVIEW, input={"requestId": self.request, "decision": decision})

    async def edit(self, place: int) -> Reply:
        await self.soon()
        text = {"limitations": f"Edit {place}, {self.chance.random()}"}
        return await self.office.people["editor@example.com"].send(CARD, input=self.named | {"modelCard": text})

    async def go_ahead(self) -> Reply:
        """Without asking anybody."""
        await self.soon(0.08)
        asked = self.named | {"targetStage": "PRODUCTION"}
        return await self.office.people["contributor@example.com"].send(TRANSITION, input=asked)

    async def remove(self, email: str) -> Reply:
        await self.soon()
        return await self.office.admin.send(REMOVE_MEMBER, input={"projectId": PROJECT, "email": email})

    async def ask_for(self, approvals: int) -> Reply:
        await self.soon()
        return await self.office.admin.send(POLICY, input={"projectId": PROJECT, "requiredApprovals": approvals})

    async def confirm(self) -> Reply:
        """Let a policy that waits for it loosen; an empty answer where none waits."""
        await self.soon()
        reply = await self.office.admin.send(PENDING, id=PROJECT)
        for change in reply.data["project"]["policy"]["pendingChanges"]:
            who = self.office.people[self.chance.choice(REVIEWERS)]
            reply = await who.send(CONFIRM, input={"changeId": change["id"]})
        return reply

    async def cancel(self) -> Reply:
        await self.soon()
        return await self.office.people[self.author].send(CANCEL, input={"requestId": self.request})

    def wave(self) -> list[Awaitable[Reply]]:
        """All eight reviewers and an editor, and sometimes who else has a say."""
        chance = self.chance
        rejecting = chance.sample(REVIEWERS, chance.choice([0, 0, 0, 0, 1, 2]))
        everybody: list[Awaitable[Reply]] = [
            self.review(each, "REJECT" if each in rejecting else "APPROVE") for each in REVIEWERS
        ]
        everybody += [self.edit(place) for place in range(chance.choice([0, 1, 2, 4]))]
        if chance.random() < 0.4:
            everybody += [self.remove(each) for each in chance.sample(REVIEWERS, chance.choice([1, 2]))]
        if chance.random() < 0.4:
            everybody.append(self.ask_for(chance.choice([2, 3, 4, 5])))
            everybody += [self.confirm() for _ in range(2)]
        if chance.random() < 0.5:
            everybody += [self.go_ahead() for _ in range(2)]
        if chance.random() < 0.1:
            everybody.append(self.cancel())
        chance.shuffle(everybody)
        return everybody


async def one_round(office: Office, chance: random.Random, turn: int) -> tuple[str, list[Reply]]:
    """What became of a request, and all replies."""
    for email in REVIEWERS:
        await office.restore(email)
    await office.admin.ask(POLICY, input={"projectId": PROJECT, "requiredApprovals": chance.choice([2, 3, 3, 4])})
    for change in (await office.admin.ask(PENDING, id=PROJECT))["project"]["policy"]["pendingChanges"]:
        await office.people[REVIEWERS[0]].ask(CONFIRM, input={"changeId": change["id"]})
    author = chance.choice(REVIEWERS) if turn % 4 == 3 else "author@example.com"
    case = Case(office, chance, author, f"model_{turn % MODELS}")
    await case.open()
    replies = await at_once(case.wave())
    found = (await office.admin.ask(STATUS, id=case.request))["transitionRequest"]
    if found["status"] == "OPEN":  # what was edited meanwhile is looked at again
        replies += await at_once(case.wave())
        found = (await office.admin.ask(STATUS, id=case.request))["transitionRequest"]
    return found["status"], replies


# ------------------------------------------------------------------------------------------- the judge


@dataclass
class Judged:
    """A version as the log tells of it. `reviews` are those since its last step: by reviewer, the last one."""

    author: str
    stage: str = "DEVELOPMENT"
    card: int = 0
    reviews: dict[str, dict[str, Any]] = field(default_factory=dict)
    promoted: int = 0


@dataclass
class Judge:
    """Replays the log and keeps what must never be."""

    wrong: list[str] = field(default_factory=list)
    roles: dict[str, str] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=lambda: {"required_approvals": 1, "allow_self_approval": False})
    versions: dict[str, Judged] = field(default_factory=dict)
    requests: dict[str, dict[str, Any]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def standing(self, version: Judged) -> list[str]:
        """Whose approvals count at this moment; any rejection that counts leaves none."""
        counted = []
        for reviewer, review in version.reviews.items():
            if self.roles.get(reviewer) not in ("REVIEWER", "ADMIN") or reviewer == version.author:
                continue
            if review["reviewed"]["cardRevision"] != version.card:
                continue
            if review["requestId"] and self.requests[review["requestId"]]["status"] == "CANCELLED":
                continue
            if review["decision"] == "REJECT":
                return []
            counted.append(reviewer)
        return counted

    def take(self, together: Sequence[dict[str, Any]]) -> None:
        """The events of one transaction."""
        for event in together:
            name = "_" + "".join(c if c.isalpha() else "_" for c in event["action"]).lower()
            getattr(self, name, self._other)(event["subjectId"], event["details"], event)
            self.counts[event["action"]] += 1
        approved = [event["subjectId"] for event in together if event["action"] == "version.approved"]
        for id_ in approved:
            version = self.versions[id_]
            enough = len(self.standing(version)) >= self.policy["requiredApprovals"]
            if enough and version.stage == "STAGING":
                self.wrong.append(f"{id_} has all approvals and stays in STAGING")

    def _other(self, subject: str, details: dict[str, Any], event: dict[str, Any]) -> None:
        """Says nothing of reviews."""

    def _member_set(self, subject: str, details: dict[str, Any], event: dict[str, Any]) -> None:
        self.roles[details["after"]["email"]] = details["after"]["role"]

    def _member_removed(self, subject: str, details: dict[str, Any], event: dict[str, Any]) -> None:
        del self.roles[details["before"]["email"]]

    def _policy_updated(self, subject: str, details: dict[str, Any], event: dict[str, Any]) -> None:
        self.policy |= details["after"]

    def _version_created(self, subject: str, details: dict[str, Any], event: dict[str, Any]) -> None:
        self.versions[subject] = Judged(event["actor"])

    def _card_updated(self, subject: str, details: dict[str, Any], event: dict[str, Any]) -> None:
        self.versions[subject].card = details["after"]["revision"]

    def _transition_requested(self, subject: str, details: dict[str, Any], event: dict[str, Any]) -> None:
        self.requests[subject] = {"version": details["after"]["versionId"], "status": "OPEN"}

    def _close(self, subject: str, details: dict[str, Any], event: dict[str, Any]) -> None:
        if self.requests[subject]["status"] != "OPEN":
            self.wrong.append(f"{subject} was closed twice")
        self.requests[subject]["status"] = details["after"]["status"]

    _transition_applied = _transition_rejected = _transition_cancelled = _close

    def _version_approved(self, subject: str, details: dict[str, Any], event: dict[str, Any]) -> None:
        review, version = details["after"], self.versions[subject]
        if review["reviewer"] == version.author or self.roles.get(review["reviewer"]) not in ("REVIEWER", "ADMIN"):
            self.wrong.append(f"{review['reviewer']} may not review {subject}")
        if review["reviewed"]["cardRevision"] != version.card:
            self.wrong.append(f"{review['reviewer']} reviewed another card of {subject} than there was")
        request = review["requestId"]
        if request and self.requests[request] != {"version": subject, "status": "OPEN"}:
            self.wrong.append(f"{review['reviewer']} reviewed {request}, which is {self.requests[request]}")
        version.reviews[review["reviewer"]] = review

    _version_rejected = _version_approved

    def _version_transitioned(self, subject: str, details: dict[str, Any], event: dict[str, Any]) -> None:
        version, to = self.versions[subject], details["after"]["stage"]
        if details["before"]["stage"] != version.stage:
            self.wrong.append(f"{subject} goes on from {details['before']['stage']}, but is in {version.stage}")
        if to == "PRODUCTION":
            self._judge(subject, version, details["after"]["approvedBy"])
        version.stage = to
        version.reviews.clear()

    def _judge(self, id_: str, version: Judged, named: str) -> None:
        version.promoted += 1
        if version.promoted > 1:
            self.wrong.append(f"{id_} was applied twice")
        approvers, required = self.standing(version), self.policy["requiredApprovals"]
        if len(approvers) < required:
            self.wrong.append(f"{id_} was applied with {len(approvers)} of {required} approvals")
        if sorted(named.split(", ")) != sorted(approvers):
            self.wrong.append(f"{id_} names {named} and not {approvers}")
        asked = [request["status"] for request in self.requests.values() if request["version"] == id_]
        if "REJECTED" in asked:
            self.wrong.append(f"{id_} was applied after a rejection")
        self.counts["stale when applied"] += len(version.reviews) - len(approvers)


def transactions(rows: Iterable[asyncpg.Record]) -> list[list[dict[str, Any]]]:
    """The events in order of time and sequence, those of one request's transaction together."""
    together: dict[tuple[Any, str], list[dict[str, Any]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row["at"], row["chain"], row["seq"])):
        together[row["at"], row["chain"]].append(json.loads(row["entry"]))
    return list(together.values())


async def judged(live: Live) -> Judge:
    judge = Judge()
    async with live.connection() as connection:
        events = "SELECT chain, seq, at, entry FROM audit_events WHERE project_id = $1"
        for together in transactions(await connection.fetch(events, PROJECT)):
            judge.take(together)
        stages = {row["id"]: row["stage"] for row in await connection.fetch("SELECT id, stage FROM versions")}
        statuses = {row["id"]: row["status"] for row in await connection.fetch("SELECT * FROM transition_requests")}
        reviews = await connection.fetchval("SELECT count(*) FROM approvals")
        promoted = "SELECT count(*) FROM stage_transitions WHERE to_stage = 'PRODUCTION'"
        assert await connection.fetchval(promoted) == sum(version.promoted for version in judge.versions.values())
        await assert_chains_intact(connection)
    assert stages == {id_: version.stage for id_, version in judge.versions.items()}
    assert statuses == {id_: request["status"] for id_, request in judge.requests.items()}
    assert reviews == judge.counts["version.approved"] + judge.counts["version.rejected"]
    assert Counter(stages.values())["PRODUCTION"] <= MODELS
    return judge


async def test_a_version_is_applied_once_with_the_approvals_that_count_then_and_never_after_a_rejection(
    office: Office, pytestconfig: pytest.Config
) -> None:
    rounds, chance = 100 if at_full_length(pytestconfig) else 8, random.Random()
    await office.live.warm_up(16)
    became, replies, began = Counter[str](), list[Reply](), time.monotonic()
    for turn in range(rounds):
        status, told = await one_round(office, chance, turn)
        became[status] += 1
        replies += told
    took = time.monotonic() - began
    assert codes(replies).keys() <= EXPECTED, [reply for reply in replies if reply.code not in EXPECTED]
    assert all(None not in each.values() for reply in replies if reply.code == OK for each in reply.data.values())
    assert "internal error" not in office.live.log.read_text(), office.live.said()
    judge = await judged(office.live)
    assert judge.wrong == []
    applied = sum(version.promoted for version in judge.versions.values())
    assert applied > 0 and judge.counts["version.approved"] > rounds and len(judge.versions) == rounds
    print(
        f"\n{rounds} rounds in {took:.1f} s: requests {dict(became)}, {applied} versions applied;"
        f" {judge.counts['version.approved']} approvals, {judge.counts['version.rejected']} rejections,"
        f" {judge.counts['card.updated']} edits, {judge.counts['member.removed']} reviewers removed,"
        f" {judge.counts['policy.updated']} policies; {judge.counts['stale when applied']} reviews were stale when"
        f" others' were applied; answers {dict(codes(replies))}"
    )
