"""The policy: what a run must show before a model ships, read from TOML into frozen, validated values."""

import hashlib
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from reports.language.metrics import metric as about_metric
from reports.language.words import shown

Severity = Literal["low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low")
Kind = Literal["min", "max", "max_drop", "max_rise"]
KINDS: tuple[Kind, ...] = ("min", "max", "max_drop", "max_rise")
FOLDER = Path(__file__).parent / "policies"
DEFAULT = "standard"
"""The preset that judges where no policy is given."""

SMALLEST = "smallest"
"""In place of an ε: the smallest above 0 that was measured in each norm."""

Name = Annotated[str, Field(min_length=1, max_length=200)]
Seed = Annotated[int, Field(strict=True, ge=0)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class PolicyError(Exception):
    """The policy file cannot be used; the message names the file, the key and the remedy."""


class _Section(BaseModel):
    """A table of the policy: frozen; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Rule(_Section):
    """One requirement: a metric, under conditions, against one limit.

    Exactly one of ``min``, ``max`` (the figure itself), ``max_drop`` and ``max_rise`` (its change against
    ``against``, on the same examples) is given; drop and rise are non-inferiority margins.
    """

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,79}$")]
    metric: Name
    at: Mapping[str, str | int | float] = Field(default_factory=dict)
    """Conditions that a row must have; it may have more. Of all rows that match, the worst decides."""
    min: Number | None = None
    max: Number | None = None
    max_drop: Annotated[Number, Field(ge=0)] | None = None
    max_rise: Annotated[Number, Field(ge=0)] | None = None
    against: Literal["dense", "baseline"] | None = None
    of: Literal["clean"] | None = None
    """The figure is a share of the model's own clean accuracy, on the same examples."""
    variants: Annotated[tuple[Name, ...], Field(min_length=1)] = ("*",)
    """Names or shell patterns; a control is judged only where it is named in full."""
    min_n: Annotated[int, Field(strict=True, ge=1)] | None = None
    min_seeds: Annotated[int, Field(strict=True, ge=1)] | None = None
    seed: Seed | None = None
    """The training seed whose model ships; without one, the worst seed decides."""
    unchecked: Literal["doubt", "allow"] = "doubt"
    """Whether robust accuracy may pass although the health of its attacks was not measured."""
    severity: Severity = "medium"
    description: Annotated[str, Field(max_length=2000)] = ""

    @field_validator("at", mode="before")
    @classmethod
    def _conditions(cls, at: Any) -> Any:
        """Numbers and text only; ε may be written as a fraction, as in a plan."""
        if not isinstance(at, Mapping):
            raise ValueError("must be a table of conditions, such as { attack = 'worst_case' }")
        found = dict(at)
        for key, value in found.items():
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise ValueError(f"{key} must be a number or text, not {value!r}")
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{key} must be finite, not {value!r}")
        if isinstance(found.get("eps"), str) and found["eps"] != SMALLEST:
            try:
                found["eps"] = float(Fraction(found["eps"]))
            except (ValueError, ZeroDivisionError):
                raise ValueError(
                    f"eps must be a number, a fraction such as '8/255' or 'smallest', not {at['eps']!r}"
                ) from None
        return found

    @model_validator(mode="after")
    def _one_limit(self) -> "Rule":
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(KINDS)}; given: {', '.join(given) or 'none'}")
        if self.against is not None and not self.compares:
            raise ValueError(f"against goes with max_drop or max_rise, not with {self.kind}")
        if self.seed is not None and (self.min_seeds or 1) > 1:
            raise ValueError(f"seed names the one model that ships, and min_seeds asks for {self.min_seeds}")
        if self.of is not None and (self.metric, self.kind) != ("robust_accuracy", "min"):
            raise ValueError("of = 'clean' goes with a min on robust_accuracy only")
        about = about_metric(self.metric)
        right = {"lower": ("min", "max_drop"), "higher": ("max", "max_rise")}.get(about.worse, KINDS)
        if self.kind not in right:
            raise ValueError(
                f"{self.kind} never stops a bad {self.metric}, where {about.worse} is worse; "
                f"use {' or '.join(right)}"
            )
        if about.unit in ("share", "auc") and not 0 <= self.limit <= 1:
            raise ValueError(f"{self.kind} of a share lies between 0 and 1 (0.4 is 40%), not {self.limit:g}")
        return self

    @property
    def kind(self) -> Kind:
        """Which of the four limits this rule has."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def limit(self) -> float:
        """The limit itself."""
        return float(getattr(self, self.kind))

    @property
    def compares(self) -> bool:
        """Whether a change is judged, not the figure itself."""
        return self.kind in ("max_drop", "max_rise")

    @property
    def reference(self) -> Literal["dense", "baseline"]:
        """What a change is measured against."""
        return self.against or "dense"


class Waiver(_Section):
    """Lets one rule stand unmet for the variants that match, up to and including the day it expires.

    That day lies a year after the day of judgement at most; what was not run is waived only by full name.
    """

    rule: Name
    variant: Name
    expires: date
    reason: Annotated[str, Field(min_length=1, max_length=2000)]


class _File(_Section):
    seed: Seed | None = None
    rule: Annotated[tuple[Rule, ...], Field(min_length=1)]
    waiver: tuple[Waiver, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _seed_for_all(cls, table: Any) -> Any:
        """The policy's seed is that of every rule that names none."""
        if not isinstance(table, Mapping) or "seed" not in table or not isinstance(table.get("rule"), list):
            return table
        rules = [{"seed": table["seed"], **r} if isinstance(r, Mapping) else r for r in table["rule"]]
        return {**table, "rule": rules}

    @model_validator(mode="after")
    def _ids_differ(self) -> "_File":
        ids = [rule.id for rule in self.rule]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"rule ids must differ; given twice: {', '.join(twice)}")
        return self


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules and waivers, and where they come from."""

    rules: tuple[Rule, ...]
    waivers: tuple[Waiver, ...] = ()
    name: str = "policy"
    file: str = "policy.toml"
    """The file, relative to the folder it was read from, with forward slashes; never an absolute path."""
    digest: str = ""
    """SHA-256 of the file."""
    lines: Mapping[str, int] = field(default_factory=dict)
    """Where each rule begins in the file, by id, counted from 1."""

    @property
    def is_preset(self) -> bool:
        """Whether it is one of the program's own, whatever its name."""
        return self.digest in {preset(name).digest for name in presets()}


def presets() -> dict[str, Path]:
    """The policies that come with the program, by name, from lenient to strict."""
    return {name: FOLDER / f"{name}.toml" for name in ("lenient", "standard", "strict")}


def preset(name: str) -> Policy:
    """A policy that comes with the program. Raises PolicyError if there is none of that name."""
    known = presets()
    if name not in known:
        raise PolicyError(f"there is no preset {name!r}; there are: {', '.join(known)}")
    return parse(known[name].read_text(encoding="utf-8"), f"prune-audit/policies/{name}.toml")


def find(name: str | Path) -> Policy:
    """A preset by its name, or else a file. Raises PolicyError."""
    return preset(str(name)) if str(name) in presets() else load(Path(name))


def load(path: Path) -> Policy:
    """Read a policy file. Raises PolicyError with the file, the key and the remedy."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        known = ", ".join(presets())
        raise PolicyError(f"{path}: no such file, and no preset either (there are: {known})") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path}: cannot be read: {error}") from None
    return replace(parse(text, path.as_posix()), file=_named(path))


def _named(path: Path) -> str:
    """A path as exports may show it: relative, or its last part where it lies elsewhere on this machine."""
    if not path.is_absolute():
        return path.as_posix()
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.name


def parse(text: str, file: str = "policy.toml") -> Policy:
    """Validate a policy's text; ``file`` is named in errors. Raises PolicyError."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{file}: not valid TOML: {error}") from None
    try:
        found = _File.model_validate(table)
    except ValidationError as error:
        raise PolicyError("\n".join(f"{file}: {line}" for line in _explain(error, table))) from None
    name = file.rpartition("/")[2].removesuffix(".toml") or "policy"
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Policy(found.rule, found.waiver, name, file, digest, _lines(text, found.rule))


def _explain(error: ValidationError, table: Mapping[str, Any]) -> list[str]:
    """One line per mistake: which rule or waiver, which key, what is wrong, what to do."""
    lines = []
    found = error.errors()
    # Where no entry is valid, the list that is left of them is "too short" beside: no mistake of its own.
    entries = {item["loc"][0] for item in found if len(item["loc"]) > 1}
    for item in found:
        if item["type"] == "too_short" and len(item["loc"]) == 1 and item["loc"][0] in entries:
            continue
        where = [shown(part, 80) for part in item["loc"]]
        if len(where) > 1 and where[0] in ("rule", "waiver"):
            number = int(where[1])
            entry = table[where[0]][number]
            name = entry.get("id" if where[0] == "rule" else "rule") if isinstance(entry, Mapping) else None
            label = f"{where[0]} {number + 1}" + (f" ({shown(name, 80)})" if isinstance(name, str) else "")
            where = [label, *where[2:3]]
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "unknown key; remove it or mend its spelling"
        elif item["type"] == "missing":
            message = "is missing; add it"
        elif item["loc"] in (("rule",), ("waiver",)):
            message = f"give one table [[{where[0]}]] for each, and one rule at least"
        elif "input" in item and not isinstance(item["input"], dict | list | tuple):
            message = f"{message} (it is {item['input']!r})"
        lines.append(": ".join([*where, shown(message, 400)]))
    return lines


_HEADER = re.compile(r"^\s*\[\[\s*rule\s*\]\]")


def _lines(text: str, rules: tuple[Rule, ...]) -> dict[str, int]:
    """Where each ``[[rule]]`` stands; 1 where the file is written in a way that does not tell."""
    found = [number for number, line in enumerate(text.splitlines(), 1) if _HEADER.match(line)]
    if len(found) != len(rules):
        found = [1] * len(rules)
    return {rule.id: line for rule, line in zip(rules, found, strict=True)}
