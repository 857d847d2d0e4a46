"""Labels beside lines and points: never on one another, never on another one's marker."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reports.draw.style import INK
from reports.draw.svg import Plot, Point

LABEL = 22
"""Characters of a name that fit beside a line."""
LINE = 14
"""Height of a line of text in pixels."""


@dataclass(frozen=True, slots=True)
class End:
    """A name for the end of a line at ``value``; ``variants`` as in :mod:`reports.draw.svg`."""

    value: float
    name: str
    colour: str
    variants: tuple[int, ...] = ()


def spread_apart(values: Sequence[float], low: float, high: float, step: float) -> list[float]:
    """Heights for labels of these values: at least ``step`` apart, within the axis where that can be."""
    order = sorted(range(len(values)), key=lambda i: (values[i], i))
    heights = [min(max(values[i], low), high) for i in order]
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + step)
    if heights:
        heights[-1] -= max(0.0, heights[-1] - high)
    for i in range(len(heights) - 2, -1, -1):
        heights[i] = min(heights[i], heights[i + 1] - step)
    placed = dict(zip(order, heights, strict=True))
    return [placed[i] for i in range(len(values))]


def label_ends(plot: Plot, ends: Sequence[End], last: float) -> None:
    """Names right of the data area, pushed apart where they would overlap; hair lines lead to them.

    ``last``: the x at which lines with ``variants`` end; other lines run to the edge.
    """
    heights = spread_apart([plot.py(end.value) for end in ends], plot.top, plot.bottom, LINE)
    for end, height in zip(ends, heights, strict=True):
        start = plot.px(last) if end.variants else plot.right
        spots = [(start, plot.py(end.value)), (plot.right + 10, height)]
        plot.path(spots, end.colour, 0.6, opacity=0.7, variants=end.variants)
        plot.text(plot.right + 13, height + 4, end.name, variants=end.variants)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box") -> bool:
        """Whether the two share more than an edge."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


def label_points(plot: Plot, points: Sequence[tuple[Point, str, int]], obstacles: Sequence[Box]) -> list[str]:
    """A name beside each of some points (in pixels, with name and variant); returns those without room.

    A name stands on no obstacle and on no other name; a hair line leads to one that stands further off.
    """
    area = Box(plot.left, plot.top, plot.right, plot.bottom)
    boxes = places([(spot, name) for spot, name, _ in points], obstacles, area)
    for ((x, y), name, variant), box in zip(points, boxes, strict=True):
        if box is None:
            continue
        near = (min(max(x, box.left), box.right), min(max(y, box.top + 3), box.bottom - 3))
        if math.dist(near, (x, y)) > 12:
            plot.path([(x, y), near], INK, 0.5, opacity=0.6, variants=(variant,))
        plot.text((box.left + box.right) / 2, box.bottom - 3.5, name, anchor="middle", variants=(variant,))
    return [name for (_, name, _), box in zip(points, boxes, strict=True) if box is None]


def places(points: Sequence[tuple[Point, str]], obstacles: Sequence[Box], area: Box) -> list[Box | None]:
    """The nearest free place within ``area`` for each name, in turn; None where there is none."""
    taken: list[Box | None] = []
    for (x, y), name in points:
        half, rise = (6.2 * len(name) + 2) / 2, LINE / 2
        blocked = [*obstacles, *(box for box in taken if box is not None)]
        tried = (
            Box(cx - half, cy - rise, cx + half, cy + rise)
            for away in (5, 10, 18, 30, 45, 65)
            for cx, cy in (
                (x + math.cos(turn) * (away + half), y - math.sin(turn) * (away + rise))
                for turn in (math.pi * i / 8 for i in (0, 4, 8, 12, 2, 6, 10, 14, 1, 3, 5, 7, 9, 11, 13, 15))
            )
        )
        taken.append(next((box for box in tried if _free(box, blocked, area)), None))
    return taken


def _free(box: Box, blocked: Sequence[Box], area: Box) -> bool:
    inside = (
        box.left >= area.left
        and box.right <= area.right
        and box.top >= area.top
        and box.bottom <= area.bottom
    )
    return inside and not any(box.meets(other) for other in blocked)
