"""The details of audit events: our names in camelCase, those of users as they are."""

from resolvers.rules.details import spelled


def test_our_names_are_camel_case() -> None:
    change = {"project_id": "proj_a", "row_count": 3, "name": "A", "stage": None, "projectId2": 1}
    assert spelled(change) == {"projectId": "proj_a", "rowCount": 3, "name": "A", "stage": None, "projectId2": 1}


def test_what_an_object_of_ours_holds_is_camel_case_too() -> None:
    use = {"role": "TRAINING", "dataset_version_id": "dsv_a_b"}
    change = {"artifact": {"size_bytes": 1}, "datasets": [use], "policy": {"min_metrics": [{"name": "top_5"}]}}
    assert spelled(change) == {
        "artifact": {"sizeBytes": 1},
        "datasets": [{"role": "TRAINING", "datasetVersionId": "dsv_a_b"}],
        "policy": {"minMetrics": [{"name": "top_5"}]},
    }


def test_names_that_users_chose_stay() -> None:
    stated = {
        "parameters": {"max_depth": 3, "artifact": {"size_bytes": 1}},
        "metrics": {"eval_loss": 0.1},
        "reviewed": {"data": {"dsv_a_b": "ACTIVE"}},
        "from": [{"name": "eval_loss"}],
        "tags": ["a_b"],
    }
    assert spelled(stated) == stated


def test_nothing_is_nothing() -> None:
    assert spelled(None) is None
