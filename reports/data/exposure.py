"""Who is exposed: the per-example evidence of a membership attack, read from the results file."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from reports.data.ledger import unpack
from reports.data.results import Results

Evidence = Mapping[str, NDArray[Any]]
TOP = 0.01
"""The share of members that are called the most exposed."""
_ROUNDING = 1e-9
FEWEST = 10
"""Members, and non-members, of a class below which its AUC is not shown."""


def evidence(results: Results, at: Mapping[str, Any]) -> dict[str, dict[int, Evidence]]:
    """By variant and seed: scores, who is a member, label and index of one attack's examples."""
    found: dict[str, dict[int, Evidence]] = {}
    for row in results.select("membership_auc", at).to_dict("records"):
        kept = unpack(row["outcomes"]) if isinstance(row["outcomes"], bytes) else None
        if kept and {"score", "member"} <= set(kept) and row["variant"] in results.made:
            found.setdefault(str(row["variant"]), {})[int(row["seed"])] = kept
    return found


def roc(seen: Evidence) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False- and true-positive rate at every threshold that lets one more non-member pass, both rising."""
    member = seen["member"].astype(bool)
    inside, outside = np.sort(seen["score"][member]), np.sort(seen["score"][~member])[::-1]
    above = len(inside) - np.searchsorted(inside, outside, side="left")
    return np.arange(1, len(outside) + 1) / len(outside), above / len(inside)


def null_band(members: int, nonmembers: int, ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Between what rates 95% of guessing attackers' lie where the k-th non-member passes, (2, ranks).

    So many members stand above the k-th non-member as are drawn before it from all examples in random order:
    the negative hypergeometric distribution. (Written out: importing scipy.stats takes as long as a third of
    a report.)
    """
    x = np.arange(members + 1)
    whole = _ways(members + nonmembers, members)
    found = []
    for k in ranks.tolist():
        chances = np.exp(_ways(x + k - 1, x) + _ways(members + nonmembers - k - x, members - x) - whole)
        # As much below the quantile's level as sums of rounded numbers may be.
        found.append(np.searchsorted(chances.cumsum(), [0.025 - _ROUNDING, 0.975 - _ROUNDING]) / members)
    return np.asarray(found, dtype=np.float64).T


def _ways(n: Any, k: Any) -> Any:
    """The logarithm of a binomial coefficient."""
    return special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)


def _ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Ranks from 1; equal values share the mean of theirs."""
    return np.asarray(pd.Series(values).rank(), dtype=np.float64)


def order(seen: Evidence) -> NDArray[np.int64]:
    """The members' indices, the most exposed first."""
    member = seen["member"].astype(bool)
    index = seen["index"][member] if "index" in seen else np.arange(int(member.sum()))
    return np.asarray(index[np.argsort(-seen["score"][member], kind="stable")], dtype=np.int64)


def stability(one: Evidence, other: Evidence) -> tuple[float, float, int] | None:
    """Spearman's rank correlation of two models' scores of the same members, the share of the most exposed
    that are the same, and how many those are; None where the members differ or all scores are alike."""
    member = one["member"].astype(bool)
    if not np.array_equal(one["member"], other["member"]) or member.sum() < 3:
        return None
    ours, theirs = one["score"][member], other["score"][member]
    if np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return None
    top = max(1, math.ceil(TOP * int(member.sum())))
    shared = len(set(order(one)[:top].tolist()) & set(order(other)[:top].tolist()))
    return float(np.corrcoef(_ranks(ours), _ranks(theirs))[0, 1]), shared / top, top


def by_class(seen: Evidence, classes: int) -> NDArray[np.float64]:
    """The AUC among the examples of each class, NaN where there are too few, (classes,)."""
    found = np.full(classes, np.nan)
    member = seen["member"].astype(bool)
    for label in range(classes) if "label" in seen else ():
        inside, outside = (
            seen["score"][(member == side) & (seen["label"] == label)] for side in (True, False)
        )
        if min(len(inside), len(outside)) >= FEWEST:
            ranks = _ranks(np.concatenate((inside, outside)))[: len(inside)]
            found[label] = (ranks.mean() - (len(inside) + 1) / 2) / len(outside)
    return found


def precision(tpr: float, fpr: float, prior: float) -> float:
    """The share of accusations that are right where so many of the candidates are members."""
    caught, wronged = prior * tpr, (1 - prior) * fpr
    return caught / (caught + wronged) if caught + wronged else math.nan
