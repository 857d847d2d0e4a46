"""Colours, dashes and markers of the charts. Every colour is also a CSS variable of the page."""

from dataclasses import dataclass

SERIES = ("#0072b2", "#d55e00", "#008f68", "#b8608f", "#a87400", "#2b86b8", "#857600", "#6b6b6b")
"""Okabe & Ito's hues for methods, darkened where they would have less than 3:1 against white."""
STEPS = ("#2b8cbe", "#3f74c0", "#6058b8", "#8a4aa8", "#b03a86", "#c43258", "#c2441c", "#8f3a0a")
"""Ordered from mild (cool) to strong (warm) pruning."""
INK, MUTED, RULE, PAPER = "#1b1f24", "#57606b", "#d8dde3", "#fefefe"

VARIABLES: dict[str, str] = {
    **{colour: f"--series-{i}" for i, colour in enumerate(SERIES, 1)},
    **{colour: f"--step-{i}" for i, colour in enumerate(STEPS, 1)},
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    PAPER: "--paper",
}
"""Colour in a figure → variable on the page, where the dark scheme gives it another value."""

_DASHES = ((), (5, 2), (1.5, 1.5), (6, 2, 1.5, 2), (8, 2.5), (3, 1.5), (6, 1.5, 1.5, 1.5, 1.5, 1.5))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")


@dataclass(frozen=True, slots=True)
class Look:
    """How one series is drawn; no two of the first 56 look the same, even without colour."""

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
