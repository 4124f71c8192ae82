import re
from decimal import Decimal
from itertools import pairwise
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.renderings.metric_picture import FEW, WIDTH, Scale, draw
from resolvers.renderings.svg import MARGIN, width_of

SVG = "{http://www.w3.org/2000/svg}"
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def model(*values: float, stages: dict[int, str] = {}, found: int | None = None, name: str = "Churn") -> dict[str, Any]:
    """What the API answers: the highest number first."""
    nodes = [
        {"version": f"1.{place}.0", "stage": stages.get(place, "ARCHIVED"), "metric": value}
        for place, value in enumerate(values)
    ]
    return {"name": name, "versions": {"totalCount": found or len(nodes), "nodes": nodes[::-1]}}


def texts_of(drawn: str) -> list[str]:
    return [each.text or "" for each in fromstring(drawn).iter(f"{SVG}text")]


def dots_of(drawn: str) -> dict[str, Element]:
    """By the version that each stands for."""
    dots = [(each[0].text, each) for each in fromstring(drawn).iter(f"{SVG}circle") if len(each)]
    return {(title or "").partition(":")[0]: dot for title, dot in dots}


def test_versions_stand_in_the_order_of_their_numbers_and_higher_values_higher() -> None:
    dots = dots_of(draw(model(0.8, 0.7, 0.9), "auc"))
    assert list(dots) == ["1.0.0", "1.1.0", "1.2.0"]
    xs, ys = ([float(dot.get(name, "")) for dot in dots.values()] for name in ("cx", "cy"))
    assert xs == sorted(xs)
    assert ys[2] < ys[0] < ys[1]


def test_production_is_marked_and_stages_have_their_colours() -> None:
    drawn = draw(model(0.8, 0.9, 0.85, stages={1: "PRODUCTION", 2: "STAGING"}), "auc")
    colours = {number: dot.get("fill") for number, dot in dots_of(drawn).items()}
    assert colours == {"1.0.0": "#999999", "1.1.0": "#2e8b57", "1.2.0": "#c79a1b"}
    assert texts_of(drawn).count("★ PRODUCTION") == 1
    assert texts_of(drawn)[1:4] == ["staging", "production", "archived"]
    assert "In production: 1.1.0: 0.9." in (fromstring(drawn)[1].text or "")


@pytest.mark.parametrize(
    ("metric", "title"),
    [
        ("auc", "auc of Churn, higher is better"),
        ("val_loss", "val_loss of Churn, lower is better"),
        ("uplift", "uplift of Churn"),
    ],
)
def test_the_title_says_which_way_is_better_where_that_is_known(metric: str, title: str) -> None:
    assert texts_of(draw(model(0.8), metric))[0] == title


def test_without_values_the_picture_says_so() -> None:
    assert texts_of(draw(model(), "auc"))[1:] == ["No version has a value for this metric."]


def test_older_versions_that_are_left_out_are_told_of() -> None:
    drawn = draw(model(*[0.8] * 100, found=130), "auc")
    assert "Truncated: the latest 100 of 130 versions with this metric" in texts_of(drawn)
    assert len(dots_of(drawn)) == 100


def test_numbers_below_the_points_do_not_overlap() -> None:
    for count in (1, 2, FEW, 40, 100):
        drawn = draw(model(*[0.8] * count, stages={count // 2: "PRODUCTION"}), "auc")
        labels = [each for each in fromstring(drawn).iter(f"{SVG}text") if re.fullmatch(r"1\.\d+\.0", each.text or "")]
        assert {f"1.{count // 2}.0", f"1.{count - 1}.0"} & {each.text for each in labels}
        spans = sorted((float(each.get("x", "")), width_of(each.text or "", 11) / 2) for each in labels)
        for (x, half), (other, other_half) in pairwise(spans):
            assert x + half < other - other_half


@given(st.lists(FINITE, min_size=1, max_size=12))
def test_any_finite_values_find_their_places_on_the_page(values: list[float]) -> None:
    drawn = draw(model(*values), "auc")
    for dot in dots_of(drawn).values():
        assert 0 < float(dot.get("cx", "")) < WIDTH
        assert 0 < float(dot.get("cy", "")) < 360
    for each in fromstring(drawn).iter(f"{SVG}text"):
        anchor, x, wide = each.get("text-anchor"), float(each.get("x", "")), width_of(each.text or "", 11)
        assert anchor != "start" or x + wide <= WIDTH + MARGIN
        assert anchor != "end" or x - wide >= -MARGIN


@given(st.lists(FINITE, min_size=1, max_size=12))
def test_ticks_are_few_even_and_told_apart(values: list[float]) -> None:
    scale = Scale.over(list(map(Decimal, values)))
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 9
    assert all(scale.low <= tick <= scale.high for tick in ticks)
    assert len({scale.written(tick) for tick in ticks}) == len(ticks)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ((0.86, 0.91), ["0.86", "0.87", "0.88", "0.89", "0.90", "0.91"]),
        ((0, 100), ["0", "20", "40", "60", "80", "100"]),
        ((-1, 1), ["-1.0", "-0.5", "0", "0.5", "1.0"]),
        ((0.5,), ["0.46", "0.48", "0.50", "0.52", "0.54"]),
        ((0, 0), ["-0.4", "-0.2", "0", "0.2", "0.4"]),
        ((-1.7e308, 1.7e308), ["-1e+308", "0", "1e+308"]),
    ],
)
def test_ticks_are_round_numbers(values: tuple[float, ...], ticks: list[str]) -> None:
    scale = Scale.over(list(map(Decimal, values)))
    assert [scale.written(tick) for tick in scale.ticks()] == ticks


@pytest.mark.parametrize("hostile", ["</svg><script>alert(1)</script>", "a\0b", "x" * 500])
def test_names_stay_text(hostile: str) -> None:
    drawn = draw(model(0.8, name=hostile), hostile)
    assert "<script" not in drawn
    title = next(iter(fromstring(drawn).iter(f"{SVG}text")))
    assert width_of(title.text or "", 18) <= WIDTH
