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

from reports.style import INK, MUTED, RULE, VARIABLES, Look

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


def swatch(look: Look, prefix: str) -> Markup:
    """A short line in that look, for a legend in the page's own text."""
    with drawing():
        axes = blank(36, 12, 0, 0, 0, 0)
        axes.set_axis_off()
        axes.set(xlim=(0, 36), ylim=(0, 12))
        axes.plot(
            (2, 18, 34), (6, 6, 6), color=look.colour, dashes=look.dashes or (None, None), marker=look.marker,
            markevery=[1], markeredgewidth=0,
        )  # fmt: skip
    text = str(inline(axes.figure, prefix, "")).replace('role="img"', 'aria-hidden="true"', 1)
    return Markup(text.replace(' aria-label=""', "", 1))  # noqa: S704


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
