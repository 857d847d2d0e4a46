"""Attack health: whether a robustness figure can be believed, from the flags measured beside it.

A flag is a row of metric :data:`METRIC` with ``at = {"flag": NAME, "norm": NORM, "limit": L}``. It is raised
where its value is above its limit: the attacks on that variant in that norm show a known sign of failure, so
the model may be less robust than its figure says.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.data.results import Results
from reports.language.words import counted, listing, shown

METRIC = "attack_health"
UNION = "union"
UNCURED = "uncured"
"""The flag of what stays in doubt after all that was done about the others."""


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


def flags(results: Results) -> list[Flag]:
    """Every check of every model, raised or not, in the order of the results."""
    found = []
    for row in results.select(METRIC, measured=False).to_dict("records"):
        at = row["conditions"]
        if "flag" not in at:
            continue  # the visible row of a unit that failed as a whole
        value = math.nan if row["status"] != "ok" else float(row["value"])
        n = None if row["n"] != row["n"] or row["n"] is None else int(row["n"])
        found.append(
            Flag(
                str(at["flag"]), str(row["variant"]), str(at.get("norm", "")), int(row["seed"]), value,
                float(at.get("limit", math.inf)), n, str(row["status"]), str(row["note"]),
            )
        )  # fmt: skip
    return found


def raised(results: Results) -> dict[tuple[str, str], list[Flag]]:
    """The raised flags by (variant, norm), over all seeds; a pair without any is absent.

    Where the attacker may choose the norm (:data:`UNION`), the figure is in doubt if that of any norm is.
    """
    found: dict[tuple[str, str], list[Flag]] = {}
    joined = not results.select("robust_accuracy", {"norm": UNION}).empty
    for flag in flags(results):
        if flag.raised:
            for norm in (flag.norm, UNION) if joined else (flag.norm,):
                found.setdefault((flag.variant, norm), []).append(flag)
    return found


def sentence(raised_flags: Sequence[Flag]) -> str:
    """Why the figures of one variant and norm must not be believed as they stand, in one sentence."""
    seeds: dict[str, set[int]] = {}
    for flag in raised_flags:
        seeds.setdefault(flag.name, set()).add(flag.seed)
    names = listing([title(name) for name in seeds])
    return f"{counted(len(seeds), 'sign')} that the attacks failed rather than the model held: {names}."


TITLES: Mapping[str, str] = {
    "randomised": "random outputs",
    "softmax_outputs": "probabilities in place of logits",
    "zero_gradients": "zero gradients",
    "saturated_softmax": "saturated softmax",
    "float32_gradients": "gradients lost in float32",
    "noisy_loss": "noisy loss",
    "path_not_end": "success lost on the way",
    "loss_still_falling": "attack stopped too early",
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
