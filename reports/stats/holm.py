"""Holm's correction for tests made together."""

from collections.abc import Sequence


def holm(p: Sequence[float]) -> list[float]:
    """P-values adjusted for their number, in the given order (Holm, Scand. J. Statistics 6, 1979)."""
    adjusted = [0.0] * len(p)
    largest = 0.0
    for place, i in enumerate(sorted(range(len(p)), key=lambda j: p[j])):
        largest = max(largest, min(1.0, (len(p) - place) * p[i]))
        adjusted[i] = largest
    return adjusted
