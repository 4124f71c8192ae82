"""What is exported of a card, held to its facts by the parsers of those who read it."""

import html
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from huggingface_hub import ModelCard

from resolvers.renderings.card_cyclone_dx import card_cyclone_dx
from resolvers.renderings.card_hugging_face import card_hugging_face
from resolvers.renderings.card_markdown import card_markdown
from resolvers.renderings.markdown import escaped, paragraphs, table
from resolvers.rules.cards import completeness, generated, missing
from resolvers.rules.references import is_iri_reference, known_digest
from tests.support.generated_cards import cards
from tests.support.oracle import Row

VERSIONS = list(cards(seed=1, count=1_000))
EMPTY: tuple[Any, ...] = (None, "", [], {})
Path = tuple[str | int, ...]


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if value in EMPTY or not isinstance(value, dict | list):
        yield path, value
    for step, each in inner:
        yield from leaves(each, (*path, step))


def found(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


# Generated


def stated(facts: Row) -> Row:
    """Where the generated part has its facts from, as the API says it."""
    uses = facts["data"]
    places = ("model", "version", "algorithm", "parameters", "metrics", "target", "features", "experiment", "artifact",
              "parent", "registeredAt", "registeredBy")  # fmt: skip
    return {name: facts[name] for name in places} | {
        "trainingData": [use for use in uses if use["role"] == "TRAINING"],
        "evaluationData": [use for use in uses if use["role"] in ("VALIDATION", "TEST")],
        "featureCount": len(facts["features"]) or None,
        "operations": facts["deployments"],
    }


def test_nothing_is_generated_that_was_not_stated_and_all_that_was() -> None:
    for _, facts in VERSIONS:
        known, told = stated(facts), generated(facts)
        for path, value in leaves(told):
            assert repr(found(known, path)) == repr(value), path
        # A parameter that is null was stated to be null.
        expected = [path for path, value in leaves(known) if path[0] == "parameters" or value not in EMPTY]
        assert {path for path, _ in leaves(told)} == {path for path in expected if found(known, path[:1]) not in EMPTY}


def test_a_section_that_says_nothing_is_missing() -> None:
    card, facts = VERSIONS[0]
    empty: Row = dict.fromkeys(("description", "intended_use", "limitations", "ethical_considerations"))
    for summary, segments in (({}, {}), ({"extra": {}}, {"a": {}}), ({"source": None}, None)):
        silent = card | empty | {"training_data_summary": summary, "performance_by_segment": segments}
        assert missing(silent, facts)[4:6] == ["trainingDataSummary", "performanceBySegment"]
    spoken = card | {"training_data_summary": {"total_rows": 0}, "performance_by_segment": {"a": {"auc": 0.0}}}
    assert not {"trainingDataSummary", "performanceBySegment"} & set(missing(spoken, facts))


# Hugging Face


def measured(card: Row, facts: Row) -> dict[tuple[str | None, str], float]:
    """Every metric by segment and name; the whole is no segment."""
    whole = {(None, name): value for name, value in facts["metrics"].items()}
    segments = (card["performance_by_segment"] or {}).items()
    return whole | {(s, name): value for s, of in segments for name, value in of.items() if name != "samples"}


def hub_data(content: str) -> Any:
    return ModelCard(content).data


def test_hugging_face_reads_every_metric_and_segment_back() -> None:
    for card, facts in VERSIONS:
        content = card_hugging_face(card, facts)
        card_read = ModelCard(content)
        for data in (hub_data(content), hub_data(str(card_read))):
            results = data.eval_results or []
            assert all(result.metric_name == result.metric_type for result in results)
            told = [((result.dataset_config, result.metric_name), result.metric_value) for result in results]
            assert len(told) == len(dict(told))
            assert dict(told) == measured(card, facts)
            assert {result.task_type for result in results} <= {"other"}
        assert card_read.text == "\n" + card_markdown(card, facts)


def test_hugging_face_is_told_nothing_that_nobody_stated() -> None:
    for card, facts in VERSIONS:
        data = hub_data(card_hugging_face(card, facts))
        name = f"{facts['model']['name']} {facts['version']}"
        assert (data.model_name, data.tags or []) == (name, facts["tags"])
        assert {key for key, value in vars(data).items() if value} <= {"model_name", "tags", "eval_results", "lineal"}
        assert set(data.lineal) == {"model", "version", "versionId", "stage", "cardRevision"}
        tested = [use for use in facts["data"] if use["role"] == "TEST"]
        for result in data.eval_results or []:
            where = (result.dataset_type, result.dataset_name, result.dataset_revision, result.dataset_split)
            if len(tested) == 1:
                (use,) = tested
                assert where == (use["datasetId"], f"{use['dataset']} {use['label']}", use["id"], None)
            else:
                assert where == ("unknown", "Not stated", None, None)
            segment = (card["performance_by_segment"] or {}).get(result.dataset_config, {})
            assert (result.dataset_args or {}).get("samples") == segment.get("samples")


# CycloneDX


def test_the_bill_of_materials_keeps_to_the_official_schema() -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    for card, facts in VERSIONS:
        bill = card_cyclone_dx(card, facts)
        problem = validator.validate_str(json.dumps(bill))
        assert problem is None, problem
        assert (bill["version"], bill["metadata"]["timestamp"]) == (card["revision"] + 1, card["updated_at"])


def test_references_in_the_bill_lead_to_its_components() -> None:
    for card, facts in VERSIONS:
        bill = card_cyclone_dx(card, facts)
        model = bill["metadata"]["component"]
        ancestors = model.get("pedigree", {}).get("ancestors", [])
        refs = [each["bom-ref"] for each in (model, *ancestors, *bill["components"])]
        assert len(refs) == len(set(refs))
        used = [each["ref"] for each in model.get("modelCard", {}).get("modelParameters", {}).get("datasets", [])]
        assert used == sorted({use["id"] for use in facts["data"]})
        assert set(used) == {each["bom-ref"] for each in bill["components"]}


def test_a_version_has_one_serial_number() -> None:
    card, facts = VERSIONS[0]
    serial = card_cyclone_dx(card, facts)["serialNumber"]
    assert card_cyclone_dx(card | {"revision": 99}, facts | {"stage": "ARCHIVED"})["serialNumber"] == serial
    assert card_cyclone_dx(card, facts | {"versionId": "ver_other"})["serialNumber"] != serial


WORDS = {"http://cyclonedx.org/schema/bom-1.6.schema.json", "CycloneDX", "1.6", "machine-learning-model", "data",
         "dataset", "distribution", "MD5", "SHA-1", "SHA-256", "SHA-512"}  # fmt: skip


def texts(card: Row, facts: Row) -> set[str]:
    """All that is said of a version, each in the ways it can be written."""
    extra = (card["training_data_summary"] or {}).get("extra") or {}
    as_json = (facts["features"], *facts["parameters"].values(), *extra.values())
    written = {json.dumps(value, ensure_ascii=False) for value in as_json}
    for _, value in (*leaves(facts), *leaves(card)):
        written |= {value} if isinstance(value, str) else {number_text(value)} if is_number(value) else set()
    return written | set((card["performance_by_segment"] or {}).keys()) | set(facts["metrics"])


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def number_text(value: float) -> str:
    # Zero has no sign: the database does not keep it in JSON.
    return str(value) if isinstance(value, int) else repr(value or 0.0).removesuffix(".0")


def test_the_bill_says_what_was_said_and_nothing_else() -> None:
    for card, facts in VERSIONS:
        bill = card_cyclone_dx(card, facts)
        said = texts(card, facts) | WORDS | set(missing(card, facts)) | {number_text(completeness(card, facts))}
        said |= {bill["serialNumber"], str(len(facts["features"]))}
        names = {name for of in (card["performance_by_segment"] or {}).values() for name in of}
        for path, value in leaves(bill):
            if path[-1] == "name" and path[-3] == "properties":
                assert value.startswith("lineal:")
            elif path[-1] == "content":
                assert any(digest.endswith(f":{value}") for digest in said), path
            elif path not in (("version",), ("components",)):
                assert value in said | names, path
        told = {value for _, value in leaves(bill) if isinstance(value, str)}
        assert not {text for text in stated_texts(card, facts) if text not in told and not hashed(text)}


def hashed(text: str) -> bool:
    return known_digest(text) is not None


# Told as JSON, or by the sections that are for them.
NOT_TOLD = ("parameters", "features", "deployments")


def stated_texts(card: Row, facts: Row) -> Iterator[str]:
    """What people wrote, outside of JSON."""
    for part in ({name: value for name, value in facts.items() if name not in NOT_TOLD}, card):
        for path, value in leaves(part):
            of_json = path[:2] == ("training_data_summary", "extra")
            never_edited = path == ("updated_by",) and not card["revision"]
            if isinstance(value, str) and value and not of_json and not never_edited:
                yield value


def slices(bill: Row) -> dict[tuple[str | None, str], float]:
    model = bill["metadata"]["component"].get("modelCard", {})
    metrics = model.get("quantitativeAnalysis", {}).get("performanceMetrics", [])
    assert len(metrics) == len({(each.get("slice"), each["type"]) for each in metrics})
    return {(each.get("slice"), each["type"]): float(each["value"]) for each in metrics}


def test_the_bill_has_every_metric_of_the_whole_and_of_each_segment() -> None:
    for card, facts in VERSIONS:
        assert slices(card_cyclone_dx(card, facts)) == measured(card, facts)


def test_hashes_are_given_where_the_digest_has_a_known_form() -> None:
    assert known_digest(f"sha256:{'Ab' * 32}") == ("SHA-256", "Ab" * 32)
    assert known_digest(f"MD5:{'0' * 32}") == ("MD5", "0" * 32)
    for other in (f"sha256:{'a' * 63}", f"sha256:{'g' * 64}", "a" * 64, "own:ab", "", None, f"md5:{'١' * 32}"):
        assert known_digest(other) is None, other


@pytest.mark.parametrize(
    "uri", ["s3://bucket/a.onnx", "/a", "a/b:c", "file:///a", "gs://ä/日本", "x:y", "?a#b", "%41", ""]
)
def test_addresses_in_the_form_of_the_web_are_known(uri: str) -> None:
    assert is_iri_reference(uri)


@pytest.mark.parametrize("uri", ["a b", "s3://a:b/c", "http://[x", "C:\\a", "1:2", "%zz", "a|b", "a#b#c", "<a>", "a\n"])
def test_other_addresses_are_not(uri: str) -> None:
    assert not is_iri_reference(uri)


# Markdown

HEADINGS = {
    "Description", "Intended use", "Limitations", "Ethical considerations", "Training data", "Metrics",
    "Performance by segment", "Worst segments", "Algorithm", "Hyper-parameters", "Features", "Data sets", "Experiment",
    "Lineage", "Artifact", "Operations", "Registration",
}  # fmt: skip
# What begins a block other than a paragraph, or makes one of the line before.
BLOCK = re.compile(r" {0,3}(#|>|<|\||[-+*](\s|$)|\d{1,9}[.)](\s|$)|```|~~~|[-=_*:][-=_*:\s]*$)|    |\t")


def cells(line: str) -> list[str]:
    assert line.startswith("| ") and line.endswith(" |"), line
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line[1:-1])]


def blocks(markdown: str) -> list[list[str]]:
    return [block.split("\n") for block in markdown.removesuffix("\n").split("\n\n")]


def read(markdown: str) -> str:
    """As it is read: without escapes, and with any blanks and line breaks as one blank."""
    text = re.sub(r"<br>|\\\n", " ", markdown)
    return " ".join(html.unescape(re.sub(r"\\([!-/:-@[-`{-~])", r"\1", text)).split())


def as_read(text: str) -> str:
    # Characters that nobody sees are shown as JSON has them.
    shown = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u202e]", lambda c: f"\\u{ord(c[0]):04x}", text)
    return " ".join(shown.split())


def test_every_line_of_a_table_has_as_many_cells() -> None:
    tables = 0
    for card, facts in VERSIONS:
        for block in blocks(card_markdown(card, facts)):
            if block[0].startswith("|"):
                tables += 1
                assert len({len(cells(line)) for line in block}) == 1, block
                assert set(cells(block[1])) == {"---"}
    assert tables > 5_000


def test_no_text_becomes_a_heading_a_list_a_table_or_html() -> None:
    for card, facts in VERSIONS:
        markdown = card_markdown(card, facts)
        assert not re.search(r"<(?!br>)|[^\n\t -~\u00a0-\U0010ffff]|[\u2028\u202e]", markdown)
        (title, *_), *others = blocks(markdown)
        assert title.startswith("# ")
        for block in others:
            if block[0].startswith("## "):
                assert len(block) == 1 and block[0].removeprefix("## ") in HEADINGS
            elif not block[0].startswith(("| ", "> Not ")):
                assert not [line for line in block if BLOCK.match(line)]


def test_every_stated_text_is_in_the_markdown() -> None:
    for card, facts in VERSIONS:
        markdown = card_markdown(card, facts)
        shown = read(markdown)
        assert not [text for text in stated_texts(card, facts) if shown_anywhere(text) and as_read(text) not in shown]
        extra = (card["training_data_summary"] or {}).get("extra") or {}
        for name, value in (*facts["parameters"].items(), *extra.items()):
            assert as_read(name) in shown
            assert as_read(json.dumps(value, ensure_ascii=False)) in shown
        assert not [name for name in (*facts["features"], *facts["metrics"]) if as_read(name) not in shown]


def test_operations_have_their_table() -> None:
    for card, facts in VERSIONS:
        expected = [[as_read(each["name"]), each["environment"]] for each in facts["deployments"]]
        assert [line[:2] for line in rows(card_markdown(card, facts), "Operations")] == expected


def shown_anywhere(text: str) -> bool:
    # The model of a data set is not told, and when a card was never edited was when it was registered.
    return not text.startswith("ds_") and not re.match(r"2026-01-\d\dT", text)


def rows(markdown: str, heading: str) -> list[list[str]]:
    """The table under a heading."""
    found = [block for title, block in zip(blocks(markdown), blocks(markdown)[1:], strict=False)
             if title == [f"## {heading}"]]  # fmt: skip
    return [[read(cell) for cell in cells(line)] for line in found[0][2:]] if found else []


def test_metrics_and_segments_have_their_tables() -> None:
    for card, facts in VERSIONS:
        markdown = card_markdown(card, facts)
        told = {name: float(value) for name, value, _ in rows(markdown, "Metrics")}
        assert told == {as_read(name): value for name, value in facts["metrics"].items()}
        segments = card["performance_by_segment"] or {}
        shown = [tuple(row) for row in rows(markdown, "Performance by segment")]
        numbers = [(as_read(s), as_read(m), value) for s, metrics in segments.items() for m, value in metrics.items()]
        assert sorted((s, m, float(value)) for s, m, value in shown if m) == sorted(numbers)
        assert {s for s, m, _ in shown if not m} == {as_read(s) for s, metrics in segments.items() if not metrics}


def test_the_top_says_what_is_missing() -> None:
    for card, facts in VERSIONS:
        top = read("\n\n".join("\n".join(block) for block in blocks(card_markdown(card, facts))[1:3]))
        lacking = missing(card, facts)
        assert f"Completeness: {13 - len(lacking)} of 13 parts" in top
        assert ("> Not " in top) == bool(lacking)
        for name in lacking:
            assert re.sub("([A-Z])", lambda letter: f" {letter[0].lower()}", name) in top


def test_directions_gaps_and_bad_data_are_told() -> None:
    card, facts = VERSIONS[0]
    use = {"role": "TRAINING", "id": "dsv_a", "dataset": "Clicks", "datasetId": "ds_a", "label": "Q1", "rowCount": 3,
           "uri": None, "digest": None, "status": "INVALID", "statusReason": "Twice | the same"}  # fmt: skip
    facts = facts | {"metrics": {"auc": 0.912, "log_loss": 0.3, "own": 1.0}, "data": [use]}
    card = card | {"performance_by_segment": {"a": {"auc": 0.89, "log_loss": 0.2}, "b": {"auc": 0.95, "log_loss": 0.1}}}
    markdown = card_markdown(card, facts)
    assert rows(markdown, "Metrics") == [
        ["auc", "0.912", "higher is better"], ["log_loss", "0.3", "lower is better"], ["own", "1", "unknown"],
    ]  # fmt: skip
    assert rows(markdown, "Worst segments") == [
        ["auc", "a", "0.89", "0.912", "0.022 worse"], ["log_loss", "a", "0.2", "0.3", "0.1 better"],
    ]  # fmt: skip
    (row,) = rows(markdown, "Data sets")
    assert row == ["TRAINING", "Clicks", "Q1", "dsv_a", "**INVALID**", "Twice | the same", "3", "", ""]


def test_text_stays_text_wherever_it_stands() -> None:
    assert escaped("log_loss of _x_") == "log_loss of \\_x\\_"
    assert escaped("a|b\n# c") == "a\\|b<br>\\# c"
    assert escaped("C:\\(a) <b> & R&D") == "C:&#92;(a) &lt;b&gt; &amp; R&amp;D"
    assert (
        paragraphs("One.\nTwo.\r\n\r\n \n1. Three\n---\n-1 is less")
        == "One.\\\nTwo.\n\n1\\. Three\\\n\\---\\\n-1 is less"
    )
    assert paragraphs("a\r\n\u00a0\r\n\u00a0--\r\nb") == "a\n\n\\--\\\nb"
    # Addresses of the web become links by themselves, and would swallow what is escaped in them.
    assert paragraphs("__www.a.b\nhttp://c") == "\\_\\_www\\.a.b\\\nhttp\\://c"
    assert escaped("gs://a_b/\u202ec\x07") == "gs://a_b/&#92;u202ec&#92;u0007"
    assert table(("a", "b"), [("1", ""), ("x", "y")]) == "| a | b |\n| --- | --- |\n| 1 |  |\n| x | y |"
