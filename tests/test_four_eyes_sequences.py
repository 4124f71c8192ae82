"""Any sequence of edits, votes, removals and policy changes by anybody: nothing reaches PRODUCTION that enough other
people have not approved as it stood then. The same plain model is told of what was done, and of the audit log alone."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from storage.vocabulary import PrincipalKind
from tests.conftest import CONFIRM, Cluster, Registry, connect, make_key
from tests.support.live import at_full_length

pytestmark = pytest.mark.long

ANA, RITA, RAVI, CAROL, ROBOT = (f"{name}@example.com" for name in ("ana", "rita", "ravi", "carol", "robot"))
STAFF = {RITA: "REVIEWER", RAVI: "REVIEWER", CAROL: "CONTRIBUTOR", ROBOT: "REVIEWER"}
PEOPLE = (ANA, RITA, RAVI, CAROL)
RANKS = ("VIEWER", "CONTRIBUTOR", "REVIEWER", "ADMIN")
FIELDS = ["requiredApprovals", "allowSelfApproval", "allowRequesterApproval"]
POLICY = """mutation($input: UpdateProjectPolicyInput!) { updateProjectPolicy(input: $input) { project { policy {
    requiredApprovals allowSelfApproval allowRequesterApproval pendingChanges { id field } } } } }"""


def mutation(name: str, selected: str, of: str = "") -> str:
    of = of or f"{name[0].upper()}{name[1:]}Input"
    return f"mutation($input: {of}!) {{ {name}(input: $input) {{ {selected} }} }}"


DATASET = mutation("createDataset", "dataset { id }")
DATASET_VERSION = mutation("createDatasetVersion", "datasetVersion { id }")
CREATE, MOVE = mutation("createVersion", "version { id }"), mutation("transitionStage", "version { stage }")
ASK, CANCEL = mutation("requestTransition", "request { id }"), mutation("cancelTransition", "request { id }")
REVIEW = mutation("reviewTransition", "request { status }")
CARD, DESCRIBE = mutation("updateModelCard", "modelCard { revision }"), mutation("updateVersion", "version { id }")
TAG, UNTAG = (mutation(name, "version { tags }", "TagsInput") for name in ("addTags", "removeTags"))
STATUS = mutation("setDatasetVersionStatus", "datasetVersion { status }")
MEMBER, LEAVE = mutation("setMember", "project { id }"), mutation("removeMember", "project { id }")


class Shown(NamedTuple):
    """All that a review shows."""

    card: int
    description: str | None
    tags: frozenset[str]
    data: str
    data_changes: int


class Vote(NamedTuple):
    approves: bool
    saw: Shown
    stay: int  # which stay of the reviewer among the reviewers
    requested: bool  # the reviewer's own request
    alone: bool  # marked so


@dataclass
class Candidate:
    author: str
    stage: str = "DEVELOPMENT"
    card: int = 0
    description: str | None = None
    tags: frozenset[str] = frozenset()
    requester: str | None = None
    votes: dict[str, Vote] = field(default_factory=dict)


@dataclass
class World:
    """What is so, by what has happened; it knows nothing of the rules' own code."""

    policy: dict[str, Any] = field(
        default_factory=lambda: {"requiredApprovals": 1, "allowSelfApproval": False, "allowRequesterApproval": False}
    )
    roles: dict[str, str] = field(default_factory=dict)
    # What the only reviewer loosened.
    loosened_alone: set[str] = field(default_factory=set)
    stays: Counter[str] = field(default_factory=Counter)
    somebody_left: bool = False
    data: str = "ACTIVE"
    data_changes: int = 0
    versions: dict[str, Candidate] = field(default_factory=dict)
    promoted: list[tuple[str, frozenset[str], bool]] = field(default_factory=list)
    asked: dict[str, str] = field(default_factory=dict)
    just_alone: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    def set_data(self, status: str) -> None:
        self.data_changes += self.data != status
        self.data = status

    def close(self, id_: str) -> None:
        """What was voted for a request that was taken back, or rejected, no longer counts."""
        self.versions[id_].requester, self.versions[id_].votes = None, {}

    def reviews(self, who: str) -> bool:
        return who in PEOPLE and self.roles.get(who) in ("REVIEWER", "ADMIN")

    def set_role(self, who: str, role: str | None) -> None:
        could = self.reviews(who)
        self.roles = {**self.roles, who: role} if role else {w: r for w, r in self.roles.items() if w != who}
        if could and not self.reviews(who):
            self.stays[who] += 1
            self.somebody_left = True

    def is_alone(self, who: str, author: str | None = None) -> bool:
        barred = set() if self.policy["allowSelfApproval"] else {author}
        return not self.somebody_left and not any(self.reviews(other) for other in set(PEOPLE) - {who} - barred)

    def shown(self, version: Candidate) -> Shown:
        return Shown(version.card, version.description, version.tags, self.data, self.data_changes)

    def vote(self, id_: str, who: str, *, approves: bool) -> None:
        version = self.versions[id_]
        own = version.requester == who
        allowed_alone = (version.author == who and "allowSelfApproval" in self.loosened_alone) or (
            own and "allowRequesterApproval" in self.loosened_alone
        )
        alone = (own or version.author == who) and self.is_alone(who, version.author)
        alone = approves and (alone or allowed_alone)
        version.votes[who] = Vote(approves, self.shown(version), self.stays[who], own, alone)

    def approvers(self, version: Candidate) -> frozenset[str]:
        return frozenset(
            who
            for who, vote in version.votes.items()
            if vote.approves
            and self.reviews(who)
            and vote.stay == self.stays[who]
            and vote.saw == self.shown(version)
            and (who != version.author or self.policy["allowSelfApproval"])
            and (not vote.requested or self.policy["allowRequesterApproval"] or self.is_alone(who, version.author))
        )

    def move(self, id_: str, stage: str) -> None:
        version = self.versions[id_]
        if stage == "PRODUCTION":
            found, needed = self.approvers(version), self.policy["requiredApprovals"]
            if len(found) < needed:
                self.wrong.append(f"{id_} went to PRODUCTION with {sorted(found)} of {needed}: {self}")
            self.promoted.append((id_, found, any(version.votes[who].alone for who in found)))
        version.stage, version.requester, version.votes = stage, None, {}


class Replay(World):
    """The world as the audit log alone tells of it."""

    def take(self, event: dict[str, Any]) -> None:
        name = "".join(f"_{c.lower()}" if c.isupper() else c for c in event["action"].replace(".", "_"))
        if told := getattr(self, f"_{name}", None):
            told(event["subjectId"], event["details"]["after"], event)

    def _member_set(self, _: str, after: Any, event: Any) -> None:
        self.set_role(after["email"], after["role"])

    def _member_removed(self, _: str, after: Any, event: Any) -> None:
        self.set_role(event["details"]["before"]["email"], None)

    def _policy_change_applied(self, _: str, after: Any, event: Any) -> None:
        if after.get("alone"):
            self.just_alone.add(after["field"])

    def _policy_updated(self, _: str, after: Any, event: Any) -> None:
        changed = {name: after[name] for name in FIELDS if name in after}
        self.policy |= changed
        self.loosened_alone = (self.loosened_alone - changed.keys()) | (self.just_alone & changed.keys())
        self.just_alone = set()

    def _version_created(self, id_: str, after: Any, event: Any) -> None:
        self.versions[id_] = Candidate(event["actor"], description=after.get("description"))

    def _version_updated(self, id_: str, after: Any, event: Any) -> None:
        self.versions[id_].description = after["description"]

    def _version_tagged(self, id_: str, after: Any, event: Any) -> None:
        self.versions[id_].tags = frozenset(after["tags"])

    _version_untagged = _version_tagged

    def _card_updated(self, id_: str, after: Any, event: Any) -> None:
        self.versions[id_].card = after["revision"]

    def _dataset_version_status_set(self, _: str, after: Any, event: Any) -> None:
        self.set_data(after["status"])

    def _transition_requested(self, request: str, after: Any, event: Any) -> None:
        self.asked[request] = after["versionId"]
        self.versions[after["versionId"]].requester = event["actor"]

    def _transition_cancelled(self, request: str, after: Any, event: Any) -> None:
        self.close(self.asked[request])

    _transition_rejected = _transition_cancelled

    def _version_approved(self, id_: str, after: Any, event: Any) -> None:
        self.vote(id_, after["reviewer"], approves=after["decision"] == "APPROVE")
        if self.versions[id_].votes[after["reviewer"]].alone is not after["alone"]:
            self.wrong.append(f"{after['meaning']} says alone: {after['alone']}")

    _version_rejected = _version_approved

    def _version_transitioned(self, id_: str, after: Any, event: Any) -> None:
        self.move(id_, after["stage"])


@dataclass
class Play:
    """Somebody does something, by chance; the world is told of what was not refused."""

    keys: dict[str, Registry]
    project: str
    chance: Random
    world: World = field(default_factory=World)
    models: dict[str, str] = field(default_factory=dict)
    requests: dict[str, str] = field(default_factory=dict)
    pending: dict[str, tuple[str, Any, str]] = field(default_factory=dict)
    told: Counter[str] = field(default_factory=Counter)

    async def do(self, who: str, query: str, **values: Any) -> Any:
        """The payload; None where it was refused."""
        answer = (await self.keys[who].send(query, input=values)).json()
        name, payload = next(iter(answer["data"].items()))
        code = answer["errors"][0]["extensions"]["code"] if "errors" in answer else "OK"
        assert code not in ("INTERNAL", "BAD_USER_INPUT"), answer
        self.told[f"{name} {code}"] += 1
        return payload

    async def begin(self) -> None:
        self.world.set_role(ANA, "ADMIN")
        for who, role in STAFF.items():
            assert await self.do(ANA, MEMBER, projectId=self.project, email=who, role=role)
            self.world.set_role(who, role)
        await self.do(ANA, DATASET, id=f"ds_{self.project[5:]}", projectId=self.project, name="Rows")
        await self.do(ANA, DATASET_VERSION, id=self.data_id, datasetId=f"ds_{self.project[5:]}", label="1")
        for who in (ANA, CAROL, RITA):
            await self.register(who)

    @property
    def data_id(self) -> str:
        return f"dsv_{self.project[5:]}"

    async def register(self, who: str) -> None:
        model = f"model_{self.project[5:]}_{len(self.models)}"
        named = {"projectId": self.project, "modelId": model, "createModel": True, "version": "1.0.0"}
        made = await self.do(who, CREATE, **named, description="First.", datasetVersionId=self.data_id)
        id_ = made["version"]["id"]
        self.models[id_] = model
        self.world.versions[id_] = Candidate(who, description="First.")
        assert await self.do(who, MOVE, modelId=model, version="1.0.0", targetStage="STAGING")
        self.world.move(id_, "STAGING")

    def some(self) -> tuple[str, dict[str, str]]:
        id_ = self.chance.choice(sorted(self.models))
        return id_, {"modelId": self.models[id_], "version": "1.0.0"}

    def somebody(self) -> str:
        return self.chance.choice([*PEOPLE, RITA, RAVI, ROBOT])

    async def edit(self) -> None:
        id_, named = self.some()
        version, who, tag = self.world.versions[id_], self.somebody(), self.chance.choice(["a", "b"])
        kind = self.chance.choice(["card", "description", "tag", "untag"])
        if kind == "card":
            if done := await self.do(who, CARD, **named, modelCard={"limitations": self.chance.choice("xyz")}):
                version.card = done["modelCard"]["revision"]
        elif kind == "description":
            text = self.chance.choice(["First.", "Second."])
            if await self.do(who, DESCRIBE, **named, description=text):
                version.description = text
        elif done := await self.do(who, TAG if kind == "tag" else UNTAG, **named, tags=[tag]):
            version.tags = frozenset(done["version"]["tags"])

    async def judge_data(self) -> None:
        status = self.chance.choice(["ACTIVE", "ACTIVE", "DEPRECATED"])
        if await self.do(self.somebody(), STATUS, datasetVersionId=self.data_id, status=status, reason="Seen."):
            self.world.set_data(status)

    async def ask(self) -> None:
        id_, named = self.some()
        who = self.somebody()
        if done := await self.do(who, ASK, **named, targetStage="PRODUCTION"):
            self.requests[id_] = done["request"]["id"]
            self.world.versions[id_].requester = who

    async def take_back(self) -> None:
        id_, _ = self.some()
        if id_ in self.requests and await self.do(self.somebody(), CANCEL, requestId=self.requests[id_]):
            self.world.close(id_)
            del self.requests[id_]

    async def review(self) -> None:
        id_, _ = self.some()
        if id_ not in self.requests:
            return
        who, approves = self.somebody(), self.chance.random() < 0.9
        decision = "APPROVE" if approves else "REJECT"
        if done := await self.do(who, REVIEW, requestId=self.requests[id_], decision=decision):
            self.world.vote(id_, who, approves=approves)
            if done["request"]["status"] == "APPLIED":
                self.world.move(id_, "PRODUCTION")
            if done["request"]["status"] != "OPEN":
                self.world.close(id_)
                del self.requests[id_]

    async def promote(self) -> None:
        id_, named = self.some()
        who = self.somebody()
        version = self.world.versions[id_]
        if await self.do(who, MOVE, **named, targetStage="PRODUCTION"):
            may = self.world.reviews(who) and (who != version.author or self.world.policy["allowSelfApproval"])
            own = who == version.requester and not self.world.policy["allowRequesterApproval"]
            counts = may and (not own or self.world.is_alone(who, version.author))
            if counts and who not in self.world.approvers(version):
                self.world.vote(id_, who, approves=True)
            self.world.move(id_, "PRODUCTION")
            self.requests.pop(id_, None)

    async def go_back(self) -> None:
        """Make a version a candidate again."""
        id_, named = self.some()
        stage = {"PRODUCTION": "ARCHIVED", "ARCHIVED": "STAGING"}.get(self.world.versions[id_].stage)
        if stage and await self.do(ANA, MOVE, **named, targetStage=stage):
            self.world.move(id_, stage)
            self.requests.pop(id_, None)

    async def employ(self) -> None:
        who = self.chance.choice([RITA, RAVI, CAROL])
        role = self.chance.choice([None, "CONTRIBUTOR", "REVIEWER", "REVIEWER", "REVIEWER"])
        if role is None and await self.do(ANA, LEAVE, projectId=self.project, email=who):
            self.world.set_role(who, None)
        elif role is not None and await self.do(ANA, MEMBER, projectId=self.project, email=who, role=role):
            self.world.set_role(who, role)

    async def decide(self) -> None:
        name = self.chance.choice([*FIELDS, "requiredApprovals"])
        value = self.chance.choice([1, 2] if name == "requiredApprovals" else [True, False])
        done = await self.do(ANA, POLICY, projectId=self.project, **{name: value})
        before, policy = self.world.policy[name], done["project"]["policy"]
        loosens = value < before if name == "requiredApprovals" else value and not before
        if self.pending.get(name, (None, None, None))[1] == value:
            pass
        elif loosens and not self.world.is_alone(ANA):
            (id_,) = [change["id"] for change in policy["pendingChanges"] if change["field"] == name]
            self.pending[name] = (id_, value, ANA)
        else:
            self.pending.pop(name, None)
            if value != before:
                self.world.loosened_alone.discard(name)
                self.world.loosened_alone |= {name} if loosens else set()
            self.world.policy[name] = value
        assert {field: policy[field] for field in FIELDS} == self.world.policy
        assert {change["id"] for change in policy["pendingChanges"]} == {id_ for id_, _, _ in self.pending.values()}

    async def confirm(self) -> None:
        if not self.pending:
            return
        name, who = self.chance.choice(sorted(self.pending)), self.somebody()
        id_, value, by = self.pending[name]
        done = await self.do(who, CONFIRM, changeId=id_)
        assert bool(done) is (self.world.reviews(who) and who != by), (name, who, done)
        if done:
            self.world.policy[name] = value
            self.world.loosened_alone.discard(name)
            del self.pending[name]


STEPS = {
    Play.edit: 3, Play.judge_data: 2, Play.ask: 5, Play.take_back: 1, Play.review: 9, Play.promote: 4, Play.go_back: 3,
    Play.employ: 3, Play.decide: 2, Play.confirm: 2,
}  # fmt: skip


@pytest_asyncio.fixture(scope="module")
async def kept(make_database: Callable[[], Any]) -> Cluster:
    made: Cluster = await make_database()
    return made


@pytest_asyncio.fixture(scope="module")
async def keys(kept: Cluster, make_registry: Callable[..., Any]) -> dict[str, Registry]:
    registry: Registry = await make_registry(kept)
    keys = {ANA: registry}
    for who in STAFF:
        kind = PrincipalKind.SERVICE if who == ROBOT else PrincipalKind.USER
        keys[who] = registry.with_key(await make_key(kept.app_url, who, kind=kind, administers=False))
    return keys


async def test_nothing_reaches_production_that_enough_others_have_not_approved_as_it_stood_then(
    kept: Cluster, keys: dict[str, Registry], pytestconfig: pytest.Config
) -> None:
    numbers, told, promoted = count(1), Counter[str](), 0
    examples, length = (150, 120) if at_full_length(pytestconfig) else (8, 60)
    often = [step for step, share in STEPS.items() for _ in range(share)]
    steps = st.lists(st.sampled_from(often), min_size=length // 2, max_size=length)

    async def play(plan: list[Any], seed: int) -> None:
        nonlocal promoted
        project = f"proj_play{next(numbers)}"
        made = f'createProject(input: {{id: "{project}", name: "Play"}}) {{ project {{ id }} }}'
        await keys[ANA].ask(f"mutation {{ {made} }}")
        play = Play(keys, project, Random(seed))
        await play.begin()
        for step in plan:
            await step(play)
            assert play.world.wrong == []
        told.update(play.told)
        promoted += len(play.world.promoted)
        await assert_the_log_agrees(kept, play)

    loop = asyncio.get_running_loop()

    @settings(max_examples=examples, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(steps, st.integers(0, 2**32))
    def check(plan: list[Any], seed: int) -> None:
        asyncio.run_coroutine_threadsafe(play(plan, seed), loop).result()

    await asyncio.to_thread(check)
    assert promoted > examples // 2, told
    print(
        f"\n{examples} sequences, {sum(told.values())} mutations, {promoted} promotions: {dict(sorted(told.items()))}"
    )


async def assert_the_log_agrees(kept: Cluster, play: Play) -> None:
    connection = await connect(kept.owner_url)
    try:
        order = "SELECT entry FROM audit_events WHERE project_id = $1 ORDER BY at, seq"
        events = [json.loads(row["entry"]) for row in await connection.fetch(order, play.project)]
        rows = await connection.fetch("SELECT id, stage FROM versions WHERE project_id = $1", play.project)
    finally:
        await connection.close()
    log = Replay()
    for event in events:
        log.take(event)
    assert log.wrong == []
    assert log.promoted == play.world.promoted
    assert log.policy == play.world.policy
    assert {row["id"]: row["stage"] for row in rows} == {id_: each.stage for id_, each in log.versions.items()}
