"""Tests in a fixed order: no error is spent on a claim until those before it are shown."""

from collections.abc import Sequence


def in_sequence(chains: Sequence[Sequence[float]]) -> list[list[float]]:
    """P-values adjusted for chains of claims, each chain in the order in which it is tested.

    Within a chain a claim counts only if all before it do, and so needs no correction (Maurer, Hothorn &
    Lehmacher 1995; Westfall & Krishen 2001): its adjusted p-value is the largest up to it. Chains share the
    error among them (Bonferroni). The chance of any wrong claim stays below the level at which the adjusted
    values are cut. The order must not come from the same data: here it is sparsity, mildest first.
    """
    adjusted = []
    for chain in chains:
        worst, found = 0.0, []
        for p in chain:
            worst = max(worst, min(1.0, p * len(chains)))
            found.append(worst)
        adjusted.append(found)
    return adjusted
