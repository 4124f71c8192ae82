from xml.etree.ElementTree import Element, fromstring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.renderings.svg import Key, add, cut, sheet, width_of

ODD = st.text(st.characters(exclude_categories=()), max_size=200)


@given(ODD)
def test_whatever_text_holds_the_picture_is_well_formed_and_has_no_element_of_its_own(text: str) -> None:
    page = sheet(100, 100, text, text, text, [Key(text, lambda root, x, y: None)])
    add(page.root, "text", text, fill=text)
    read = fromstring(page.text())
    assert {each.tag.rpartition("}")[2] for each in read.iter()} == {"svg", "title", "desc", "rect", "text"}


@pytest.mark.parametrize(
    "hostile", ["</svg><script>alert(1)</script>", '" onload="alert(1)', "<!ENTITY", "]]>", "&lt;"]
)
def test_text_stays_text(hostile: str) -> None:
    page = sheet(1_000, 100, hostile, hostile, None, [])
    assert [each.text for each in fromstring(page.text())[:2]] == [hostile, hostile]
    assert "<script" not in page.text()


@given(ODD, st.integers(0, 300))
def test_cut_text_fits_its_room(text: str, room: int) -> None:
    kept = cut(text, room, 13)
    assert kept == text if width_of(text, 13) <= room else kept.endswith("…")
    assert width_of(kept, 13) <= max(room, width_of("…", 13))


def test_what_stands_at_the_end_is_never_cut() -> None:
    assert cut("Demand forecast for all of Europe", 150, 13, " 12.10.3").endswith("… 12.10.3")


def test_a_legend_has_as_many_rows_as_it_needs() -> None:
    drawn: list[tuple[float, float]] = []

    def note(root: Element, x: float, y: float) -> None:
        drawn.append((x, y))

    page = sheet(500, 100, "A title", "A description", None, [Key("a word of the legend", note)] * 7)
    assert len({y for _, y in drawn}) == 4
    assert all(x + 34 + width_of("a word of the legend", 12) <= float(page.root.get("width", "")) for x, _ in drawn)
    assert page.y > max(y for _, y in drawn)
