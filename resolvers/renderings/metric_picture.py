"""The course of a metric over a model's versions as SVG: versions in the order of their numbers, values upwards."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

from resolvers.renderings.colours import STAGES, Look
from resolvers.renderings.svg import GREY, INK, MARGIN, TITLE, Attributes, Key, add, clean, cut, sheet, width_of
from resolvers.rules.metrics import higher_is_better
from storage.vocabulary import Stage

MOST_DRAWN = 100
WIDTH, HEIGHT = 912.0, 360.0
BELOW, ABOVE = 34.0, 26.0  # the space below and above the points
SMALL = 11
# Up to this many points each have their value next to them.
FEW = 12
PALE, LINE = "#e5e7eb", "#94a3b8"


class Point(NamedTuple):
    version: str
    stage: str
    value: Decimal

    @property
    def label(self) -> str:
        return f"{self.version}: {float(self.value):.6g}"


class Scale(NamedTuple):
    """The values between the lower and the upper edge. They are decimals: doubles are too coarse and their range is too
    small."""

    low: Decimal
    high: Decimal
    step: Decimal

    @classmethod
    def over(cls, values: Sequence[Decimal]) -> "Scale":
        low, high = min(values), max(values)
        spread = high - low
        around = spread / 12
        if not spread:
            spread = abs(high) / 5 or Decimal(1)
            around = spread / 2
        # At most six steps, of the spread's order of magnitude or the one below.
        steps = [Decimal(factor).scaleb(spread.adjusted() - 1) for factor in (2, 5, 10, 20)]
        return cls(low - around, high + around, next(step for step in steps if spread / step <= 6))

    def share(self, value: Decimal) -> float:
        return float((value - self.low) / (self.high - self.low))

    def ticks(self) -> list[Decimal]:
        first = (self.low / self.step).to_integral_value(rounding="ROUND_CEILING")
        count = int((self.high / self.step - first).to_integral_value(rounding="ROUND_FLOOR")) + 1
        return [(first + place) * self.step for place in range(count)]

    def written(self, value: Decimal, finer: int = 0) -> str:
        """With the digits that tell a tick from the next, or so many more."""
        last = self.step.adjusted() - finer
        if not value:
            return "0"
        if -6 <= value.adjusted() <= 8 and last >= -18:
            return f"{value:.{max(0, -last)}f}"
        return f"{value:.{min(max(0, value.adjusted() - last), 16)}e}"


def draw(model: Mapping[str, Any], metric: str) -> str:
    """The picture of a model in the API's response: its name, and its versions with the metric, the highest first."""
    points = [Point(v["version"], v["stage"], Decimal(v["metric"])) for v in reversed(model["versions"]["nodes"])]
    better = {True: ", higher is better", False: ", lower is better", None: ""}[higher_is_better(metric)]
    name = cut(clean(metric), 360, TITLE)
    title = f"{name} of {cut(clean(model['name']), 280, TITLE)}{better}"
    total = model["versions"]["totalCount"]
    mark = f"Truncated: the latest {len(points)} of {total} versions with this metric" if total > len(points) else None
    page = sheet(WIDTH, HEIGHT, title, _described(points, mark), mark, _legend(points))
    picture = add(page.root, "g", transform=f"translate({MARGIN} {page.y:.1f})")
    if points:
        _Plot(picture, points).draw()
    else:
        notice = "No version has a value for this metric."
        add(picture, "text", notice, x=WIDTH / 2, y=HEIGHT / 2, font_size=16, fill=GREY, text_anchor="middle")
    return page.text()


def _described(points: Sequence[Point], mark: str | None) -> str:
    if not points:
        return "No version has a value for this metric."
    sentences = [
        f"{len(points)} version{'s' if len(points) > 1 else ''}, from {points[0].label} to {points[-1].label}."
    ]
    sentences += [f"In production: {point.label}." for point in points if point.stage == Stage.PRODUCTION]
    return " ".join([*sentences, f"{mark}."] if mark else sentences)


def _legend(points: Sequence[Point]) -> list[Key]:
    occurring = {point.stage for point in points}
    return [Key(stage.lower(), _sample(look)) for stage, look in STAGES.items() if stage in occurring]


def _sample(look: Look) -> Callable[[Element, float, float], object]:
    def draw_sample(root: Element, x: float, y: float) -> None:
        add(root, "path", d=f"M{x:.1f} {y + 7:.1f}h26", stroke=LINE, stroke_width=1.6)
        _dot(root, x + 13, y + 7, look, 5)

    return draw_sample


def _dot(parent: Element, x: float, y: float, look: Look, radius: float) -> Element:
    return add(parent, "circle", cx=x, cy=y, r=radius, fill=look.stroke, stroke="#ffffff", stroke_width=1.5)


class _Plot:
    """The axes and the points, in an area that leaves room for the labels of the values."""

    def __init__(self, picture: Element, points: Sequence[Point]):
        self.picture, self.points = picture, points
        self.scale = Scale.over([point.value for point in points])
        self.ticks = [(tick, self.scale.written(tick)) for tick in self.scale.ticks()]
        self.left = max((width_of(text, SMALL) for _, text in self.ticks), default=0) + 20
        self.first = self.left + (26 if len(points) <= FEW else 6)
        right = width_of(self.scale.written(points[-1].value, finer=2), SMALL) + 20
        self.wide, self.high = WIDTH - self.first - right, HEIGHT - ABOVE - BELOW
        self.gap = self.wide / max(1, len(points) - 1)

    def x(self, place: int) -> float:
        return self.first + (self.wide / 2 if len(self.points) == 1 else place * self.gap)

    def y(self, value: Decimal) -> float:
        return ABOVE + self.high * (1 - self.scale.share(value))

    def draw(self) -> None:
        for tick, text in self.ticks:
            self._tick(self.y(tick), text)
        places = [(self.x(place), self.y(point.value)) for place, point in enumerate(self.points)]
        for place, point in enumerate(self.points):
            if point.stage == Stage.PRODUCTION:
                self._production_line(places[place][0])
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        add(self.picture, "polyline", points=line, fill="none", stroke=LINE, stroke_width=1.6)
        for (x, y), point in zip(places, self.points, strict=True):
            self._point(x, y, point)
        for place in self._named():
            text = cut(self.points[place].version, 90, SMALL)
            self._text(places[place][0], HEIGHT - BELOW + 22, text, GREY)
        for place in self._valued():
            self._value(places, place)

    def _text(self, x: float, y: float, text: str, colour: str, weight: int = 400, anchor: str = "middle") -> None:
        halo: Attributes = {"paint_order": "stroke", "stroke": "#ffffff", "stroke_width": 3, "stroke_linejoin": "round"}
        look: Attributes = {"font_size": SMALL, "font_weight": weight, "fill": colour, "text_anchor": anchor}
        add(self.picture, "text", text, x=x, y=y, **look, **halo)

    def _tick(self, y: float, text: str) -> None:
        add(self.picture, "path", d=f"M{self.left - 10:.1f} {y:.1f}H{WIDTH:.1f}", stroke=PALE, stroke_width=1)
        self._text(self.left - 16, y + 4, text, GREY, anchor="end")

    def _production_line(self, x: float) -> None:
        colour = STAGES[Stage.PRODUCTION].stroke
        path = f"M{x:.1f} {ABOVE - 6:.1f}V{HEIGHT - BELOW + 8:.1f}"
        add(self.picture, "path", d=path, stroke=colour, stroke_width=1.4, stroke_dasharray="4 4")
        half = width_of("★ PRODUCTION", SMALL) / 2
        self._text(min(max(x, half), WIDTH - half), ABOVE - 12, "★ PRODUCTION", colour, weight=700)

    def _point(self, x: float, y: float, point: Point) -> None:
        radius = 5 if len(self.points) <= 40 else 3.5
        if point.stage == Stage.PRODUCTION:
            radius, ring = 6, STAGES[Stage.PRODUCTION].stroke
            add(self.picture, "circle", cx=x, cy=y, r=10, fill="#ffffff", stroke=ring, stroke_width=2)
        dot = _dot(self.picture, x, y, STAGES[point.stage], radius)
        add(dot, "title", f"{point.version}: {float(point.value)!r}\n{point.stage.lower()}")

    def _named(self) -> list[int]:
        """The points with their version number below them: as many as fit, the last and production first."""
        last = len(self.points) - 1
        first = [place for place, point in enumerate(self.points) if point.stage == Stage.PRODUCTION]
        named: list[int] = []
        for place in [*first, last, *range(0, last, self._every())]:
            room = self._half(place) + 4
            if all(abs(self.x(place) - self.x(other)) >= room + self._half(other) for other in named):
                named.append(place)
        return sorted(named)

    def _half(self, place: int) -> float:
        return width_of(cut(self.points[place].version, 90, SMALL), SMALL) / 2

    def _every(self) -> int:
        widest = max(self._half(place) for place in range(len(self.points))) * 2 + 8
        return max(1, -int(-widest // self.gap))

    def _valued(self) -> list[int]:
        places = range(len(self.points))
        widest = max(width_of(self.scale.written(point.value, finer=2), SMALL) for point in self.points)
        if len(self.points) <= FEW and widest + 8 <= self.gap:
            return list(places)
        return sorted({len(self.points) - 1, *(p for p in places if self.points[p].stage == Stage.PRODUCTION)})

    def _value(self, places: Sequence[tuple[float, float]], place: int) -> None:
        """Write a value to the right of the last point, and otherwise above its point, or below it if the line comes
        from above."""
        (x, y), text = places[place], self.scale.written(self.points[place].value, finer=2)
        if place == len(places) - 1:
            self._text(x + 14, y + 4, text, INK, 600, "start")
            return
        beside = [places[other][1] for other in (place - 1, place + 1) if other >= 0]
        self._text(x, y - 14 if sum(beside) / len(beside) >= y - 0.5 else y + 22, text, INK, 600)
