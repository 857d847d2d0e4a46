"""The audit from Python: a model and arrays in, a run out, by the same plan and units as the command line."""

import html
import inspect
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from safetensors.torch import save_file
from torch import Tensor, nn

from audit import gating, handed, plan, preflight, runner
from audit.subject import torch_data
from reports.data.results import Results
from reports.exports import exports, parquet
from reports.gate import status
from reports.gate.judge import Verdicts
from reports.gate.policy import find
from reports.story.summary import sentences
from reports.write import Judged, judged, replace

ON_X: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "robustness": ("robust_accuracy", "eps", {"attack": "worst_case"}),
    "accuracy": ("accuracy", None, {}),
    "membership": ("membership_auc", None, {}),
    "extraction": ("extraction_fidelity", "queries", {}),
}
"""Figures by name: metric, the condition it is drawn over (None: sparsity), and which rows."""


@dataclass(frozen=True)
class Run:
    """What an audit found, in a folder that every command of ``prune-audit`` reads too."""

    folder: Path
    policy: str = "standard"

    @cached_property
    def judged(self) -> Judged:
        """Results and verdicts, as page, gate and exports have them."""
        with gating.mistakes():
            return judged(self.folder, find(self.policy))

    @property
    def results(self) -> Results:
        """Everything that was measured."""
        return self.judged.results

    @property
    def verdicts(self) -> Verdicts:
        """Every decision of the policy."""
        return self.judged.verdicts

    @property
    def verdict(self) -> str:
        """The whole run's, in the gate's word; anything but a pass is not a pass."""
        return status.MARKS[self.verdicts.status].word

    @property
    def summary(self) -> list[str]:
        """The report's first sentences."""
        return sentences(self.results, self.verdicts)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a measurement, one column a condition (split, norm, eps, attack, …); NaN where none is."""
        return parquet.table(self.results)

    def figure(self, name: str) -> Any:
        """A matplotlib figure: robustness over ε, accuracy and membership over sparsity, extraction over
        queries; a line a variant (over sparsity: a line a method), means over seeds. Raises ValueError."""
        from matplotlib.figure import Figure

        if name not in ON_X:
            raise ValueError(f"there is no figure {name!r}: choose from {', '.join(ON_X)}")
        metric, over, at = ON_X[name]
        rows = self.table[(self.table["metric"] == metric) & (self.table["status"] == "ok")]
        for key, value in at.items():
            rows = rows[rows[key] == value] if key in rows else rows
        if rows.empty:
            raise ValueError(f"the run has no {metric}: it was not measured, or failed")
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        x = over or "achieved_sparsity"
        extra = [key for key in ("norm", "split", "attack") if key in rows and rows[key].nunique() > 1]
        for names, line in rows.groupby([*(["variant"] if over else []), *extra] or ["metric"], sort=False):
            means = line.groupby(x)["value"].mean()
            axes.plot(means.index, means, marker="o", label=", ".join(map(str, names)))
        axes.set(xlabel={"eps": "ε"}.get(x, x.replace("_", " ")), ylabel=metric.replace("_", " "))
        axes.legend(fontsize="small")
        return figure

    def save(self, path: str | Path) -> Path:
        """Write the run as the file's name says: report.html, .csv, .json, .md, .pdf, .parquet …
        Raises ValueError for an ending that nothing is written as."""
        path = Path(path)
        known = {export.file: export for export in exports().values()}
        by_ending = {Path(file).suffix: export for file, export in reversed(known.items())}
        by_ending |= {".html": exports()["html"], ".json": exports()["json"]}
        export = known.get(path.name) or by_ending.get(path.suffix)
        if export is None:
            raise ValueError(
                f"{path.name}: nothing is written as that: choose from {', '.join(sorted(known))}"
            )
        with gating.mistakes():
            replace(path.resolve(), export.render(self.results, self.verdicts, None))
        return path

    def __str__(self) -> str:
        return "\n".join([f"{self.verdict} by the policy {self.policy}: {self.folder}", *self.summary])

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{html.escape(line)}</li>" for line in self.summary)
        said = f"{html.escape(self.verdict)} by the policy {html.escape(self.policy)}"
        where = html.escape(str(self.folder))
        return f"<p><strong>{said}</strong></p><ul>{lines}</ul><p><code>{where}</code></p>"


def audit(
    model: nn.Module | Callable[[], nn.Module],
    *,
    test: Any,
    train: Any = None,
    weights: Mapping[str, Tensor] | None = None,
    classes: Sequence[str] = (),
    bounds: tuple[float, float] = (0.0, 1.0),
    normalise: tuple[Sequence[float], Sequence[float]] | None = None,
    sparsities: Sequence[float] = (),
    methods: Sequence[str | Mapping[str, Any]] = ("global-magnitude",),
    recipe: Mapping[str, Any] | None = None,
    fit: Callable[..., Any] | None = None,
    seeds: Sequence[int] = (0,),
    probes: Mapping[str, Any] | None = None,
    audit_examples: int = 1000,
    out: str | Path | None = None,
    policy: str = "standard",
    accept: Sequence[str] = (),
    quiet: bool = False,
) -> Run:
    """Audit a model that this program holds, and its pruned versions; in this process.

    ``model``: a trained module; or a function or class that builds it, with its ``weights`` (without: trained
    by ``recipe``, the plan's [train]). ``fit``: a training of your own in place of ours, as a plan's [train]
    fit, which hears of ``epochs`` alone. ``test``, ``train``: (inputs, labels), a Dataset or a DataLoader;
    inputs float in ``bounds`` or uint8, ``train`` the very examples of the training. ``normalise``: mean and
    std. ``probes``: as in a plan. ``out``: the run's folder, by default a new one; given one that holds this
    subject's run, what is done there is not done again. Raises PlanError and RefusedError, as the command
    line says them.
    """
    folder = Path(out) if out is not None else Path(tempfile.mkdtemp(prefix="prune-audit-"))
    console = Console(file=StringIO()) if quiet else Console()
    build = model if not isinstance(model, nn.Module) else lambda: handed.anew(model)
    state = weights
    if state is None and isinstance(model, nn.Module):
        state = model.state_dict()
    named: dict[str, Any] = {}
    for split, found in {"train": train, "test": test}.items():
        if found is not None:
            named[f"x_{split}"], named[f"y_{split}"] = torch_data.arrays(found, split)
    shape = sha256(repr(model).encode()).hexdigest()[:12] if isinstance(model, nn.Module) else _name(model)
    table: dict[str, Any] = {
        "model": {"build": f"audit.handed:model_{shape}"},
        "data": {"source": "audit.handed:data", "bounds": list(bounds), "audit_examples": audit_examples},
        "probes": {name: dict(t) if isinstance(t, Mapping) else t for name, t in (probes or {}).items()},
        "accept": list(accept),
    }
    if classes:
        named["classes"] = list(classes)
    if normalise is not None:
        table["model"]["normalise"] = dict(zip(("mean", "std"), map(list, normalise), strict=True))
    if recipe is not None:
        table["train"] = dict(recipe)
    functions: dict[str, Callable[..., Any]] = {f"model_{shape}": build, "data": lambda: named}
    if fit is not None:
        functions[own := f"fit_{_source(fit)}"] = fit
        table["train"] = {**table.get("train", {}), "fit": f"audit.handed:{own}"}
    if sparsities:
        table["pruning"] = {
            "methods": list(methods), "sparsities": list(sparsities), "seeds": list(seeds),
            **({} if "train" in table else {"finetune_epochs": 0}),
        }  # fmt: skip
    with (
        handed.held(**functions),
        tempfile.TemporaryDirectory() as kept,
    ):
        if state is not None:
            file = Path(kept) / "handed.safetensors"
            save_file(
                {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}, file
            )
            table["model"]["weights"] = str(file)
        subject = preflight.preflight(plan.parse(table, Path.cwd() / f"{folder.name}.toml"))
        seen = preflight.examine(subject)
        for warning in seen.warnings:
            console.print(f"Warning: {warning}", highlight=False, markup=False)
        seen.refuse()
        runner.run(subject, folder, engine="inline", jobs=1, command="audit()", console=console, seen=seen)
    return Run(folder, policy)


def _source(function: Callable[..., Any]) -> str:
    """A name for a function that changes with its source, where that can be read."""
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError):
        text = _name(function)
    return sha256(text.encode()).hexdigest()[:12]


def _name(function: Callable[..., Any]) -> str:
    """A name for what builds a model, the same in another program."""
    return "".join(c if c.isalnum() else "_" for c in getattr(function, "__qualname__", "model"))
