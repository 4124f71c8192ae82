"""A project's policy: its defaults, its ranges, and that each change is in the log."""

from typing import Any

import pytest

from tests.conftest import Registry

FIELDS = """requiredApprovals allowSelfApproval requireCompleteCard blockInvalidData semver tags retentionDays
    minMetrics { name min max } maxRegression approvalValidDays"""
UPDATE = f"""mutation($input: UpdateProjectPolicyInput!) {{ updateProjectPolicy(input: $input) {{
    project {{ policy {{ {FIELDS} }} }} }} }}"""
LOG = """query($p: ID!) { auditEvents(filter: {projectId: $p, action: ["policy.updated"]}) {
    nodes { details } } }"""


async def test_the_defaults_are_safe(registry: Registry) -> None:
    made = await registry.ask(
        f'mutation {{ createProject(input: {{name: "New"}}) {{ project {{ policy {{ {FIELDS} }} }} }} }}'
    )
    assert made["createProject"]["project"]["policy"] == {
        "requiredApprovals": 1, "allowSelfApproval": False, "requireCompleteCard": False, "blockInvalidData": True,
        "semver": "WARN", "tags": "WARN", "retentionDays": 90, "minMetrics": [], "maxRegression": 0.1,
        "approvalValidDays": 30,
    }  # fmt: skip


async def test_what_is_left_out_stays_and_what_is_the_same_is_no_change(registry: Registry, project: str) -> None:
    ranges = [{"name": "auc", "min": 0.8, "max": None}]
    asked = {"projectId": project, "requiredApprovals": 2, "minMetrics": ranges, "retentionDays": None}
    for _ in range(2):
        policy = (await registry.ask(UPDATE, input=asked))["updateProjectPolicy"]["project"]["policy"]
    assert (policy["requiredApprovals"], policy["minMetrics"], policy["retentionDays"]) == (2, ranges, None)
    assert policy["maxRegression"] == 0.1
    log = (await registry.ask(LOG, p=project))["auditEvents"]["nodes"]
    assert log[0]["details"] == {
        "before": {"requiredApprovals": 1, "minMetrics": [], "retentionDays": 90},
        "after": {"requiredApprovals": 2, "minMetrics": ranges, "retentionDays": None},
    }
    assert len(log) == 2, "the fixture's own change, and one"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"requiredApprovals": 0}, "input.requiredApprovals"),
        ({"requiredApprovals": 11}, "input.requiredApprovals"),
        ({"retentionDays": 0}, "input.retentionDays"),
        ({"approvalValidDays": 0}, "input.approvalValidDays"),
        ({"maxRegression": -0.1}, "input.maxRegression"),
        ({"maxRegression": 1.1}, "input.maxRegression"),
        ({"minMetrics": [{"name": "auc"}]}, "input.minMetrics[0]"),
        ({"minMetrics": [{"name": "auc", "min": 2, "max": 1}]}, "input.minMetrics[0]"),
        ({"minMetrics": [{"name": " ", "min": 2}]}, "input.minMetrics[0].name"),
        ({"minMetrics": [{"name": "a", "min": 2}, {"name": "a", "max": 2}]}, "input.minMetrics"),
    ],
)
async def test_bad_values_are_refused_by_name(registry: Registry, project: str, changes: Any, field: str) -> None:
    refusal = await registry.refusal(UPDATE, input={"projectId": project} | changes)
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", field)
    assert len((await registry.ask(LOG, p=project))["auditEvents"]["nodes"]) == 1
