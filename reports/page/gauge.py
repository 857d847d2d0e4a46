"""A judged interval against its limit, as a picture the width of a tile; the text beside it says the same."""

from markupsafe import Markup

from reports.gate.judge import Decision

WIDTH, HEIGHT = 240, 26


def gauge(decision: Decision) -> Markup:
    """An ``<svg>``: what the rule allows as a zone, the interval as a bar, the figure as a dot.

    Empty where the decision has no interval.
    """
    if decision.value is None or decision.low is None or decision.high is None:
        return Markup()
    ends = (decision.low, decision.high, decision.limit)
    pad = 0.16 * (max(ends) - min(ends) or abs(decision.limit) or 1.0)
    start, width = min(ends) - pad, max(ends) - min(ends) + 2 * pad

    def x(value: float) -> float:
        return round(WIDTH * (value - start) / width, 1)

    limit = x(decision.limit)
    left, right = (limit, WIDTH) if decision.rule.kind == "min" else (0, limit)
    low, high, dot = x(decision.low), x(decision.high), x(decision.value)
    anchor, text = ("start", limit + 4) if limit < WIDTH / 2 else ("end", limit - 4)
    return Markup(  # noqa: S704 (numbers and our own words only)
        f'<svg class="gauge {decision.status.replace("_", "-")}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'aria-hidden="true">'
        f'<rect class="zone" x="{left}" y="0" width="{right - left:.1f}" height="{HEIGHT}"/>'
        f'<text x="{text}" y="8" text-anchor="{anchor}">limit</text>'
        f'<line class="bar" x1="{low}" x2="{high}" y1="17" y2="17"/>'
        f'<circle cx="{dot}" cy="17" r="4.5"/>'
        f'<line class="limit" x1="{limit}" x2="{limit}" y1="0" y2="{HEIGHT}"/></svg>'
    )
