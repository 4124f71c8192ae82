from resolvers.renderings.mermaid import draw


def test_a_graph_is_drawn_from_its_sources_down_with_stages_marked() -> None:
    nodes = [
        {"id": "ver_b", "label": "Churn 1.1.0", "stage": "PRODUCTION"},
        {"id": "dsv_a", "label": "Orders 2025", "stage": None},
    ]
    drawn = draw(nodes, [{"from_id": "ver_b", "to_id": "dsv_a", "kind": "TRAINED_ON"}])  # type: ignore[arg-type]
    lines = drawn.splitlines()
    assert lines[0] == "flowchart TD"
    assert '  n0["Churn 1.1.0"]:::PRODUCTION' in lines
    assert "  n1 -->|TRAINED_ON| n0" in lines


def test_what_mermaid_would_read_as_its_own_is_escaped() -> None:
    drawn = draw([{"id": "exp_a", "label": '"]; click n0 <script>', "stage": None}], [])
    assert '"];' not in drawn.splitlines()[1][:-4]
    assert "<script>" not in drawn
