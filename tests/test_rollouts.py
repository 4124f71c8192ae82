"""Rollouts while the processes that bring them on are killed and stopped: each step once, none lost."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from server.audit.verify import report_on_database
from storage.data_folder import urls_of_running
from tests.support.documents import CREATE_MODEL, CREATE_PROJECT, CREATE_VERSION, DEPLOY, REPORT
from tests.support.live import OK, UNREACHABLE, Live, at_full_length, eventually, has_ended, lineal, spread

pytestmark = pytest.mark.long

PROJECT = "proj_rollouts"
RESUME = "mutation($input: DeploymentActionInput!) { resumeDeployment(input: $input) { deployment { status } } }"
NO_HEALTH = "No health was reported since the stage began."
STEPS = ["created", "advanced", "advanced", "completed"]
SHARES = [5, 25, 50, 100]


@dataclass(frozen=True)
class Effort:
    """How many rollouts there are, how long a stage takes, in seconds, and how often something is done to a process."""

    models: int
    environments: int
    stage: float
    blows: int

    @property
    def rollouts(self) -> int:
        return self.models * self.environments


SHORT, FULL = Effort(4, 3, 1.2, 6), Effort(10, 5, 8.0, 40)


async def begin(live: Live, effort: Effort) -> list[str]:
    """A rollout of four stages in each environment, half of which ask for health; a base serves in some."""
    await live.ask(CREATE_PROJECT, input={"id": PROJECT, "name": "Rollouts"})
    ids = []
    for place in range(effort.models):
        model = f"model_{place}"
        await live.ask(CREATE_MODEL, input={"id": model, "projectId": PROJECT, "name": model})
        for number in ("1.0.0", "2.0.0"):
            await live.ask(CREATE_VERSION, input={"projectId": PROJECT, "modelId": model, "version": number})
        for n in range(effort.environments):
            if n % 2:
                await live.ask(DEPLOY, input=wanted(model, "1.0.0", f"env-{n}", "DIRECT"))
            made = await live.ask(
                DEPLOY, input=wanted(model, "2.0.0", f"env-{n}", "CANARY", config(effort, n % 2 == 0))
            )
            ids.append(made["createDeployment"]["deployment"]["id"])
    return ids


def config(effort: Effort, asks_health: bool) -> dict[str, Any]:
    minutes = effort.stage / 60
    stages = [{"trafficPercentage": share, "durationMinutes": 0 if share == 100 else minutes} for share in SHARES]
    return {"stages": stages, "maxHealthAgeMinutes": 10 if asks_health else None}


def wanted(model: str, number: str, environment: str, strategy: str, canary: Any = None) -> dict[str, Any]:
    version = {"modelId": model, "version": number}
    named = {"projectId": PROJECT, "registryVersion": version, "name": f"{strategy} {model}", "strategy": strategy}
    return named | {"environment": environment} | ({"canaryConfig": canary} if canary else {})


async def operate(live: Live, ids: Sequence[str], pause: float) -> None:
    """Report good health again and again, whatever becomes of the single report, and resume rollouts that paused. A
    stage may pass without a report while processes stand still; then its rollout pauses, as it must."""
    while True:
        for id_ in ids:
            reply = await live.send(REPORT, input={"deploymentId": id_, "healthy": True})
            assert reply.code in (OK, "UNAVAILABLE", UNREACHABLE), reply
            if reply.code == OK and reply.data["reportDeploymentHealth"]["deployment"]["status"] == "PAUSED":
                reply = await live.send(RESUME, input={"deploymentId": id_})
                assert reply.code in (OK, "UNAVAILABLE", UNREACHABLE), reply
        await asyncio.sleep(pause)


async def strike(live: Live, effort: Effort, chance: random.Random, report: list[str]) -> None:
    """Kill or stop a process at random; once, kill PostgreSQL."""
    for blow in range(effort.blows):
        await asyncio.sleep(chance.uniform(0.1, effort.stage * 3 / effort.blows))
        await eventually(lambda: live.workers and live.postmasters)
        if blow == effort.blows // 2:
            report.append("postgres")
            os.kill(live.postmasters[0], signal.SIGKILL)
            continue
        victim = chance.choice(live.workers)
        with suppress(ProcessLookupError):
            if chance.random() < 0.5:
                report.append("killed")
                os.kill(victim, signal.SIGKILL)
            else:
                report.append("stopped")
                os.kill(victim, signal.SIGSTOP)
                await asyncio.sleep(chance.uniform(0.2, effort.stage / 2))
                if not has_ended(victim):
                    os.kill(victim, signal.SIGCONT)


EVENTS = """
SELECT subject_id, split_part(action, '.', 2) AS kind, at,
    (entry::json -> 'details' -> 'after' ->> 'trafficPercentage')::int AS share, entry::json ->> 'notes' AS notes
FROM audit_events WHERE subject_id = ANY ($1::text[]) ORDER BY subject_id, seq
"""
SUMS = """
SELECT model_id, environment, sum(traffic_percentage)::int AS total, count(*) FILTER (WHERE status = 'ACTIVE') AS active
FROM deployments GROUP BY model_id, environment
"""
UNFINISHED = "SELECT id, status, traffic_percentage FROM deployments WHERE strategy = 'CANARY' AND status <> 'ACTIVE'"


async def test_each_step_is_made_once_whatever_becomes_of_the_processes(pytestconfig: pytest.Config) -> None:
    effort = FULL if at_full_length(pytestconfig) else SHORT
    chance, blows = random.Random(5), list[str]()
    async with lineal(size=4) as live:
        ids = await begin(live, effort)
        operating = asyncio.create_task(operate(live, ids, effort.stage / 6))
        await strike(live, effort, chance, blows)

        unfinished: list[object] = []

        async def all_have_ended() -> bool:
            assert not operating.done(), operating.exception()
            try:
                unfinished[:] = await live.sql(UNFINISHED)
            except Exception as error:  # noqa: BLE001 -- whatever it is, it is shown if it stays
                unfinished[:] = [repr(error)]
            return not unfinished

        await eventually(all_have_ended, effort.stage * 3 + 60, lambda: f"after {blows}: {unfinished}, {live.workers}")
        operating.cancel()
        events = await live.sql(EVENTS, ids)
        sums = await live.sql(SUMS)
        app_url = urls_of_running(live.data_dir)[1]
        outcome = await report_on_database(app_url, None)
    assert outcome.code == 0, outcome
    late, pauses = [], 0
    for id_ in ids:
        steps = [event for event in events if event["subject_id"] == id_]
        assert {step["notes"] for step in steps if step["kind"] == "paused"} <= {NO_HEALTH}
        made = [(step["kind"], step["share"]) for step in steps if step["kind"] not in ("paused", "resumed")]
        assert made == list(zip(STEPS, SHARES, strict=True))
        pauses += (len(steps) - len(made)) // 2
        for before, after in pairwise(steps):
            if after["kind"] == "resumed":
                continue
            taken = (after["at"] - before["at"]).total_seconds()
            # The stage began when the step was decided, a moment before it was recorded.
            assert taken >= effort.stage - 0.1
            late.append(taken - effort.stage)
    assert all((each["total"], each["active"]) == (100, 1) for each in sums)
    assert len(sums) == effort.rollouts
    told = ", ".join(f"{blows.count(what)} {what}" for what in ("killed", "stopped", "postgres"))
    told += f", {pauses} pauses"
    print(f"{len(ids)} rollouts of 4 stages on 4 processes ({told}): each step once; late by {spread(late)}")


async def test_the_last_bad_report_rolls_back_at_once(pytestconfig: pytest.Config) -> None:
    async with lineal() as live:
        ids = await begin(live, Effort(2, 3, 600.0, 0))
        taken = []
        for id_ in ids:
            began = time.monotonic()
            reply = await live.ask(REPORT, input={"deploymentId": id_, "healthy": False})
            taken.append(time.monotonic() - began)
            assert reply["reportDeploymentHealth"]["deployment"]["status"] == "ROLLED_BACK"
        sums = await live.sql(SUMS)
    assert {each["total"] for each in sums} == {0, 100}
    print(f"rolled back after {spread(taken)}")
