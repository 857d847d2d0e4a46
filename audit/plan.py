"""The plan: what to audit and how, read from TOML into frozen, validated values."""

import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from attacks.evasion import Epsilon
from attacks.registry import probes
from audit import hugging_face
from audit.errors import PlanError
from pruning import schedule
from pruning.methods import resolve
from pruning.recipe import Recipe

Mistake = Literal[
    "not-finite", "train-mode", "probabilities", "constant", "normalised-twice", "not-normalised",
    "normalised-otherwise", "channels-reversed", "labels-off-by-one", "labels-permuted", "class-order",
    "test-in-train", "chance", "train-not-members", "unexpected-accuracy", "inputs-normalised",
]  # fmt: skip
"""What preflight may find that a plan looks like (:mod:`audit.mistakes`)."""

Split = Literal["train", "test"]
Size = Annotated[int, Field(ge=1)] | tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]


class Section(BaseModel):
    """A table of the plan: frozen; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Normalise(Section):
    """Per-channel input normalisation, (x − mean) / std, inside the audited model."""

    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0)], ...]

    @model_validator(mode="after")
    def _same_length(self) -> "Normalise":
        if len(self.mean) != len(self.std):
            raise ValueError(
                f"mean has {len(self.mean)} values and std has {len(self.std)}: give one a channel"
            )
        return self


class WeightsPlan(Section):
    """A file of weights; a path alone is its ``file``."""

    file: Path
    key: str | None = None
    """Which of the file's entries holds the state dict (``state_dict_ema``); by default the usual one."""
    strip_prefix: str | None = None
    """What the names of the weights begin with (``student.``); others are left out. By default whatever parts
    the file's names from the model's."""

    @model_validator(mode="before")
    @classmethod
    def _path(cls, given: Any) -> Any:
        return {"file": given} if isinstance(given, str | Path) else given


class ModelPlan(Section):
    """The model under audit: what builds it, and the weights it has (absent: trained by [train])."""

    build: str
    weights: WeightsPlan | None = None
    normalise: Normalise | None = None
    expected_accuracy: float | None = Field(default=None, gt=0, le=1, exclude=True)
    """What the weights reach on held-out examples, as their maker says: checked before anything runs."""
    trust: bool = Field(default=False, exclude=True)
    """Whether a program may be loaded, which runs it: of a black box, and of nothing else."""

    @property
    def black_box(self) -> bool:
        """Whether the model is a program in a file, which answers and shows nothing else."""
        return self.build.startswith(("onnx:", "torchscript:", "export:"))

    @property
    def given(self) -> bool:
        """Whether it comes trained, as weights or as a program."""
        return self.weights is not None or self.black_box


class FeaturesPlan(Section):
    """What evasion may do to each feature of a table, or channel of an image."""

    scale: Literal["std"] | Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (1.0,)
    """By what ε counts in each: numbers, or "std", its standard deviation over the training examples (where
    there are none, the test examples)."""
    bounds: tuple[tuple[float, float], ...] = ()
    """Smallest and largest value of each; by default [data] bounds for all."""
    immutable: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Which cannot change, counted from 0."""

    @field_validator("bounds")
    @classmethod
    def _ordered(cls, pairs: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        for low, high in pairs:
            if not low < high:
                raise ValueError(f"the lower bound {low} is not below the upper bound {high}")
        return pairs


class DataPlan(Section):
    """Where the examples come from. ``bounds`` are the inputs' own units; ε is in the same units, or in the
    scales of ``features``."""

    source: str
    root: Path = Path()
    download: bool = False
    bounds: tuple[float, float] = (0.0, 1.0)
    features: FeaturesPlan | None = None
    resize: Size | None = None
    """Of images (from files, ``digits``, ``torchvision:``): the shorter side, or height and width (bilinear).
    Inputs are then the resized ones, and so is ε."""
    crop: Size | None = None
    """The middle of each, after resizing."""
    mode: Literal["L", "RGB"] | None = None
    """Grey or colour; by default as the files are."""
    splits: Mapping[Split, str] = Field(default_factory=dict)
    """What a folder or table calls the two, where it is not train and test."""
    label: str | None = None
    """A table's column."""
    class_order: tuple[str, ...] = ()
    """The classes in the order of the model's outputs, where it is not the data's."""
    read: Mapping[Split, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """At most so many of each are read and held in memory, a fixed random choice; by default all."""
    train_examples: Annotated[int, Field(ge=1)] | None = None
    audit_examples: Annotated[int, Field(ge=1)] = 1000

    @model_validator(mode="before")
    @classmethod
    def _spanned(cls, given: Any) -> Any:
        """Bounds of each feature make those of all, where the plan does not say them."""
        if not isinstance(given, dict) or "bounds" in given or not isinstance(given.get("features"), dict):
            return given
        try:
            values = [float(value) for pair in given["features"].get("bounds", ()) for value in pair]
        except (TypeError, ValueError):
            return given  # the field's own check says what is wrong
        return {**given, "bounds": (min(values), max(values))} if values else given

    @field_validator("bounds")
    @classmethod
    def _ordered(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if not bounds[0] < bounds[1]:
            raise ValueError(f"the lower bound {bounds[0]} is not below the upper bound {bounds[1]}")
        return bounds


class AdversarialPlan(Section):
    """Adversarial training (Madry et al. 2018, arXiv:1706.06083): each batch is replaced by the worst that
    projected gradient descent finds around it, from a random start."""

    norm: Literal["linf", "l2"] = "linf"
    eps: Epsilon
    """Radius in input units."""
    steps: Annotated[int, Field(ge=1)] = 7
    """Of the inner search, each 2.5·ε/steps long."""


class TrainPlan(Section):
    """The recipe that made the model; fine-tuning after pruning repeats it for fewer epochs."""

    epochs: Annotated[int, Field(ge=1)] = 10
    batch_size: Annotated[int, Field(ge=1)] = 128
    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    decay: Literal["none", "step"] = "none"
    """``step``: a tenth of the learning rate after half of the epochs, a hundredth after three quarters."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    adversarial: AdversarialPlan | None = None
    """Trains against an attacker. Absent: on the examples as they are."""
    fit: str | None = None
    """A training of the user's own in place of all that (:mod:`audit.subject.fitting`): FILE.py:FUNCTION."""

    @model_validator(mode="after")
    def _one_of_two(self) -> "TrainPlan":
        ours = set(type(self).model_fields) - {"fit", "epochs"}
        unheard = sorted(k for k in ours if getattr(self, k) != type(self).model_fields[k].default)
        if self.fit is not None and unheard:
            raise ValueError(
                f"fit trains as it says itself, and would not hear of "
                f"{', '.join(unheard)}: remove one of the two"
            )
        return self

    @property
    def passes(self) -> int:
        """Forward and backward passes of one example in an epoch."""
        return 1 + (self.adversarial.steps if self.adversarial is not None else 0)


class PruningPlan(Section):
    """Which methods at which sparsities, replicated over which seeds."""

    methods: Annotated[tuple[str | dict[str, Any], ...], Field(min_length=1)] = (
        "global-magnitude",
        "filter-l2",
    )
    sparsities: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1)] = (
        0.5, 0.75, 0.9, 0.95,
    )  # fmt: skip
    seeds: Seeds = (0, 1, 2)
    finetune_epochs: Annotated[int, Field(ge=0)] | None = None
    """Epochs of fine-tuning after pruning, in each round where there are several; by default a third of
    [train] epochs, at least one."""

    @field_validator("methods")
    @classmethod
    def _known(cls, methods: tuple[str | dict[str, Any], ...]) -> tuple[str | dict[str, Any], ...]:
        names = [resolve(method)[0] for method in methods]
        _no_twice(names, "methods")
        return methods

    @field_validator("sparsities", "seeds")
    @classmethod
    def _once(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        _no_twice(values, "values")
        return values

    @property
    def recipes(self) -> dict[str, Recipe]:
        """Method name → recipe, in the plan's order."""
        return dict(resolve(method) for method in self.methods)


class VariantPlan(Section):
    """A pruned checkpoint of the user's own, audited beside the model."""

    name: Annotated[str, Field(min_length=1)]
    weights: WeightsPlan
    build: str | None = None
    """What builds it, where it is not the audited model's architecture."""

    @field_validator("name")
    @classmethod
    def _free(cls, name: str) -> str:
        if name in ("dense", "dense-finetuned") or "@" in name:
            raise ValueError(f"{name!r} is reserved: choose a name other than dense, without '@'")
        return name


class Plan(Section):
    """The whole plan. ``folder`` is where its relative paths start; ``name`` is for people."""

    model: ModelPlan
    data: DataPlan
    train: TrainPlan | None = None
    pruning: PruningPlan | None = None
    variant: tuple[VariantPlan, ...] = ()
    probes: Mapping[str, Any] = Field(default_factory=dict, validate_default=True)
    accept: tuple[Mistake, ...] = ()
    """What preflight would refuse, and is meant so."""
    default_eps: bool = Field(default=False, exclude=True)
    """Whether the plan names no ε: its data then says which (:mod:`audit.epsilon`)."""
    name: str = Field(default="plan", exclude=True)
    folder: Path = Field(default=Path(), exclude=True)

    @field_validator("probes")
    @classmethod
    def _probe_settings(cls, tables: Mapping[str, Any]) -> dict[str, Any]:
        """Every family that is not skipped, each with its whole settings filled in."""
        known = probes()
        tables = dict(tables)
        skip = tables.pop("skip", [])
        if not isinstance(skip, list) or not all(isinstance(name, str) for name in skip):
            raise ValueError("skip must be a list of probe names")
        for name in [*tables, *skip]:
            if name not in known:
                raise ValueError(f"there is no probe {name!r}; there are: {', '.join(known)}")
        return {
            name: _nested(probe.settings, tables.get(name, {}), ("probes", name)).model_dump(mode="json")
            for name, probe in known.items()
            if name not in skip
        }

    @model_validator(mode="after")
    def _coherent(self) -> "Plan":
        if self.model.weights is not None and self.model.black_box:
            raise ValueError(f"model.weights: {self.model.build} holds its own: remove one of the two")
        if self.train is None and not self.model.given:
            raise ValueError("without [model] weights, a [train] table must say how to train the model")
        if self.train is None and self.control_epochs:
            raise ValueError(
                "fine-tuning after pruning repeats the training recipe: "
                "add a [train] table, or set [pruning] finetune_epochs = 0"
            )
        _no_twice([variant.name for variant in self.variant], "[[variant]] names")
        return self

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the pruned models; of the dense ones too where the plan trains them."""
        if self.pruning is not None:
            return self.pruning.seeds
        return (0,) if self.model.given else (0, 1, 2)

    @property
    def dense_seeds(self) -> tuple[int, ...]:
        """A model that comes with its weights is one model, whatever the seeds."""
        return self.seeds[:1] if self.model.given else self.seeds

    @property
    def finetune_epochs(self) -> int:
        """Epochs of fine-tuning after pruning."""
        if self.pruning is None:
            return 0
        if self.pruning.finetune_epochs is not None:
            return self.pruning.finetune_epochs
        return max(1, self.train.epochs // 3) if self.train is not None else 1

    @property
    def control_epochs(self) -> int:
        """Epochs of ``dense-finetuned``: as many as the method that is fine-tuned longest."""
        recipes = self.pruning.recipes.values() if self.pruning else ()
        usual = self.finetune_epochs
        return max([usual, *(schedule.epochs(recipe, usual) for recipe in recipes)])

    @cached_property
    def settings(self) -> dict[str, BaseModel]:
        """Probe name → its settings, validated."""
        known = probes()
        return {name: known[name].settings.model_validate(table) for name, table in self.probes.items()}

    def path(self, path: Path) -> Path:
        """A path of the plan; relative ones start at the plan's folder."""
        return self.folder / path


def load(path: Path, *, root: Path | None = None, quick: bool = False) -> Plan:
    """Read a plan file.

    ``root`` takes the place of ``[data] root``; ``quick`` shrinks the plan to a smoke run. Raises PlanError
    with the file, the key and the remedy.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PlanError(f"{path}: no such file; `prune-audit init` writes a plan to start from") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"{path}: not valid TOML: {error}") from None
    return parse(table, path, root=root, quick=quick)


def parse(table: dict[str, Any], path: Path, *, root: Path | None = None, quick: bool = False) -> Plan:
    """Validate a plan already read; ``path`` is named in errors and anchors relative paths."""
    for reserved in ("name", "folder", "default_eps"):
        if reserved in table:
            raise PlanError(f"{path}: {reserved}: unknown key; remove it")
    if quick:
        table = _quick(table)
    try:
        plan = Plan.model_validate(
            {
                **_in_std(hugging_face.filled(table, path.resolve().parent)),
                "name": path.stem + ("-quick" if quick else ""),
                "folder": path.resolve().parent,
                "default_eps": "eps" not in _evasion(table),
            }
        )
    except ValidationError as error:
        raise PlanError("\n".join(f"{path}: {line}" for line in explain(error))) from None
    except PlanError as error:
        raise PlanError(f"{path}: {error}") from None
    if root is not None:
        plan = plan.model_copy(update={"data": plan.data.model_copy(update={"root": root.resolve()})})
    return plan


def explain(error: ValidationError) -> list[str]:
    """One line per mistake: the key as it stands in the plan, what is wrong, what to do."""
    lines = []
    mistakes = error.errors()
    for item in mistakes:
        if item["type"] == "too_short" and any(_within(other["loc"], item["loc"]) for other in mistakes):
            continue  # only for want of the items that are wrong themselves
        key = ".".join(str(part) for part in item["loc"]) or "plan"
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "unknown key; remove it or mend its spelling"
        elif item["type"] == "missing":
            message = "is missing; add it"
        elif "input" in item and not isinstance(item["input"], dict | list | tuple):
            message = f"{message} (it is {item['input']!r})"
        lines.append(message if key in ("plan", "probes") and "." in message else f"{key}: {message}")
    return lines


def _evasion(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """The plan's [probes.evasion], as it stands; empty where it is none."""
    probes = table.get("probes", {})
    found = probes.get("evasion", {}) if isinstance(probes, dict) else {}
    return found if isinstance(found, dict) else {}


def _in_std(table: dict[str, Any]) -> dict[str, Any]:
    """``[probes.evasion] eps_unit = "std"`` is short for ``[data.features] scale = "std"``."""
    evasion = dict(_evasion(table))
    if "eps_unit" not in evasion:
        return table
    unit = evasion.pop("eps_unit")
    if unit not in ("std", "input"):
        raise PlanError(f'probes.evasion.eps_unit: must be "input" or "std" (it is {unit!r})')
    data = dict(table.get("data", {}))
    features = dict(data.get("features", {}))
    if unit == "std":
        if features.get("scale", "std") != "std":
            raise PlanError('probes.evasion.eps_unit: "std" and data.features.scale differ: remove one')
        data["features"] = {**features, "scale": "std"}
    return {**table, "data": data, "probes": {**table["probes"], "evasion": evasion}}


def _within(inner: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _nested(model: type[BaseModel], table: Any, where: tuple[str, ...]) -> BaseModel:
    """Validate a table by a model of its own, keeping the whole key in the error."""
    try:
        return model.model_validate(table)
    except ValidationError as error:
        raise ValueError("; ".join(f"{'.'.join(where)}.{line}" for line in explain(error))) from None


def _no_twice(values: Any, what: str) -> None:
    twice = sorted({str(v) for v in values if list(values).count(v) > 1})
    if twice:
        raise ValueError(f"{what} must differ; given twice: {', '.join(twice)}")


def _quick(table: dict[str, Any]) -> dict[str, Any]:
    """A smoke run of the plan: one seed, the outermost sparsities, at most 200 examples, level ``quick``."""
    table = {**table, "data": {**table.get("data", {})}}
    table["data"]["audit_examples"] = min(int(table["data"].get("audit_examples", 1000)), 200)
    if "pruning" in table:
        pruning = dict(table["pruning"])
        defaults = PruningPlan()
        sparsities = sorted(pruning.get("sparsities", defaults.sparsities))
        pruning["sparsities"] = sorted({sparsities[0], sparsities[-1]})
        pruning["seeds"] = list(pruning.get("seeds", defaults.seeds))[:1]
        table["pruning"] = pruning
    tables = table.get("probes", {})
    for probe in ("evasion", "membership", "tampering"):
        if isinstance(tables, dict) and isinstance(settings := tables.get(probe, {}), dict):
            tables = {**tables, probe: {**settings, "level": "quick"}}
            table["probes"] = tables
    return table
