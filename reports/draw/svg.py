"""Matplotlib figures as small inline SVG: no global state, the same bytes every time, CSS colours."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from reports.draw.style import INK, MUTED, RULE, VARIABLES, Look

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, crisp, and in the page's own font
    "svg.hashsalt": "prune-audit",
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "text.parse_math": False,  # names may hold dollar signs
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "xtick.major.pad": 6,
    "ytick.major.size": 0,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
}


@contextmanager
def drawing() -> Iterator[None]:
    """The charts' settings, for this block only, quiet about scripts that matplotlib's font lacks."""
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        # The reader's browser draws the text, with its own fonts.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support .* natively")
        yield


def blank(width: int, height: int, left: int = 44, right: int = 12, top: int = 12, bottom: int = 40) -> Any:
    """Axes in a figure of that many pixels, with margins in pixels. Call within :func:`drawing`."""
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    box = (left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height)
    return figure.add_axes(box)


def inline(figure: Any, prefix: str, alt: str) -> Markup:
    """The figure as an ``<svg>`` element for an HTML page; ids start with ``prefix``."""
    buffer = io.StringIO()
    with drawing():
        figure.patch.set_visible(False)
        for axes in figure.axes:
            axes.patch.set_visible(False)
            _plain_ticks(axes)
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*|<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", text, count=1, flags=re.DOTALL)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    text = re.sub(r"<[^>]*>", lambda tag: _tag(tag.group(), prefix, used), text)
    text = re.sub(r">\s*\n\s*<", "><", text)
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    assert size is not None
    opening = (
        f'<svg class="chart" role="img" viewBox="{size.group()[9:-1]}" aria-label="{escape(alt)}" '
        f'style="--width: {float(size.group(1)):.0f}px">'
    )
    return Markup(opening + text[text.index(">") + 1 :].strip())  # noqa: S704 (matplotlib escapes all text)


def _plain_ticks(axes: Any) -> None:
    """Ticks, grid and axis labels as plain texts and lines, in place of matplotlib's own.

    A tick is five artists there, which take most of the time of drawing a chart as simple as ours.
    """
    for axis, width, along_x in ((axes.xaxis, axes.get_xlim(), True), (axes.yaxis, axes.get_ylim(), False)):
        if not axis.get_visible():
            continue
        low, high = min(width), max(width)
        slack = 1e-6 * (high - low)
        places = [float(p) for p in axis.get_majorticklocs() if low - slack <= p <= high + slack]
        formatter = axis.get_major_formatter()
        named = [text for text in zip(places, formatter.format_ticks(places), strict=True) if text[1]]
        params = axis.get_tick_params()
        turned = float(params.get("rotation", 0.0))
        if params.get("gridOn", False):
            draw = axes.vlines if along_x else axes.hlines
            limits = axes.get_ylim() if along_x else axes.get_xlim()
            draw(places, *limits, color=RULE, linewidth=0.6, zorder=0.5)
        for place, text in named:
            axes.annotate(
                text, (place, 0) if along_x else (0, place),
                xycoords=axes.get_xaxis_transform() if along_x else axes.get_yaxis_transform(),
                xytext=(0, -6) if along_x else (-6, 0), textcoords="offset points",
                ha="center" if along_x else "right", va="top" if along_x else "center", color=MUTED,
                annotation_clip=False, rotation=turned,
            )  # fmt: skip
        if axis.get_label_text():
            axes.annotate(
                axis.get_label_text(), (0.5, 0), xycoords="axes fraction", xytext=(0, -22),
                textcoords="offset points", ha="center", va="top", color=MUTED,
            )  # fmt: skip
        axis.set_visible(False)


_SHAPES = {
    "o": '<circle cx="18" cy="6" r="2.7"/>',
    "s": "M15.4 3.4h5.2v5.2h-5.2z",
    "^": "M18 2.8l3 5.7h-6z",
    "v": "M18 9.2l3-5.7h-6z",
    "<": "M14.8 6l5.7-3v6z",
    ">": "M21.2 6l-5.7-3v6z",
    "D": "M18 2.4l3.6 3.6l-3.6 3.6l-3.6-3.6z",
    "d": "M18 2.4l2.3 3.6l-2.3 3.6l-2.3-3.6z",
    "P": "M17 3h2v2h2v2h-2v2h-2v-2h-2v-2h2z",
    "X": "M16 2.9l2 2l2-2l1.1 1.1l-2 2l2 2l-1.1 1.1l-2-2l-2 2l-1.1-1.1l2-2l-2-2z",
    "*": "M18 1.8l1.1 3h3.2l-2.6 2l1 3.1l-2.7-1.9l-2.7 1.9l1-3.1l-2.6-2h3.2z",
}
"""The markers, as the charts draw them, around (18, 6)."""


def swatch(look: Look) -> Markup:
    """A short line in that look, for a legend in the page's own text."""
    colour = f"var({VARIABLES[look.colour]})"
    dashes = f' stroke-dasharray="{" ".join(f"{1.8 * d:g}" for d in look.dashes)}"' if look.dashes else ""
    shape = _SHAPES.get(look.marker, "")
    if shape and not shape.startswith("<"):
        shape = f'<path d="{shape}"/>'
    line = f'<path d="M2 6h32" stroke="{colour}" stroke-width="1.8"{dashes}/>'
    return Markup(  # noqa: S704 (our own words only)
        f'<svg class="chart" aria-hidden="true" viewBox="0 0 36 12" style="--width: 36px" fill="{colour}">'
        f"{line}{shape}</svg>"
    )


def _tag(tag: str, prefix: str, used: set[str]) -> str:
    """One tag made smaller: needless ids out, needed ones prefixed, digits trimmed, colours as variables."""
    tag = re.sub(
        r' id="([^"]*)"', lambda m: f' id="{prefix}-{m.group(1)}"' if m.group(1) in used else "", tag
    )
    tag = re.sub(r'(?:xlink:)?href="#', f'href="#{prefix}-', tag).replace("url(#", f"url(#{prefix}-")
    tag = re.sub(r"-?\d+\.\d{3,}", lambda m: f"{float(m.group()):.2f}".rstrip("0").rstrip("."), tag)
    tag = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", tag)
    for colour, variable in VARIABLES.items():
        tag = tag.replace(colour, f"var({variable})")
    tag = re.sub(r"\s*\n\s*", " ", tag)
    return re.sub(r"\s+(/?>)$", r"\1", tag)
