"""The rollout machine against any sequence of reports, hands, and clock jumps."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from resolvers.errors import Conflict
from resolvers.rules import rollouts
from resolvers.rules.rollouts import ACTIVE, ENDED, IN_PROGRESS, PAUSED, Action, Plan, Report, Rollout, RolloutStage
from storage.vocabulary import DeploymentStatus

BEGIN = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


MEANT = {
    Action.PAUSE: PAUSED,
    Action.RESUME: IN_PROGRESS,
    Action.ROLL_BACK: DeploymentStatus.ROLLED_BACK,
    Action.RETIRE: DeploymentStatus.RETIRED,
}


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    shares = sorted(draw(st.sets(st.integers(1, 99), max_size=4)))
    stages = [RolloutStage(share, draw(st.sampled_from([0.5, 1.0, 60.0]))) for share in shares]
    return Plan(
        [*stages, RolloutStage(100, draw(st.sampled_from([0.0, 5.0])))],
        auto_advance=draw(st.sampled_from([True, True, False])),
        auto_rollback=draw(st.booleans()),
        failure_threshold=draw(st.integers(1, 3)),
        health_required=draw(st.sampled_from([True, True, False])),
        max_health_age=draw(st.sampled_from([None, timedelta(minutes=2), timedelta(minutes=70)])),
    )


class Machine(RuleBasedStateMachine):
    """One rollout; after each event everything that is due is done, as the clock does it."""

    @initialize(plan=plans())
    def begin(self, plan: Plan) -> None:
        self.plan, self.now = plan, BEGIN
        self.state = rollouts.entered(plan, 0, self.now)
        self.reports: list[Report] = []
        self.blocked: str | None = None
        self.seen = [self.state]

    def settle(self, by_report: bool = False) -> None:
        """What is due is done; each step once, and a step of the clock only at its time."""
        for _ in range(50):
            before = self.state
            due = rollouts.next_look(before, self.plan, self.reports)
            decision = rollouts.decide(before, self.plan, self.reports, self.now, self.blocked)
            if decision is None:
                return
            if not by_report and self.blocked is None:
                assert due is not None, "the clock would not have looked"
                assert due <= self.now, "the clock would not have looked yet"
            if decision.action is Action.ADVANCE:
                self.check_advance(before)
            self.take(decision.action)
            by_report = False
        raise AssertionError("it never settles")

    def check_advance(self, before: Rollout) -> None:
        assert before.status is IN_PROGRESS
        assert self.plan.auto_advance
        assert self.blocked is None
        assert self.now >= before.since + timedelta(minutes=self.plan.stages[before.stage].duration_minutes)
        since = [report for report in self.reports if report.at >= before.since]
        if self.plan.health_required:
            assert since, "no advance without a report of this stage"
            assert self.plan.max_health_age is None or self.now - since[0].at <= self.plan.max_health_age
        assert not since or since[0].healthy

    def take(self, action: Action) -> None:
        before = self.state
        self.state = rollouts.after(action, before, self.plan, self.now)
        assert self.state != before
        self.seen.append(self.state)

    @rule(minutes=st.sampled_from([0.0, 0.1, 0.5, 1.0, 5.0, 61.0, 100_000.0]))
    def time_passes(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)
        self.settle()

    @rule(healthy=st.sampled_from([True, True, False]), late=st.sampled_from([0.0, 0.0, 1.0, 90.0]))
    def report(self, healthy: bool, late: float) -> None:
        self.reports.append(Report(self.now - timedelta(minutes=late), healthy))
        self.reports.sort(reverse=True, key=lambda report: report.at)
        was_rolling = self.state.status in rollouts.ROLLING
        self.settle(by_report=True)
        since = [report for report in self.reports if report.at >= self.state.since]
        bad = len(list(takewhile(lambda report: not report.healthy, since)))
        if was_rolling and bad >= self.plan.failure_threshold:
            assert self.state.status is (DeploymentStatus.ROLLED_BACK if self.plan.auto_rollback else PAUSED)

    @rule(action=st.sampled_from(Action), chance=st.integers(0, 9))
    def by_hand(self, action: Action, chance: int) -> None:
        before = self.state
        if chance and action in (Action.ROLL_BACK, Action.RETIRE):
            return  # rarely: nothing happens afterwards
        try:
            rollouts.require(action, before.status)
        except Conflict as refusal:
            assert action.name not in refusal.extensions["allowed"]
            return
        if action in (Action.ADVANCE, Action.RESUME) and self.blocked:
            return  # refused by who asks the machine
        self.take(action)
        if action in MEANT:
            assert self.state.status is MEANT[action]
        assert action is not Action.RESUME or self.state.since == self.now, "its stage begins anew"
        self.settle(by_report=True)

    @precondition(lambda self: self.blocked is None)
    @rule(chance=st.integers(0, 9))
    def version_is_archived(self, chance: int) -> None:
        if chance:
            return
        self.blocked = "Its version has been archived."
        self.settle()
        assert self.state.status is not IN_PROGRESS

    @invariant()
    def shares_are_of_the_plan(self) -> None:
        state = self.state
        if state.status in ENDED:
            assert state.traffic == 0
        else:
            assert state.traffic == self.plan.stages[state.stage].traffic_percentage
        if state.status is ACTIVE:
            assert state.traffic == 100

    @invariant()
    def what_has_ended_stays_so(self) -> None:
        ended = [state.status for state in self.seen if state.status in ENDED]
        assert not ended or self.state.status is ended[0]

    @invariant()
    def each_stage_is_entered_once_and_in_order(self) -> None:
        stages = [state.stage for state in self.seen]
        assert stages == sorted(stages)
        assert all(after - before <= 1 for before, after in pairwise(stages))

    @invariant()
    def the_clock_is_set_only_where_something_may_become_due(self) -> None:
        due = rollouts.next_look(self.state, self.plan, self.reports)
        assert due is None or self.state.status is IN_PROGRESS


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=300, stateful_step_count=30, deadline=None, derandomize=True)


@given(plans())
@settings(deadline=None, derandomize=True)
def test_a_healthy_rollout_reaches_everybody(plan: Plan) -> None:
    plan = plan._replace(auto_advance=True)
    now = BEGIN
    state = rollouts.entered(plan, 0, now)
    reports: list[Report] = []
    for _ in range(len(plan.stages) + 1):
        if state.status is ACTIVE:
            break
        now = rollouts.next_look(state, plan, reports) or now
        reports.insert(0, Report(now, healthy=True))
        decision = rollouts.decide(state, plan, reports, now)
        assert decision is not None
        state = rollouts.after(decision.action, state, plan, now)
    assert (state.status, state.traffic) == (ACTIVE, 100)
