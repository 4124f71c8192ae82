"""A month of activity, replayed from the audit log alone: it says of any instant what was recorded as it happened."""

import copy
import json
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any

import asyncpg
import pytest
from pydantic.alias_generators import to_snake

from resolvers.rules.cards import SECTIONS
from tests.conftest import Cluster, Registry, connect, make_key
from tests.support.live import at_full_length

BEGIN, MONTH = datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=31)
TICK = timedelta(microseconds=1)
PROJECTS = ["proj_north", "proj_south"]
MODELS = {f"model_{place}{n}": f"proj_{place}" for place in ("north", "south") for n in range(2)}
REVIEWERS = ["bo@example.com", "cy@example.com"]
STAFF = [*REVIEWERS, "dee@example.com"]
VISITORS = [f"visitor{n}@example.com" for n in range(4)]
TAGS = ["baseline", "candidate", "keep", "eu"]
WORDS = ["Plain.", 'Two\nlines, "quoted"', "Grüße, 日本 😀", "null"]

INPUTS = {"addTags": "TagsInput", "removeTags": "TagsInput"}


def mutation(name: str) -> str:
    of = INPUTS.get(name, f"{name[0].upper()}{name[1:]}Input")
    return f"mutation($input: {of}!) {{ {name}(input: $input) {{ __typename }} }}"


# ------------------------------------------------------------------------------------------- what was so

# Straight from the tables, which know only what is now.
NOW = """
SELECT json_build_object(
    'projects', (SELECT json_object_agg(id, json_build_object('name', name, 'description', description)) FROM projects),
    'roles', (SELECT json_object_agg(m.project_id || ' ' || p.email, m.role)
        FROM members m JOIN principals p ON p.id = m.principal_id),
    'policies', (SELECT json_object_agg(project_id, to_jsonb(y) - 'project_id' - 'reviewer_left_at')
        FROM project_policies y),
    'changes', (SELECT coalesce(json_object_agg(id, json_build_object('project', project_id, 'field', field,
        'to', to_value, 'status', replace(status, 'REPLACED', 'APPLIED'), 'by', confirmed_by, 'alone', alone)), '{}')
        FROM policy_changes),
    'vocabulary', (SELECT coalesce(json_object_agg(t.project_id || ' ' || t.name, json_build_object(
            'description', t.description, 'deprecated', t.deprecated, 'aliases', ARRAY(SELECT a.alias
            FROM tag_aliases a WHERE a.project_id = t.project_id AND a.name = t.name ORDER BY a.alias))), '{}')
        FROM tag_definitions t),
    'models', (SELECT coalesce(json_object_agg(id, json_build_object('project', project_id, 'name', name)), '{}')
        FROM models),
    'versions', (SELECT coalesce(json_object_agg(v.id, json_build_object('model', v.model_id,
            'number', array_to_string(v.number, '.'), 'stage', v.stage, 'description', v.description,
            'author', v.created_by, 'parent', v.parent_id,
            'tags', ARRAY(SELECT g.tag FROM tags g WHERE g.version_id = v.id ORDER BY g.tag COLLATE "C"))), '{}')
        FROM versions v),
    'cards', (SELECT coalesce(json_object_agg(version_id, to_jsonb(k) - 'version_id' - 'project_id' - 'updated_at'
        - 'updated_by'), '{}') FROM model_cards k),
    'requests', (SELECT coalesce(json_object_agg(id, json_build_object('version', version_id, 'target', target_stage,
        'status', status, 'by', created_by)), '{}') FROM transition_requests),
    'decisions', (SELECT coalesce(json_object_agg(id, json_build_object('version', version_id, 'reviewer', reviewer,
        'decision', decision, 'request', request_id, 'attested', attested_by)), '{}') FROM approvals),
    'data', (SELECT coalesce(json_object_agg(id, json_build_object('label', label, 'status', status,
        'reason', status_reason)), '{}') FROM dataset_versions),
    'experiments', (SELECT coalesce(json_object_agg(id, json_build_object('status', status, 'notes', notes,
        'seconds', training_duration_secs)), '{}') FROM experiments),
    'principals', (SELECT json_object_agg(id, json_build_object('email', email, 'kind', kind,
        'administers', administers)) FROM principals),
    'keys', (SELECT json_object_agg(id, json_build_object('name', name, 'revoked', revoked_at IS NOT NULL,
        'attests', may_attest, 'project', project_id)) FROM api_keys))
"""
PARTS = (
    "projects", "roles", "policies", "vocabulary", "models", "versions", "cards", "requests", "decisions", "data",
    "experiments", "principals", "keys", "changes",
)  # fmt: skip

State = dict[str, dict[str, Any]]


@dataclass
class Month:
    """Somebody does something, again and again, and what is so afterwards is kept beside the request's id."""

    registry: Registry
    connection: asyncpg.Connection
    chance: Random
    callers: dict[str, Registry] = field(default_factory=dict)
    states: list[tuple[str, State]] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)
    fresh: Iterator[int] = field(default_factory=count)

    @property
    def now(self) -> State:
        return self.states[-1][1]

    async def look(self, request_id: str) -> None:
        self.states.append((request_id, json.loads(await self.connection.fetchval(NOW))))

    async def do(self, caller: str, name: str, /, **asked: Any) -> None:
        response = await self.callers[caller].send(mutation(name), input=asked)
        errors = response.json().get("errors")
        self.told[f"{name} {errors[0]['extensions']['code']}" if errors else name] += 1
        assert not errors or errors[0]["extensions"]["code"] != "INTERNAL", errors
        await self.look(response.headers["x-request-id"])

    def version(self, *stages: str) -> tuple[str, dict[str, Any]]:
        """A version in one of these stages, if there is one."""
        versions = self.now["versions"]
        found = [id_ for id_, version in versions.items() if not stages or version["stage"] in stages]
        id_ = self.chance.choice(sorted(found or versions))
        return id_, {"modelId": versions[id_]["model"], "version": versions[id_]["number"]}

    def somebody(self) -> str:
        return self.chance.choice(STAFF)

    async def register(self) -> None:
        pick: Any = self.chance.choice
        model = pick(sorted(MODELS))
        asked: dict[str, Any] = {"projectId": MODELS[model], "modelId": model, "createModel": True}
        asked |= {"tags": self.chance.sample(TAGS, 2)} if pick([True, False]) else {}
        asked |= {"description": pick(WORDS), "parameters": {"eta": self.chance.random(), "text": pick(WORDS)}}
        asked |= {"bump": pick(["MAJOR", "MINOR", "PATCH"])} if pick([True, False]) else {"parentVersion": None}
        await self.do(self.somebody(), "createVersion", **asked)

    async def move(self) -> None:
        _, named = self.version(self.chance.choice(["DEVELOPMENT", "STAGING", "STAGING", "PRODUCTION", "ARCHIVED"]))
        target = self.chance.choice(["STAGING", "STAGING", "PRODUCTION", "PRODUCTION", "ARCHIVED", "DEVELOPMENT"])
        notes = {"notes": self.chance.choice(WORDS)} if self.chance.random() < 0.3 else {}
        await self.do(self.somebody(), "transitionStage", **named, targetStage=target, **notes)

    async def roll_back(self) -> None:
        model = self.chance.choice(sorted(MODELS))
        await self.do(self.chance.choice(REVIEWERS), "rollbackProduction", modelId=model, notes="Back.")

    async def request(self) -> None:
        _, named = self.version("STAGING", "DEVELOPMENT")
        target = self.chance.choice(["PRODUCTION", "PRODUCTION", "STAGING"])
        await self.do(self.somebody(), "requestTransition", **named, targetStage=target)

    async def review(self) -> None:
        open_ = sorted(id_ for id_, request in self.now["requests"].items() if request["status"] == "OPEN")
        if not open_:
            await self.request()
            return
        decision, asked = self.chance.choice(["APPROVE"] * 5 + ["REJECT"]), self.chance.choice(open_)
        await self.do(self.chance.choice(REVIEWERS), "reviewTransition", requestId=asked, decision=decision)

    async def cancel(self) -> None:
        if self.now["requests"]:
            asked = self.chance.choice(sorted(self.now["requests"]))
            await self.do(self.chance.choice(REVIEWERS), "cancelTransition", requestId=asked)

    async def tag(self) -> None:
        _, named = self.version()
        name = self.chance.choice(["addTags", "removeTags"])
        await self.do(self.somebody(), name, **named, tags=self.chance.sample([*TAGS, "Odd ä", "alias"], 2))

    async def describe(self) -> None:
        _, named = self.version()
        await self.do(self.somebody(), "updateVersion", **named, description=self.chance.choice(WORDS))

    async def edit(self) -> None:
        _, named = self.version()
        pick = self.chance.choice
        card = {
            "limitations": pick([None, *WORDS]),
            "intendedUse": pick(WORDS),
            "performanceBySegment": pick([None, {"new": {"auc": 0.5, "samples": 3}}]),
            "trainingDataSummary": pick([None, {"totalRows": 5, "extra": {"a": [1, None]}}]),
        }
        written = {name: card[name] for name in self.chance.sample(sorted(card), 2)}
        await self.do(self.somebody(), "updateModelCard", **named, modelCard=written)

    async def decide(self) -> None:
        """The policy; mostly so that something can still be applied."""
        pick = self.chance.choice
        policy = {
            "requiredApprovals": pick([1, 1, 2]),
            "allowSelfApproval": pick([True, False]),
            "requireCompleteCard": False,
            "semver": pick(["OFF", "WARN", "ENFORCE"]),
            "retentionDays": pick([None, 30, 90]),
            "minMetrics": pick([[], [], [{"name": "auc", "min": 0.5, "max": 1}]]),
            "maxRegression": pick([None, 0.1, 0.25]),
            "approvalValidDays": pick([7, 30]),
            "allowRequesterApproval": pick([True, False]),
        }
        changes = {name: policy[name] for name in self.chance.sample(sorted(policy), 2)}
        await self.do("ana@example.com", "updateProjectPolicy", projectId=pick(PROJECTS), **changes)
        pending = sorted(id_ for id_, each in self.now["changes"].items() if each["status"] == "PENDING")
        if pending and self.chance.random() < 0.8:
            await self.do(pick([*REVIEWERS, "ana@example.com"]), "confirmPolicyChange", changeId=pick(pending))

    async def employ(self) -> None:
        """Visitors come, change their roles and go; a reviewer is away for a while."""
        email, project = self.chance.choice([*VISITORS, *VISITORS, *REVIEWERS]), self.chance.choice(PROJECTS)
        if f"{project} {email}" in self.now["roles"] and self.chance.random() < 0.4:
            await self.do("ana@example.com", "removeMember", projectId=project, email=email)
            return
        role = "REVIEWER" if email in REVIEWERS else self.chance.choice(["VIEWER", "CONTRIBUTOR", "REVIEWER", "ADMIN"])
        await self.do("ana@example.com", "setMember", projectId=project, email=email, role=role)

    async def define(self) -> None:
        pick = self.chance.choice
        stated: dict[str, Any] = {
            "aliases": pick([[], ["alias"], ["alias", "other"]]),
            "deprecated": pick([True, False]),
            "description": pick(WORDS),
        }
        some = {name: stated[name] for name in self.chance.sample(sorted(stated), pick([0, 1, 2]))}
        await self.do("ana@example.com", "defineTag", projectId=pick(PROJECTS), name=pick(TAGS), **some)

    async def experiment(self) -> None:
        running = sorted(id_ for id_, each in self.now["experiments"].items() if each["status"] == "RUNNING")
        if running and self.chance.random() < 0.6:
            news = [{"projectId": p, "modelId": m, "createModel": True} for m, p in MODELS.items() if p == PROJECTS[0]]
            status = self.chance.choice(["COMPLETED", "FAILED"])
            more = {"notes": "Learned.", "trainingDurationSecs": 12.5} if self.chance.random() < 0.5 else {}
            await self.do(
                "ana@example.com", "completeExperiment", experimentId=running[0], status=status, versions=news, **more
            )
            return
        notes = {"notes": self.chance.choice(WORDS)} if self.chance.random() < 0.5 else {}
        await self.do(self.somebody(), "createExperiment", projectId=PROJECTS[0], name="Run", **notes)

    async def data(self) -> None:
        if not self.now["data"] or self.chance.random() < 0.3:
            label = f"Q{next(self.fresh)}"
            await self.do("ana@example.com", "createDatasetVersion", datasetId="ds_north", label=label)
            return
        id_, status = (
            self.chance.choice(sorted(self.now["data"])),
            self.chance.choice(["ACTIVE", "INVALID", "DEPRECATED"]),
        )
        await self.do("ana@example.com", "setDatasetVersionStatus", datasetVersionId=id_, status=status, reason="Seen.")

    async def hand_over(self) -> None:
        keys = sorted(id_ for id_, key in self.now["keys"].items() if key["name"] == "spare")
        kind = self.chance.choice(["createApiKey", "createApiKey", "revokeApiKey", "rotateApiKey", "setAdministrator"])
        if kind == "createApiKey" or not keys:
            bound = {"projectId": self.chance.choice(PROJECTS)} if self.chance.random() < 0.5 else {}
            asked = {"name": "spare", "email": f"service{next(self.fresh)}@example.com", **bound}
            await self.do("ana@example.com", "createApiKey", **asked)
        elif kind == "setAdministrator":
            administers = self.chance.choice([True, False])
            await self.do("ana@example.com", kind, email="dee@example.com", administers=administers)
        else:
            await self.do("ana@example.com", kind, id=self.chance.choice(keys))

    async def clean_up(self) -> None:
        ids = [self.version("DEVELOPMENT")[0] for _ in range(4)]
        aged = "UPDATE versions SET touched_at = touched_at - interval '100 days' WHERE id = ANY ($1)"
        await self.connection.execute(aged, ids)
        project = self.chance.choice(PROJECTS)
        await self.do("ana@example.com", "applyRetention", projectId=project, dryRun=False)

    async def pass_by(self, steps: int) -> None:
        usual = [self.register] * 4 + [self.move] * 8 + [self.request, self.roll_back] * 2 + [self.review] * 5
        usual += [self.tag, self.edit, self.decide, self.employ] * 2
        usual += [self.cancel, self.describe, self.define, self.experiment, self.data, self.hand_over, self.clean_up]
        for _ in range(6):
            await self.register()
        for _ in range(steps):
            await self.chance.choice(usual)()


# ------------------------------------------------------------------------------------------- what the log says


def state_before_everything() -> State:
    return {part: {} for part in PARTS}


def columns(policy: Any) -> dict[str, Any]:
    """A policy by the names of its columns, as the database has it."""
    return {to_snake(name): value for name, value in policy.items()}


class Replay:
    """What is so after some events, by what each says of before and after; `before` must agree with what was so."""

    def __init__(self, start: State):
        self.state = copy.deepcopy(start)

    def take(self, event: dict[str, Any]) -> None:
        before, after = event["details"]["before"], event["details"]["after"]
        name = "".join(f"_{c.lower()}" if c.isupper() else c for c in event["action"].replace(".", "_"))
        getattr(self, name)(event, before, after)

    def change(self, part: str, id_: str, before: Any, after: Any) -> None:
        """Some fields of a thing become others."""
        thing = self.state[part][id_]
        found = {name: thing[name] for name in before}
        assert found == before, (part, id_, before, found)
        thing |= after

    def project_created(self, event: Any, before: Any, after: Any) -> None:
        self.state["projects"][after["id"]] = {"name": after["name"], "description": after["description"]}
        self.state["policies"][after["id"]] = columns(after["policy"])

    def policy_updated(self, event: Any, before: Any, after: Any) -> None:
        assert before.keys() == after.keys()
        self.change("policies", event["subjectId"], columns(before), columns(after))

    def policy_change_requested(self, event: Any, before: Any, after: Any) -> None:
        field = to_snake(after["field"])
        of = {"project": event["projectId"], "field": field, "to": after["to"], "alone": after["alone"]}
        self.state["changes"][event["subjectId"]] = of | {"status": after["status"], "by": None}

    def policy_change_applied(self, event: Any, before: Any, after: Any) -> None:
        """At once and alone; by the clock nothing takes effect here, where a day is long."""
        assert before is None
        assert after["alone"]
        self.policy_change_requested(event, before, after)

    def policy_change_confirmed(self, event: Any, before: Any, after: Any) -> None:
        assert after["confirmedBy"] == event["actor"]
        told = {"status": after["status"], "by": after["confirmedBy"]}
        self.change("changes", event["subjectId"], before, told)

    def policy_change_withdrawn(self, event: Any, before: Any, after: Any) -> None:
        self.change("changes", event["subjectId"], before, after)

    def member_set(self, event: Any, before: Any, after: Any) -> None:
        member = f"{event['subjectId']} {after['email']}"
        assert self.state["roles"].get(member) == (before and before["role"])
        self.state["roles"][member] = after["role"]

    def member_removed(self, event: Any, before: Any, after: Any) -> None:
        assert self.state["roles"].pop(f"{event['subjectId']} {before['email']}") == before["role"]

    def tag_defined(self, event: Any, before: Any, after: Any) -> None:
        tag, vocabulary = f"{event['subjectId']} {after['name']}", self.state["vocabulary"]
        assert vocabulary.get(tag) == (before and {name: before[name] for name in before if name != "name"})
        vocabulary[tag] = {name: after[name] for name in after if name != "name"}

    def model_created(self, event: Any, before: Any, after: Any) -> None:
        self.state["models"][after["id"]] = {"project": after["projectId"], "name": after["name"]}

    def version_created(self, event: Any, before: Any, after: Any) -> None:
        self.state["versions"][event["subjectId"]] = {
            "model": after["modelId"],
            "number": after["version"],
            "stage": after["stage"],
            "description": after.get("description"),
            "author": event["actor"],
            "parent": after["parentId"],
            "tags": sorted(after["tags"]),
        }

    def version_transitioned(self, event: Any, before: Any, after: Any) -> None:
        self.change("versions", event["subjectId"], before, {"stage": after["stage"]})

    def version_updated(self, event: Any, before: Any, after: Any) -> None:
        self.change("versions", event["subjectId"], before, after)

    version_tagged = version_untagged = version_updated

    def card_updated(self, event: Any, before: Any, after: Any) -> None:
        empty = {"revision": 0} | dict.fromkeys(SECTIONS)
        card = self.state["cards"].setdefault(event["subjectId"], empty)
        kept = {shown: name for name, shown in SECTIONS.items()} | {"revision": "revision"}
        assert before.keys() == after.keys()
        assert {kept[name]: value for name, value in before.items()} == {
            kept[name]: card[kept[name]] for name in before
        }
        card |= {kept[name]: value for name, value in after.items()}

    def transition_requested(self, event: Any, before: Any, after: Any) -> None:
        facts = {"version": after["versionId"], "target": after["targetStage"], "status": after["status"]}
        self.state["requests"][event["subjectId"]] = facts | {"by": event["actor"]}

    def transition_applied(self, event: Any, before: Any, after: Any) -> None:
        self.change("requests", event["subjectId"], before, after)

    transition_rejected = transition_cancelled = transition_expired = transition_applied

    def version_approved(self, event: Any, before: Any, after: Any) -> None:
        self.state["decisions"][after["id"]] = {
            "version": event["subjectId"],
            "reviewer": after["reviewer"],
            "decision": after["decision"],
            "request": after["requestId"],
            "attested": after["attestedBy"],
        }

    version_rejected = version_approved

    def dataset_created(self, event: Any, before: Any, after: Any) -> None:
        """Has nothing that changes."""

    def dataset_version_created(self, event: Any, before: Any, after: Any) -> None:
        facts = {"label": after["label"], "status": after["status"], "reason": None}
        self.state["data"][event["subjectId"]] = facts

    def dataset_version_status_set(self, event: Any, before: Any, after: Any) -> None:
        was, now = ({"status": of["status"], "reason": of["statusReason"]} for of in (before, after))
        self.change("data", event["subjectId"], was, now)

    def experiment_created(self, event: Any, before: Any, after: Any) -> None:
        self.state["experiments"][event["subjectId"]] = {
            "status": after["status"],
            "notes": after["notes"],
            "seconds": after["trainingDurationSecs"],
        }

    def experiment_completed(self, event: Any, before: Any, after: Any) -> None:
        named = {"status": "status", "notes": "notes", "trainingDurationSecs": "seconds"}
        assert before.keys() == after.keys() - {"versions"}
        was, now = ({named[name]: value for name, value in of.items() if name in named} for of in (before, after))
        self.change("experiments", event["subjectId"], was, now)
        assert set(after["versions"]) <= self.state["versions"].keys()

    def principal_created(self, event: Any, before: Any, after: Any) -> None:
        facts = {"email": after["email"], "kind": after["kind"], "administers": False}
        self.state["principals"][event["subjectId"]] = facts

    def principal_administers_set(self, event: Any, before: Any, after: Any) -> None:
        self.change("principals", event["subjectId"], before, after)

    def key_created(self, event: Any, before: Any, after: Any) -> None:
        facts = {"name": after["name"], "revoked": False, "attests": after["mayAttest"]}
        self.state["keys"][event["subjectId"]] = facts | {"project": after["projectId"]}

    def key_rotated(self, event: Any, before: Any, after: Any) -> None:
        assert before["rotated"] in self.state["keys"]
        self.key_created(event, before, after)

    def key_revoked(self, event: Any, before: Any, after: Any) -> None:
        self.change("keys", event["subjectId"], before, {"revoked": after["revoked"]})


def in_order(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(events, key=lambda event: (event["at"], event["chain"], int(event["seq"])))


EVENTS = """
query($filter: AuditFilter, $first: Int!, $after: String) { auditEvents(filter: $filter, first: $first, after: $after) {
  totalCount pageInfo { hasNextPage endCursor }
  nodes { id at actor action subjectId projectId chain seq details requestId }
} }
"""


async def told(registry: Registry, first: int, **asked: Any) -> list[dict[str, Any]]:
    """All events that a filter asks for, page by page."""
    found: list[dict[str, Any]] = []
    after = None
    while True:
        page = (await registry.ask(EVENTS, filter=asked, first=first, after=after))["auditEvents"]
        found += page["nodes"]
        if not page["pageInfo"]["hasNextPage"]:
            assert len(found) == page["totalCount"]
            return found
        after = page["pageInfo"]["endCursor"]


# ------------------------------------------------------------------------------------------- the month

KEPT = ("audit_events", "stage_transitions", "approvals")


async def spread_over_a_month(database: Cluster, chance: Random) -> None:
    """Give each moment another, in the same order; some follow each other at once. The hashes no longer fit."""
    connection = await connect(database.superuser_url)
    try:
        rows = await connection.fetch("SELECT DISTINCT at FROM audit_events ORDER BY at")
        places = sorted(chance.sample(range(int(MONTH / TICK)), len(rows)))
        for place in range(1, len(places)):
            if chance.random() < 0.2:
                places[place] = places[place - 1] + 1
        places = [max(place, n) for n, place in enumerate(places)]
        moments = [(row["at"], BEGIN + place * TICK) for row, place in zip(rows, places, strict=True)]
        assert [now for _, now in moments] == sorted({now for _, now in moments})
        await connection.execute("CREATE TABLE moved (at timestamptz PRIMARY KEY, now timestamptz)")
        await connection.copy_records_to_table("moved", records=moments)
        for table in KEPT:
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER append_only")
            await connection.execute(f"UPDATE {table} t SET at = m.now FROM moved m WHERE m.at = t.at")
            assert await connection.fetchval(f"SELECT bool_and(at < $1) FROM {table}", BEGIN + 2 * MONTH)
    finally:
        await connection.close()


def moment(at: str) -> datetime:
    return datetime.fromisoformat(at)


@dataclass(frozen=True)
class Recorded:
    """From which moment on what was so, as it was recorded while it happened; nothing is said of what was between the
    first and the last event of one request."""

    since: list[datetime]
    until: list[datetime]
    states: list[State]

    def at(self, instant: datetime) -> State | None:
        place = bisect_right(self.since, instant) - 1
        return self.states[place] if place >= 0 and instant < self.until[place] else None


def recorded(states: list[tuple[str, State]], events: list[dict[str, Any]]) -> Recorded:
    """Each request's state from its last event until the first event of the next that wrote something."""
    spans: dict[str, tuple[datetime, datetime]] = {}
    for event in in_order(events):
        at = moment(event["at"])
        spans[event["requestId"]] = (spans.get(event["requestId"], (at, at))[0], at)
    wrote = [(spans[request], state) for request, state in states if request in spans]
    since, until = [last for (_, last), _ in wrote], [first for (first, _), _ in wrote][1:]
    assert since == sorted(since)
    return Recorded(since, [*until, BEGIN + 2 * MONTH], [state for _, state in wrote])


def instants(chance: Random, events: list[dict[str, Any]], wanted: int) -> list[datetime]:
    """At events, just before and just after, above all where production changes, and any others."""
    turns = [event for event in events if event["action"] == "version.transitioned" and of_production(event)]
    some = [*chance.sample(turns, min(len(turns), wanted // 8)), *chance.sample(events, wanted // 8)]
    moments = [moment(event["at"]) for event in some]
    near = [at + step for at in moments for step in (-TICK, 0 * TICK, TICK)]
    return sorted([*near, *(BEGIN + chance.random() * MONTH for _ in range(wanted - len(near)))])


def of_production(event: dict[str, Any]) -> bool:
    return "PRODUCTION" in (event["details"]["before"]["stage"], event["details"]["after"]["stage"])


async def live_month(
    registry: Registry, staff: dict[str, Registry], database: Cluster, chance: Random, steps: int
) -> Month:
    connection = await connect(database.owner_url)
    month = Month(registry, connection, chance, {"ana@example.com": registry} | staff)
    try:
        for project in PROJECTS:
            await month.do("ana@example.com", "createProject", id=project, name=project.title())
        await month.do("ana@example.com", "createDataset", id="ds_north", projectId=PROJECTS[0], name="Clicks")
        for email in STAFF:
            role = "REVIEWER" if email in REVIEWERS else "CONTRIBUTOR"
            for project in PROJECTS:
                await month.do("ana@example.com", "setMember", projectId=project, email=email, role=role)
        await month.pass_by(steps)
    finally:
        await connection.close()
    return month


PRODUCTION_AT = (
    "query($ids: [ID!]!, $at: DateTime!) { nodes(ids: $ids) { id ... on Model { productionAt(at: $at) { id } } } }"
)


async def in_production(registry: Registry, models: list[str], at: datetime) -> dict[str, str | None]:
    nodes = (await registry.ask(PRODUCTION_AT, ids=models, at=at.isoformat()))["nodes"]
    return {node["id"]: node["productionAt"] and node["productionAt"]["id"] for node in nodes}


def serving(state: State, models: list[str]) -> dict[str, str | None]:
    found = {version["model"]: id_ for id_, version in state["versions"].items() if version["stage"] == "PRODUCTION"}
    return {model: found.get(model) for model in models}


def any_filter(chance: Random, events: list[dict[str, Any]], at: datetime) -> dict[str, Any]:
    """Some conditions that at least one event is likely to meet."""
    like = chance.choice(events)
    conditions = {
        "before": at.isoformat(),
        "after": (at - chance.random() * MONTH / 2).isoformat(),
        "actor": like["actor"],
        "action": sorted({like["action"], chance.choice(events)["action"]}),
        "subjectId": like["subjectId"],
        "chain": like["chain"],
        "projectId": like["projectId"] or PROJECTS[0],
    }
    return {name: conditions[name] for name in chance.sample(sorted(conditions), chance.randint(1, 3))}


def meets(event: dict[str, Any], asked: dict[str, Any]) -> bool:
    at = moment(event["at"])
    return (
        ("before" not in asked or at < moment(asked["before"]))
        and ("after" not in asked or at >= moment(asked["after"]))
        and ("action" not in asked or event["action"] in asked["action"])
        and all(event[name] == asked[name] for name in ("actor", "subjectId", "chain", "projectId") if name in asked)
    )


@pytest.mark.long
async def test_the_log_and_production_at_say_of_any_instant_of_a_month_what_was_so(
    make_database: Callable[[], Any], make_registry: Callable[..., Any], pytestconfig: pytest.Config
) -> None:
    full = at_full_length(pytestconfig)
    steps, wanted, seed = (3000, 1000, time.time_ns() % 100_000) if full else (160, 60, 20260101)
    chance, database = Random(seed), await make_database()
    registry = await make_registry(database, rate_per_second=0)
    keys = {email: await make_key(database.app_url, email, project=None, role=None) for email in STAFF}
    staff = {email: registry.with_key(key) for email, key in keys.items()}
    start = json.loads(await _fetchval(database, NOW)) | {"policies": {}, "roles": {}, "projects": {}}
    before = {event["id"] for event in await told(registry, 100)}
    month = await live_month(registry, staff, database, chance, steps)
    await spread_over_a_month(database, chance)
    everything = [event for event in await told(registry, 100) if event["id"] not in before]
    what_was = recorded(month.states, everything)

    seed_said = f"seed {seed}"
    history = Walk(start, in_order(everything))
    checked = between = 0
    for at in instants(chance, everything, wanted):
        expected, replayed = what_was.at(at), history.until(at)
        if expected is None:
            between += 1
            continue
        checked += 1
        for part in PARTS:
            assert replayed[part] == (expected[part] or {}), (seed_said, part, at)
        models = sorted(expected["models"])
        assert await in_production(registry, models, at) == serving(expected, models), (seed_said, at)
        asked = any_filter(chance, everything, at)
        found = await told(registry, chance.choice([1, 7, 100]) if len(everything) < 1000 else 100, **asked)
        ids = [event["id"] for event in found if event["id"] not in before]
        assert ids == newest_first(event for event in everything if meets(event, asked)), (seed_said, asked)
    for at in chance.sample([moment(event["at"]) for event in everything], 5):
        asked_of = await told(registry, 50, before=(at + TICK).isoformat())
        own = Walk(start, in_order([event for event in asked_of if event["id"] not in before]))
        if (was := what_was.at(at)) is not None:
            assert own.until(at) == {part: was[part] or {} for part in PARTS}, (seed_said, at)
    actions = Counter(event["action"] for event in everything)
    assert checked > wanted / 2 and len(actions) > 20
    print(
        f"\n{sum(month.told.values())} requests, {len(everything)} events of {len(actions)} kinds, {checked} instants"
        f" of a month as recorded ({between} more lay within a request); {seed_said}; kinds {dict(actions)};"
        f" requests {dict(month.told)}"
    )


def newest_first(events: Iterator[dict[str, Any]]) -> list[str]:
    return [event["id"] for event in sorted(events, key=lambda event: (event["at"], event["id"]), reverse=True)]


async def _fetchval(database: Cluster, statement: str) -> Any:
    connection = await connect(database.owner_url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


class Walk:
    """A replay that goes on from instant to instant."""

    def __init__(self, start: State, events: list[dict[str, Any]]):
        self.replay, self.events = Replay(start), iter(events)
        self.next = next(self.events, None)

    def until(self, at: datetime) -> State:
        while self.next is not None and moment(self.next["at"]) <= at:
            self.replay.take(self.next)
            self.next = next(self.events, None)
        return self.replay.state
