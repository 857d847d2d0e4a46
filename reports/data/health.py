"""Attack health: whether a robustness figure can be believed, from the flags measured beside it.

A flag is a row of metric :data:`METRIC` with ``at = {"flag": NAME, "norm": NORM, "limit": L}``. It is raised
where its value is above its limit (above zero, where the row has none): the attacks on that variant in that
norm show a known sign of failure, so the model may be less robust than its figure says. A figure whose
attacks no check has looked at is in doubt as well. Page and gate read health here and nowhere else.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from reports.data.results import Results
from reports.language.words import counted, listing, shown

METRIC = "attack_health"
UNION = "union"


@dataclass(frozen=True, slots=True)
class Flag:
    """One check of one model's attacks. ``value`` is NaN where the check could not be made."""

    name: str
    variant: str
    norm: str
    seed: int
    value: float
    limit: float
    n: int | None
    status: str
    note: str
    """What the check found, in one plain sentence."""

    @property
    def raised(self) -> bool:
        """Whether the figure must not be believed as it stands."""
        return self.value > self.limit

    @property
    def failed(self) -> bool:
        """Whether the check should have been made and was not: it crashed, or was refused."""
        return self.status not in ("ok", "not_applicable")

    def covers(self, norm: str) -> bool:
        """Whether this speaks of figures in that norm: its own, the attacker's choice, or any if unnamed."""
        return norm == UNION or self.norm in (norm, "")


@dataclass(frozen=True, slots=True)
class Health:
    """The health of the attacks on one variant in one norm, over all its seeds."""

    raised: tuple[Flag, ...]
    unchecked: str
    """Why it is not known, in words; empty where every seed with a figure was checked."""


def flags(results: Results) -> list[Flag]:
    """Every check of every model, raised or not, in the order of the results."""
    return [flag for flag in _rows(results) if flag.name]


def _rows(results: Results) -> list[Flag]:
    """The same with the rows of units that failed as a whole, which name no flag and no norm."""
    found = []
    for row in results.select(METRIC, measured=False).to_dict("records"):
        at = row["conditions"]
        value = math.nan if row["status"] != "ok" else float(row["value"])
        n = None if row["n"] != row["n"] or row["n"] is None else int(row["n"])
        name, norm, limit = str(at.get("flag", "")), str(at.get("norm", "")), float(at.get("limit", 0.0))
        variant, seed = str(row["variant"]), int(row["seed"])
        found.append(Flag(name, variant, norm, seed, value, limit, n, str(row["status"]), str(row["note"])))
    return found


@lru_cache(maxsize=8)
def healths(results: Results) -> Mapping[tuple[str, str], Health]:
    """The health by (variant, norm) of every robustness figure and of every check, in the order of those.

    Where the attacker may choose the norm (:data:`UNION`), the figure is in doubt if that of any norm is.
    """
    by: dict[str, list[Flag]] = {}
    for flag in _rows(results):
        by.setdefault(flag.variant, []).append(flag)
    figures: dict[tuple[str, str], set[int]] = {}
    for row in results.select("robust_accuracy").to_dict("records"):
        key = (str(row["variant"]), str(row["conditions"].get("norm", "")))
        figures.setdefault(key, set()).add(int(row["seed"]))
    union = any(norm == UNION for _, norm in figures)
    pairs = dict.fromkeys(figures)
    for variant, known in by.items():
        pairs |= dict.fromkeys((variant, flag.norm) for flag in known if flag.norm)
        pairs |= {(variant, UNION): None} if union else {}
    found = {}
    for variant, norm in pairs:
        mine = [flag for flag in by.get(variant, ()) if flag.covers(norm)]
        norms = {n for v, n in figures if v == variant} - {UNION} if norm == UNION else {norm}
        why = (_unchecked(mine, n, figures.get((variant, norm), set())) for n in norms or {norm})
        found[variant, norm] = Health(
            tuple(flag for flag in mine if flag.raised), next(filter(None, why), "")
        )
    return found


def _unchecked(known: Iterable[Flag], norm: str, seeds: Iterable[int]) -> str:
    """Why the health of figures of these seeds is not known; empty if it is."""
    for seed in sorted(seeds):
        mine = [flag for flag in known if flag.seed == seed and flag.covers(norm)]
        failed = next((flag for flag in mine if flag.failed), None)
        if failed is not None:
            return f"could not be measured{f': {shown(failed.note, 120)}' if failed.note else ''}"
        if not any(flag.status == "ok" for flag in mine):
            return "was not measured"
    return ""


def raised(results: Results) -> dict[tuple[str, str], list[Flag]]:
    """The raised flags by (variant, norm), over all seeds; a pair without any is absent."""
    return {pair: list(one.raised) for pair, one in healths(results).items() if one.raised}


def told(results: Results) -> str:
    """The attacks' health in one line: raised, or not known, in how many variants; empty without a figure."""
    of: dict[str, list[Health]] = {}
    for (variant, _), one in healths(results).items():
        of.setdefault(variant, []).append(one)
    if not of:
        return ""
    doubted = sum(any(one.raised for one in found) for found in of.values())
    unknown = sum(any(one.unchecked for one in found) for found in of.values())
    parts = [f"flags raised in {doubted}"] if doubted else []
    parts += [f"not measured in {unknown}"] if unknown else []
    total = counted(len(of), "variant")
    return f"{listing(parts)} of {total}" if parts else f"no flag raised in {total}"


def sentence(raised_flags: Sequence[Flag]) -> str:
    """Why the figures of one variant and norm must not be believed as they stand, in one sentence."""
    seeds: dict[str, set[int]] = {}
    for flag in raised_flags:
        seeds.setdefault(flag.name, set()).add(flag.seed)
    names = listing([title(name) for name in seeds])
    return f"{counted(len(seeds), 'sign')} that the attacks failed rather than the model held: {names}."


TITLES: Mapping[str, str] = {
    "randomised": "random outputs",
    "batch_dependent": "outputs that hang on the batch",
    "softmax_outputs": "probabilities in place of logits",
    "zero_gradients": "zero gradients",
    "saturated_softmax": "saturated softmax",
    "float32_gradients": "gradients lost in float32",
    "noisy_loss": "noisy loss",
    "wrong_gradients": "gradients that hide what the loss does",
    "path_not_end": "success lost on the way",
    "loss_still_falling": "attack stopped too early",
    "inferred_wrongly": "broken where inferred to stand",
    "longer_stronger": "twice the steps stronger",
    "walk_stronger": "plain steps stronger than the attacks",
    "attack_failed": "an attack could not be run",
    "one_step_stronger": "one step stronger than many",
    "black_box_stronger": "black box stronger than white box",
    "transfer_stronger": "transfer stronger than white box",
    "not_monotone": "larger ball, fewer finds",
    "unbounded_survivors": "survivors of an unbounded attack",
    "noise_as_strong": "noise as strong as the attack",
    "uncured": "not measured soundly",
}
"""What each flag is called on the page."""


def title(name: str) -> str:
    """A flag's name in words."""
    return TITLES.get(name) or shown(name.replace("_", " "), 60)
