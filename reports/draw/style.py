"""Colours, dashes and markers of the charts. A colour is the name of a CSS variable of the page."""

from dataclasses import dataclass

SERIES = tuple(f"--series-{i}" for i in range(1, 9))
"""Okabe & Ito's hues for methods, darkened where they would have less than 3:1 against white."""
STEPS = tuple(f"--step-{i}" for i in range(1, 9))
"""Ordered from mild (cool) to strong (warm) pruning."""
INK, MUTED, RULE, PAPER = "--ink", "--muted", "--rule", "--paper"

_DASHES = ((), (5, 2), (1.5, 1.5), (6, 2, 1.5, 2), (8, 2.5), (3, 1.5), (6, 1.5, 1.5, 1.5, 1.5, 1.5))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")


@dataclass(frozen=True, slots=True)
class Look:
    """How one series is drawn; no two of the first 56 look the same, even without colour.

    ``marker``: a name of :data:`reports.draw.svg.SHAPES`, or empty for none.
    """

    colour: str
    dashes: tuple[float, ...]
    marker: str


def series(place: int) -> Look:
    """The look of the n-th method."""
    return Look(SERIES[place % len(SERIES)], _DASHES[place % len(_DASHES)], _MARKERS[place % len(_MARKERS)])


def step(place: int, of: int) -> Look:
    """The look of the n-th of several ordered strengths."""
    spread = round(place * (len(STEPS) - 1) / max(1, of - 1)) if of > 1 else 0
    return Look(
        STEPS[min(spread, len(STEPS) - 1)], _DASHES[place % len(_DASHES)], _MARKERS[place % len(_MARKERS)]
    )
