"""Pictures as small inline SVG: a data area in pixels, text in the page's own font, colours as CSS variables.

Every mark can carry a ``<title>``, which a browser shows as the pointer rests on it, and the numbers of the
variants that it is of (``data-v``), by which the page's script finds it. The same calls give the same bytes.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from itertools import pairwise

from markupsafe import Markup

from reports.draw.style import INK, MUTED, PAPER, RULE, Look
from reports.language.words import clean

Point = tuple[float, float]

SHAPES: dict[str, tuple[Point, ...]] = {
    "s": ((-1, -1), (1, -1), (1, 1), (-1, 1)),
    "^": ((0, -1.2), (1.2, 0.9), (-1.2, 0.9)),
    "v": ((0, 1.2), (1.2, -0.9), (-1.2, -0.9)),
    "<": ((-1.2, 0), (0.9, 1.2), (0.9, -1.2)),
    ">": ((1.2, 0), (-0.9, 1.2), (-0.9, -1.2)),
    "D": ((0, -1.35), (1.35, 0), (0, 1.35), (-1.35, 0)),
    "d": ((0, -1.4), (0.85, 0), (0, 1.4), (-0.85, 0)),
    "P": tuple(
        (x, y)
        for x, y in (
            (-0.4, -1.2), (0.4, -1.2), (0.4, -0.4), (1.2, -0.4), (1.2, 0.4), (0.4, 0.4),
            (0.4, 1.2), (-0.4, 1.2), (-0.4, 0.4), (-1.2, 0.4), (-1.2, -0.4), (-0.4, -0.4),
        )
    ),
    "X": (
        (0, -0.55), (0.75, -1.3), (1.3, -0.75), (0.55, 0), (1.3, 0.75), (0.75, 1.3),
        (0, 0.55), (-0.75, 1.3), (-1.3, 0.75), (-0.55, 0), (-1.3, -0.75), (-0.75, -1.3),
    ),
    "*": tuple(
        (round(r * math.sin(math.pi * i / 5), 2), round(-r * math.cos(math.pi * i / 5), 2))
        for i, r in enumerate((1.8, 0.75) * 5)
    ),
}  # fmt: skip
"""Markers as polygons around (0, 0), in radii; ``o`` is a circle."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of values along one side; ``log``: places follow the logarithm (values above zero)."""

    low: float
    high: float
    log: bool = False

    def share(self, value: float) -> float:
        """Where a value lies, from 0 at ``low`` to 1 at ``high``."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def around(values: Iterable[float], pad: float = 0.06, least: float = 1e-9) -> Axis:
    """An axis that holds all values, with that share of their range to spare on both sides."""
    found = [v for v in values if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(found), max(found)
    room = pad * max(high - low, least, 1e-3 * abs(high))
    return Axis(low - room, high + room)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from ``low`` to ``high``: multiples of 1, 2, 2.5 or 5 times a power of ten."""
    if not high > low:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(s * power for s in (1, 2, 2.5, 5, 10, 20) if (high - low) / (s * power) <= most)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between the two."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [s * 10.0**p for p in powers for s in (1, 2, 5) if low <= s * 10.0**p <= high]


class Plot:
    """A picture of ``width`` × ``height`` pixels with a data area inside; what comes first lies lowest.

    Values are placed by ``x`` and ``y``; margins are in pixels. ``variants`` are numbers of variants.
    """

    def __init__(
        self, width: int, height: int, x: Axis, y: Axis,
        *, left: int = 44, right: int = 12, top: int = 12, bottom: int = 40,
    ) -> None:  # fmt: skip
        self.width, self.height, self.x, self.y = width, height, x, y
        self.left, self.right, self.top, self.bottom = left, width - right, top, height - bottom
        self._parts: list[str] = []

    def px(self, value: float) -> float:
        """Pixels from the left edge."""
        return self.left + (self.right - self.left) * self.x.share(value)

    def py(self, value: float) -> float:
        """Pixels from the upper edge."""
        return self.bottom - (self.bottom - self.top) * self.y.share(value)

    def ticks_x(self, named: Sequence[tuple[float, str]], title: str = "", *, grid: bool = False) -> None:
        """Texts under the data area, and under them what they are of."""
        for value, text in named:
            if grid:
                self.path([(self.px(value), self.top), (self.px(value), self.bottom)], RULE, 0.6)
            self.text(self.px(value), self.bottom + 16, text, anchor="middle", colour=MUTED)
        self.path([(self.left, self.bottom), (self.right, self.bottom)], RULE, 0.8)
        if title:
            self.text((self.left + self.right) / 2, self.bottom + 33, title, anchor="middle", colour=MUTED)

    def ticks_y(self, named: Sequence[tuple[float, str]]) -> None:
        """Texts left of the data area, each with a line across it."""
        for value, text in named:
            self.path([(self.left, self.py(value)), (self.right, self.py(value))], RULE, 0.6)
            self.text(self.left - 6, self.py(value) + 4, text, anchor="end", colour=MUTED)

    def line(
        self, points: Sequence[Point], look: Look, *, width: float = 1.8, opacity: float = 1.0,
        variants: Sequence[int] = (),
    ) -> None:  # fmt: skip
        """A line through values."""
        spots = [(self.px(x), self.py(y)) for x, y in points]
        self.path(spots, look.colour, width, look.dashes, opacity, variants)

    def level(self, value: float, colour: str, *, width: float = 1.1, dashes: Sequence[float] = ()) -> None:
        """A line at one height across the data area."""
        self.path([(self.left, self.py(value)), (self.right, self.py(value))], colour, width, dashes)

    def band(
        self, points: Sequence[tuple[float, float, float]], colour: str, opacity: float,
        variants: Sequence[int] = (),
    ) -> None:  # fmt: skip
        """The area between (x, low, high) and the next."""
        upper = [(self.px(x), self.py(high)) for x, _, high in points]
        lower = [(self.px(x), self.py(low)) for x, low, _ in reversed(points)]
        fill = f'fill="var({colour})" fill-opacity="{opacity:g}"'
        self._add(f'<path d="{_d([*upper, *lower])}z" {fill}{_of(variants)}/>')

    def bar(
        self, x: float, low: float, high: float, colour: str,
        *, width: float = 1.2, opacity: float = 1.0, variants: Sequence[int] = (),
    ) -> None:  # fmt: skip
        """An upright bar from ``low`` to ``high``."""
        spots = [(self.px(x), self.py(low)), (self.px(x), self.py(high))]
        self.path(spots, colour, width, (), opacity, variants)

    def mark(
        self, x: float, y: float, look: Look, said: str = "",
        *, size: float = 2.7, hollow: bool = False, variants: Sequence[int] = (),
    ) -> None:  # fmt: skip
        """A marker of radius ``size`` pixels; ``said``: what the browser shows of it."""
        colour = f"var({look.colour})"
        look_of = f'fill="{colour}"'
        if hollow:
            look_of = f'fill="var({PAPER})" stroke="{colour}" stroke-width="1.3"'
        title = f"<title>{_text(said)}</title>" if said else ""
        shape = _shape(look.marker or "o", self.px(x), self.py(y), size)
        self._add(f'<path d="{shape}" {look_of}{_of(variants)}>{title}</path>')

    def ring(self, x: float, y: float) -> None:
        """A ring around a point: its figure is in doubt."""
        self._add(
            f'<path d="{_shape("o", self.px(x), self.py(y), 5.5)}" fill="none" stroke="var({INK})" '
            'stroke-width="1.1"/>'
        )

    def path(
        self, spots: Sequence[Point], colour: str, width: float, dashes: Sequence[float] = (),
        opacity: float = 1.0, variants: Sequence[int] = (),
    ) -> None:  # fmt: skip
        """A line through pixels; dashes in multiples of its width."""
        dashed = f' stroke-dasharray="{" ".join(_n(width * d) for d in dashes)}"' if dashes else ""
        faint = f' stroke-opacity="{opacity:g}"' if opacity < 1 else ""
        self._add(
            f'<path d="{_d(spots)}" fill="none" stroke="var({colour})" stroke-width="{_n(width)}"'
            f"{dashed}{faint}{_of(variants)}/>"
        )

    def box(self, left: float, top: float, width: float, height: float, colour: str, opacity: float) -> None:
        """A filled rectangle in pixels."""
        self._add(
            f'<path d="M{_n(left)} {_n(top)}h{_n(width)}v{_n(height)}h{_n(-width)}z" fill="var({colour})" '
            f'fill-opacity="{opacity:.2f}"/>'
        )

    def text(
        self, x: float, y: float, text: str,
        *, anchor: str = "start", colour: str = INK, turned: bool = False, variants: Sequence[int] = (),
    ) -> None:  # fmt: skip
        """Text with its base line at a pixel; ``turned``: reading upwards."""
        where = f' text-anchor="{anchor}"' if anchor != "start" else ""
        turn = f' transform="rotate(-90 {_n(x)} {_n(y)})"' if turned else ""
        fill = "" if colour == INK else f' fill="var({colour})"'
        self._add(f'<text x="{_n(x)}" y="{_n(y)}"{where}{turn}{fill}{_of(variants)}>{_text(text)}</text>')

    def svg(self, alt: str) -> Markup:
        """The picture as an ``<svg>`` element for an HTML page; ``alt``: in words what it shows."""
        return Markup(  # noqa: S704 (all text is escaped above)
            f'<svg class="chart" role="img" viewBox="0 0 {self.width} {self.height}" '
            f'aria-label="{_text(alt)}" style="--width: {self.width}px">{"".join(self._parts)}</svg>'
        )

    def _add(self, part: str) -> None:
        self._parts.append(part)


def swatch(look: Look) -> Markup:
    """A short line in that look, for a legend in the page's own text."""
    colour = f"var({look.colour})"
    dashes = f' stroke-dasharray="{" ".join(_n(1.8 * d) for d in look.dashes)}"' if look.dashes else ""
    mark = f'<path d="{_shape(look.marker, 18, 6, 2.7)}" fill="{colour}"/>' if look.marker else ""
    return Markup(  # noqa: S704 (our own words only)
        f'<svg class="chart" aria-hidden="true" viewBox="0 0 36 12" style="--width: 36px">'
        f'<path d="M2 6h32" stroke="{colour}" stroke-width="1.8"{dashes}/>{mark}</svg>'
    )


def _shape(marker: str, x: float, y: float, size: float) -> str:
    if marker not in SHAPES:
        return f"M{_n(x - size)} {_n(y)}" + "".join(
            f"a{_n(size)} {_n(size)} 0 1 0 {_n(way * 2 * size)} 0" for way in (1, -1)
        )
    (dx, dy), *_ = SHAPES[marker]
    return f"M{_n(x + size * dx)} {_n(y + size * dy)}{_outline(marker, size)}"


@cache
def _outline(marker: str, size: float) -> str:
    """From a marker's first corner around to it, in steps."""
    corners = SHAPES[marker]
    steps = ((size * (b[0] - a[0]), size * (b[1] - a[1])) for a, b in pairwise(corners))
    return "l" + " ".join(f"{_n(dx)} {_n(dy)}" for dx, dy in steps).replace(" -", "-") + "z"


def _d(spots: Sequence[Point]) -> str:
    return "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in spots)


def _of(variants: Sequence[int]) -> str:
    return f' data-v="{" ".join(map(str, variants))}"' if variants else ""


def _text(text: str) -> str:
    return escape(clean(text))


def _n(value: float) -> str:
    """A length in pixels to a tenth, without needless digits."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text
