"""The page's tables, as plain values for the template."""

from collections.abc import Callable, Mapping
from typing import Any

from reports.data.aggregate import over_seeds
from reports.data.key import chance, method_title
from reports.data.results import Results
from reports.draw.chart import Cell, Table, name_cell, range_cell, value_cell
from reports.draw.plots import numbers
from reports.language import words
from reports.language.metrics import metric as about_metric
from reports.page.tiles import change_of, retraining_of
from reports.stats.compare import Comparison
from reports.story.analysis import Analysis, word_on

LISTED = 4
"""More models than this are not listed one by one in a cell."""

MOST_ROWS = 2000
"""A measurement table longer than this is left to measurements.csv."""


def comparison_table(analysis: Analysis, against: str = "dense") -> Table | None:
    """Every variant minus its reference in the figures that stand for the run; None if none compares.

    ``against``: dense, or the control that the analysis compared with.
    """
    compared = analysis.against_dense if against == "dense" else analysis.against_control
    caption = f"Difference from {words.shown(against)} on the same examples (95% interval)"
    return differences_table(analysis, compared, caption)


def retraining_table(analysis: Analysis) -> Table | None:
    """The same differences from dense for models that are yet to be trained; None with one seed."""
    if all(c.retraining is None for by in analysis.against_dense.values() for c in by.values()):
        return None
    caption = "Difference from dense to be expected of a retraining (95% interval)"
    return differences_table(analysis, analysis.against_dense, caption, retraining_of)


def differences_table(
    analysis: Analysis,
    compared: Mapping[str, Mapping[str, Comparison]],
    caption: str,
    told: Callable[[str, Comparison | None], tuple[str, str]] = change_of,
    baseline: Results | None = None,
) -> Table | None:
    """One row a variant, one column a figure, from paired differences by metric and variant.

    ``told``: what a cell says of a metric's comparison, and its verdict in words. ``baseline``: the run that
    the references are of, where it is another.
    """
    if not any(compared.values()):
        return None
    heads = ["Variant", "Achieved sparsity", *(key.label[0].upper() + key.label[1:] for key in analysis.keys)]
    rows = []
    for variant in analysis.results.names():
        if not any(variant in by for by in compared.values()):
            continue
        sparsity = analysis.results.made[variant].achieved_sparsity
        told_of = {metric: by.get(variant) for metric, by in compared.items()}
        cells = differences_of(analysis, told_of, told, baseline)
        rows.append((name_cell(variant), Cell(words.percent(sparsity), sparsity), *cells))
    return Table(caption, tuple(heads), tuple(rows))


def differences_of(
    analysis: Analysis,
    compared: Mapping[str, Comparison | None],
    told: Callable[[str, Comparison | None], tuple[str, str]] = change_of,
    baseline: Results | None = None,
) -> list[Cell]:
    """A cell a key figure, from the comparisons of one variant with one reference, by metric."""
    cells = []
    for key in analysis.keys:
        one = compared.get(key.metric)
        text, verdict = told(key.metric, one)
        if one is not None:
            verdict = word_on(analysis, key, one, verdict, baseline)
        value = None if one is None else one.pooled.value
        cells.append(Cell(text.replace(" points", "") or words.DASH, value, verdict))
    return cells


def row_numbers(results: Results) -> dict[str, int]:
    """The number of a variant by what the header of its row may say."""
    found = {method_title(results, name): number for name, number in numbers(results).items()}
    return found | {words.shown(name): number for name, number in numbers(results).items()}


def trouble_table(results: Results) -> Table | None:
    """Figures that failed or were refused, and failed units without even such a row; None if none.

    Models with the same trouble for the same reason share one row.
    """
    bad = results.measurements[results.measurements["status"].isin(["failed", "refused"])]
    told = set(bad["unit"])
    models: dict[tuple[str, str, str], list[str]] = {}
    for unit in results.units.to_dict("records"):
        if unit["status"] == "failed" and unit["id"] not in told:
            models.setdefault(("unit of work", "failed", unit["error"] or ""), []).append(unit["label"])
    for row in bad.to_dict("records"):
        what = ", ".join(
            filter(None, (about_metric(row["metric"]).title, words.conditions(row["conditions"])))
        )
        name = f"{row['variant']}, seed {row['seed']}"
        models.setdefault((what, row["status"], row["note"]), []).append(name)
    rows = tuple(
        (_models_cell(names), Cell(what), Cell(status), Cell(words.shown(why, 600)))
        for (what, status, why), names in models.items()
    )
    return Table("Planned, without a figure", ("Model", "What", "Status", "Why"), rows) if rows else None


def _models_cell(names: list[str]) -> Cell:
    """The models that share a row; of many the first few and their number."""
    told = "; ".join(map(words.shown, names[:LISTED]))
    return Cell(told if len(names) <= LISTED else f"{len(names)} models: {told}; …")


def measurement_table(results: Results, probe: str | None = None) -> Table | None:
    """Every figure of the run (or of a probe), over seeds; None if there are too many for a page, or none."""
    frame = results.measurements
    found = over_seeds(frame if probe is None else frame[frame["probe"] == probe])
    if not found or len(found) > MOST_ROWS:
        return None
    rows = []
    for figure in found:
        seeds = str(figure.rows) if figure.seeds == figure.rows else f"{figure.seeds} of {figure.rows}"
        about = about_metric(figure.metric)
        rows.append(
            (
                name_cell(figure.variant),
                Cell(words.shown(about.title, 80)),
                Cell(words.conditions(figure.at)),
                value_cell(figure),
                range_cell(figure),
                Cell(seeds),
                Cell(words.DASH if figure.n is None else f"{figure.n:,}", figure.n),
                Cell(words.shown(figure.note, 200)),
            )
        )
    spread = "Lowest–highest seed" if results.seeds > 1 else "95% interval"
    heads = (
        "Variant",
        "Figure",
        "Conditions",
        "Mean" if results.seeds > 1 else "Value",
        spread,
        "Seeds",
        "n",
        "Note",
    )
    which = "" if probe is None else f": {words.shown(probe, 60)}"
    return Table(f"Every figure over its seeds{which}", heads, tuple(rows))


def settings_rows(plan: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """The plan flattened: dotted keys, values as a plan would write them."""
    rows: list[tuple[str, str]] = []
    for key, value in plan.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            rows += settings_rows(value, f"{name}.")
        elif value is not None and value != {}:
            rows.append((words.shown(name), words.shown(_plain(value), 600)))
    return rows


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k} = {_plain(v)}" for k, v in value.items()) + "}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def weights_table(results: Results) -> Table:
    """The SHA-256 of every model's weights file, and what is to be known of how it was made."""
    records = results.variants.to_dict("records")
    noted = any(v["note"] for v in records)
    rows = tuple(
        (
            name_cell(v["variant"]),
            Cell(str(v["seed"])),
            Cell(words.shown(v["file"] or words.DASH)),
            Cell(v["digest"] or words.DASH),
            *([Cell(words.shown(v["note"] or words.DASH, 600))] if noted else []),
        )
        for v in records
    )
    heads = ("Variant", "Seed", "File", "SHA-256", *(["How it was made"] if noted else []))
    return Table("Weights", heads, rows)


def subject_line(results: Results) -> str:
    """Model, data, examples and seeds in one line."""
    subject = results.about.get("subject", {})
    parts = [words.shown(subject.get("architecture", "unknown model"), 80)]
    if "data_source" in subject:
        parts.append(words.shown(subject["data_source"], 80))
    if "test_examples" in subject:
        parts.append(words.counted(int(subject["test_examples"]), "test example"))
    if chance(results):
        parts.append(words.counted(len(subject["classes"]), "class", "classes"))
    parts.append(words.counted(len(results.names(pruned=True)), "pruned version"))
    parts.append(words.counted(results.seeds, "seed"))
    return " · ".join(parts)
