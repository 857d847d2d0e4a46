"""Accuracy against sparsity for every criterion, with chance and chance matched layer by layer as controls.

    python benchmarks/criteria.py --out docs/criteria.svg

Trains the embedded digits CNN once a seed, prunes it one-shot by each criterion, with one ranking over all
layers and no fine-tuning, and draws what is left of its test accuracy: a line is the mean over seeds, a
whisker their range. Prints the same figures as a table. The same command gives the same file.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attacks.probe import Examples
from audit.plan import Plan, parse
from audit.scores import sample
from audit.subject import data as subject_data
from audit.subject import models, training
from pruning import scoring
from pruning.criteria import criteria
from pruning.modes import one_thread
from pruning.prune import prune
from pruning.recipe import Recipe

SPARSITIES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#b8608f", "#d69300", "#56b4e9", "#7a4b2a", "#5d3a9b", "#1b7837",
    "#c51b7d",
)  # fmt: skip
MARKERS = "os^DvPXd<>ph"
CONTROLS = {"random": "#8a8a8a", "random, matched": "#3a3a3a"}
Figures = dict[str, list[list[float]]]
"""Name → per sparsity the accuracy of each seed."""


def main() -> None:
    """Measure, draw, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("criteria.svg"), help="the SVG (criteria.svg)")
    parser.add_argument("--seeds", type=int, default=5, help="trainings of the network (5)")
    parser.add_argument("--epochs", type=int, default=30, help="epochs of each (30)")
    options = parser.parse_args()
    plan = parse(
        {
            "model": {"build": "audit.zoo:digits_cnn"},
            "data": {"source": "digits", "audit_examples": 897},
            "train": {"epochs": options.epochs, "batch_size": 32, "learning_rate": 2e-3},
        },
        Path("criteria.toml"),
    )
    with one_thread():
        panels, dense = measure(plan, options.seeds)
    draw(panels, dense, options.out)
    for title, figures in panels.items():
        print(title, "".join(f"{f'{s:.0%}':>8}" for s in SPARSITIES), sep="\n" + 18 * " ")
        for name, by_sparsity in figures.items():
            print(f"{name:18}" + "".join(f"{100 * mean(a):8.1f}" for a in by_sparsity))
    print(f"dense {100 * mean(dense):.1f}; {options.seeds} seeds; wrote {options.out}")


def recipes() -> dict[str, dict[str, Recipe]]:
    """Panel → name → recipe: each criterion by one ranking, and its controls."""
    weights = {n: Recipe(criterion=n) for n, c in criteria().items() if not c.units_only}
    units = {n: Recipe(criterion=n, granularity="unit") for n in criteria()}
    for panel, like in ((weights, "magnitude"), (units, "taylor")):
        chance = panel.pop("random")
        panel["random"] = chance
        panel["random, matched"] = Recipe(
            criterion="random", granularity=chance.granularity, like=panel[like]
        )
    return {
        "single weights (matched to magnitude)": weights,
        "filters and neurons (matched to taylor)": units,
    }


def measure(plan: Plan, seeds: int) -> tuple[dict[str, Figures], list[float]]:
    """The accuracies of every panel, and of the dense networks."""
    data = subject_data.load(plan)
    assert data.train is not None
    assert plan.train is not None
    shown, example = sample(plan, data, "cpu"), data.test.x[:1]
    panels: dict[str, Figures] = {
        title: {name: [[] for _ in SPARSITIES] for name in panel} for title, panel in recipes().items()
    }
    dense = []
    for seed in range(seeds):
        model = models.fresh(models.builder(plan, data), seed)
        training.train(model, data.train, plan.train, epochs=plan.train.epochs, seed=seed)
        dense.append(accuracy(model, data.test))
        known: dict[Recipe, scoring.Scores] = {}
        for title, panel in recipes().items():
            for name, recipe in panel.items():
                generator = torch.Generator().manual_seed(seed)
                for basis in scoring.bases(recipe):
                    if basis not in known:
                        known[basis] = scoring.score(
                            model, basis, example_input=example, generator=generator, sample=shown
                        )
                for i, sparsity in enumerate(SPARSITIES):
                    pruned = prune(
                        model, recipe, sparsity, example_input=example, generator=generator, known=known
                    )
                    panels[title][name][i].append(accuracy(pruned.model, data.test))
    return panels, dense


def accuracy(model: torch.nn.Module, examples: Examples) -> float:
    """Share of the examples that the model gets right."""
    with torch.inference_mode():
        return float((model.eval()(examples.x).argmax(1) == examples.y).float().mean())


def mean(values: list[float]) -> float:
    """Their mean."""
    return sum(values) / len(values)


def draw(panels: Mapping[str, Figures], dense: list[float], path: Path) -> None:
    """Two panels side by side, as an SVG that is the same for the same figures."""
    mpl.rcParams.update({"svg.hashsalt": "criteria", "font.size": 9, "svg.fonttype": "none"})
    names = list(dict.fromkeys(name for figures in panels.values() for name in figures))
    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    for axes, (title, figures) in zip(figure.subplots(1, 2, sharey=True), panels.items(), strict=True):
        panel(axes, figures, names, dense)
        axes.set_title(title, fontsize=9.5, loc="left")
    figure.axes[0].set_ylabel("test accuracy, %")
    lines = {line.get_label(): line for axes in figure.axes for line in axes.get_lines()}
    shown = sorted(names, key=lambda name: name in CONTROLS)
    figure.legend([lines[name] for name in shown], shown, loc="outside right center", frameon=False)
    figure.savefig(path, metadata={"Date": None, "Creator": None})


def panel(axes: Axes, figures: Figures, names: list[str], dense: list[float]) -> None:
    """Lines with whiskers, side by side where they meet; the controls dashed in grey; dense as a rule."""
    places = [-torch.tensor(1 - s).log10().item() for s in SPARSITIES]
    axes.axhline(100 * mean(dense), color="#999999", linewidth=0.8, linestyle=(0, (1, 2)), label="dense")
    axes.annotate("dense", (places[-1], 100 * mean(dense) + 1), color="#666666", fontsize=8, ha="right")
    for name, by_sparsity in figures.items():
        place, control = names.index(name), CONTROLS.get(name)
        values = [[100 * value for value in values] for values in by_sparsity]
        middle = [mean(v) for v in values]
        span = [[m - min(v) for m, v in zip(middle, values, strict=True)],
                [max(v) - m for m, v in zip(middle, values, strict=True)]]  # fmt: skip
        beside = [at + 0.008 * (place - len(names) / 2) for at in places]
        colour = control or COLOURS[[n for n in names if n not in CONTROLS].index(name)]
        axes.errorbar(beside, middle, span, fmt="none", ecolor=colour, elinewidth=0.8, alpha=0.5)
        axes.plot(
            beside, middle, color=colour, marker=MARKERS[place], markersize=4, linewidth=1.4,
            linestyle="--" if control else "-", label=name,
        )  # fmt: skip
    axes.set_xticks(places, [f"{s:.0%}" for s in SPARSITIES])
    axes.set_xlabel("sparsity, share of prunable weights gone")
    axes.set_ylim(0, 104)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)


if __name__ == "__main__":
    main()
