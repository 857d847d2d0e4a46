"""Labels beside lines and points, pushed apart where they would overlap."""

import math
from collections.abc import Sequence
from typing import Any

from reports.draw.style import INK, SERIES

LABEL = 22
"""Characters of a name that fit beside a line."""


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


def label_ends(axes: Any, labels: Sequence[tuple[float, str, str]], right: float) -> None:
    """Names at the lines' ends, pushed apart where they would overlap; hair lines lead to them."""
    low, high = axes.get_ylim()
    step = (high - low) * 14 / (axes.figure.get_figheight() * 72 - 52)
    heights = spread_apart([value for value, _, _ in labels], low, high, step)
    edge = axes.get_xlim()[1]
    unit = (edge - axes.get_xlim()[0]) / (axes.figure.get_figwidth() * 72 * axes.get_position().width)
    for (value, name, colour), height in zip(labels, heights, strict=True):
        start = right if colour in SERIES else edge
        axes.plot(
            [start, edge + 10 * unit], [value, height], color=colour, linewidth=0.6, alpha=0.7, clip_on=False
        )
        axes.text(edge + 13 * unit, height, name, va="center", fontsize=10.5, color=INK, clip_on=False)


def label_points(axes: Any, points: Sequence[tuple[float, float, str]]) -> None:
    """Names beside points, on the side where there is room, pushed apart where they would overlap."""
    low, high = axes.get_ylim()
    step = (high - low) * 14 / (axes.figure.get_figheight() * 72 * axes.get_position().height)
    heights = spread_apart([y + 0.55 * step for _, y, _ in points], low, high, step)
    ends = [math.log(value) for value in axes.get_xlim()]
    for (x, _, name), height in zip(points, heights, strict=True):
        near_right = (math.log(x) - ends[0]) / (ends[1] - ends[0]) > 0.6
        axes.annotate(
            name, (x, height), xytext=(-9 if near_right else 9, 0), textcoords="offset points",
            ha="right" if near_right else "left", va="center", fontsize=10, color=INK,
        )  # fmt: skip
