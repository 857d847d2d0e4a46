"""The grid: which subjects a scale audits, as plans.

``scales/NAME.toml`` holds what all subjects share ([pruning], [probes]) and a list of subjects, each with the
defences it is tried with and whatever it has otherwise; ``subjects/NAME.toml`` holds a subject's model, data
and training, and under [adversarial] what it is trained against where it is defended.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from audit import plan as plans
from audit.errors import PlanError, RefusedError
from audit.plan import Plan

Defence = Literal["none", "adversarial"]
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Cell:
    """One subject of the grid: a data set, an architecture, a defence; and its plan as a table."""

    name: str
    data: str
    architecture: str
    defence: Defence
    table: Mapping[str, Any]

    def plan(self, root: Path | None) -> Plan:
        """The cell's plan. Raises RefusedError where it needs files and ``root`` is not given."""
        table = dict(self.table)
        data = dict(table["data"])
        if data["source"] != "digits" and root is None:
            raise RefusedError(
                f"{self.data} is not part of this package: say --root, the folder that holds it"
            )
        if self.data == "cifar10" and root is not None and not (root / "cifar10").is_dir():
            data["source"] = "torchvision:CIFAR10"
        return plans.parse({**table, "data": data}, Path(f"{self.name}.toml"), root=root)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of the grid is run, and what is left out of it."""

    name: str
    summary: str
    left_out: tuple[str, ...]
    experiment: Mapping[str, Any]
    """Settings of the paper's own experiment (:class:`audit.reproduce.experiment.Settings`)."""
    cells: tuple[Cell, ...]

    def of(self, data: tuple[str, ...]) -> tuple[Cell, ...]:
        """The cells on those data sets; all where none is named. Raises PlanError."""
        known = tuple(dict.fromkeys(cell.data for cell in self.cells))
        if unknown := [name for name in data if name not in known]:
            raise PlanError(f"--data {unknown[0]}: scale {self.name} has {', '.join(known)}")
        return tuple(cell for cell in self.cells if not data or cell.data in data)


def scales() -> tuple[str, ...]:
    """Their names, from small to large."""
    return ("demo", "standard", "full")


def scale(name: str) -> Scale:
    """Read a scale that ships with the package."""
    table = _read(HERE / "scales" / f"{name}.toml")
    shared = {key: table[key] for key in ("pruning", "probes")}
    cells = []
    for entry in table["subject"]:
        own = {key: value for key, value in entry.items() if key not in ("use", "defences")}
        subject = _read(HERE / "subjects" / f"{entry['use']}.toml")
        named = {key: subject.pop(key) for key in ("data_set", "architecture")}
        against = subject.pop("adversarial")
        for defence in entry["defences"]:
            full = merged(merged(subject, shared), own)
            if defence == "adversarial":
                full = merged(full, {"train": {"adversarial": against}})
            suffix = "" if defence == "none" else f"-{defence}"
            cells.append(Cell(entry["use"] + suffix, named["data_set"], named["architecture"], defence, full))
    return Scale(name, table["summary"], tuple(table["left_out"]), table["experiment"], tuple(cells))


def merged(table: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """The one with the other's values over it, table by table."""
    found = dict(table)
    for key, value in over.items():
        old = found.get(key)
        found[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return found


def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))
