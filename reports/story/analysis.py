"""What the page and its sentences share: the representative figures, compared with dense and its control."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from reports.data.aggregate import Figure, figures
from reports.data.key import Collapse, Key, collapsed
from reports.data.results import Results
from reports.families import keys
from reports.gate.doubts import doubts_of
from reports.stats.compare import Comparison, compare_all

KEEPS = 0.02
"""A pruned model *keeps* clean accuracy if its mean is at most this far below dense's."""


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """A run's representative figures, by key and variant."""

    results: Results
    keys: tuple[Key, ...]
    figures: Mapping[str, Mapping[str, Figure]]
    """By metric, then variant."""
    against_dense: Mapping[str, Mapping[str, Comparison]]
    """By metric, then variant; p-values are corrected among the variants of one metric."""
    control: str | None
    against_control: Mapping[str, Mapping[str, Comparison]]
    collapsed: Mapping[str, Collapse]
    telling: str | None
    """The strongest pruning that keeps clean accuracy; if none does, the one that loses least."""

    def value(self, metric: str, variant: str) -> float | None:
        """The mean over seeds of a representative figure."""
        figure = self.figures.get(metric, {}).get(variant)
        return None if figure is None else figure.value

    def keeps(self, variant: str) -> bool:
        """Whether the variant's mean clean accuracy is within :data:`KEEPS` of dense's, uncollapsed."""
        ours, dense = self.value("accuracy", variant), self.value("accuracy", "dense")
        return (
            ours is not None and dense is not None and variant not in self.collapsed and ours >= dense - KEEPS
        )


def doubted(results: Results, key: Key, variant: str) -> bool:
    """Whether a figure may flatter the variant: its attacks show signs of failure, or nobody looked."""
    return key.metric == "robust_accuracy" and bool(doubts_of(results).health(variant, key.at))


def word_on(
    analysis: Analysis, key: Key, one: Comparison, verdict: str, baseline: Results | None = None
) -> str:
    """``verdict``, unless something is wrong with the figures: ``collapsed``, ``in doubt``."""
    before = baseline or analysis.results
    fallen = collapsed(before) if baseline else analysis.collapsed
    if key.family != "accuracy" and (one.variant in analysis.collapsed or one.against in fallen):
        return "collapsed"
    # A figure in doubt is too high: the variant's own can only be worse than it looks.
    own = doubted(analysis.results, key, one.variant) and not verdict.startswith("worse")
    return "in doubt" if own or doubted(before, key, one.against) else verdict


@lru_cache(maxsize=4)
def analyse(results: Results) -> Analysis:
    """Compare every variant with dense, and every pruned one with the fine-tuned control, if there is one."""
    chosen = tuple(keys(results))
    names = [name for name in results.names() if name != "dense"]
    pruned = results.names(pruned=True)
    control = next((name for name in results.names(pruned=False) if name != "dense"), None)
    controlled = {}
    if control is not None:
        controlled = {key.metric: compare_all(results, pruned, key.metric, key.at, control) for key in chosen}
    analysis = Analysis(
        results,
        chosen,
        {key.metric: figures(results, key.metric, key.at) for key in chosen},
        {key.metric: compare_all(results, names, key.metric, key.at) for key in chosen},
        control,
        controlled,
        collapsed(results),
        telling=None,
    )
    return replace(analysis, telling=_telling(analysis, pruned))


def _telling(analysis: Analysis, pruned: list[str]) -> str | None:
    accuracy = {name: v for name in pruned if (v := analysis.value("accuracy", name)) is not None}
    kept = [name for name in accuracy if analysis.keeps(name)]
    if kept:
        return max(kept, key=lambda name: analysis.results.made[name].achieved_sparsity or 0.0)
    return max(accuracy, key=lambda name: accuracy[name]) if accuracy else None
