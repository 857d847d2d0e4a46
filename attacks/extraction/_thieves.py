"""The attackers of one victim: what each is given, how it is run, and the rows that come of it."""

from dataclasses import replace

import torch
from torch import Tensor

from attacks._sampling import fixed_sample
from attacks._techniques import techniques
from attacks.extraction._attack import ExtractionAttack, Theft
from attacks.extraction._baseline import same_data
from attacks.extraction._gate import Gate, probabilities
from attacks.extraction._judge import ADVERSARIAL, PER_BUDGET, Agreement, At, Judge
from attacks.extraction._settings import PACKAGE, Settings
from attacks.extraction._surrogates import maker
from attacks.probe import Examples, Measurement, Status, Target

STRIDE = 1_000_003
"""Between the seeds of replicates."""


def rows(target: Target, pool: Examples, settings: Settings, seed: int) -> list[Measurement]:
    """The rows of all baselines, attacks and budgets."""
    thieves = _Thieves(target, pool, settings, seed)
    found = thieves.baselines()
    known = techniques(PACKAGE, ExtractionAttack)
    for name in settings.attacks:
        found += thieves.attacked(name, known[name], settings)
    for change in settings.also:
        first = settings.attacks[0]
        found += thieves.attacked(f"{first}+{change}", known[first], settings.changed(change))
    return found


class _Thieves:
    """As many attackers as there are replicates, on one victim."""

    def __init__(self, target: Target, pool: Examples, settings: Settings, seed: int) -> None:
        self._target, self._settings = target, settings
        self._judge = Judge(target, settings)
        self._soft = probabilities(self._judge.logits)
        self._seeds = [(seed + STRIDE * r) % 2**31 for r in range(settings.replicates)]
        whole = fixed_sample(pool, len(pool))
        self._pools = [whole if r == 0 else whole[_order(len(pool), r)] for r in range(settings.replicates)]
        self._budgets = tuple(sorted(settings.queries))
        self._own: dict[int, Agreement] = {}

    def baselines(self) -> list[Measurement]:
        """``untrained``, and ``same_data`` beside each budget that the pool can pay for."""
        make = [maker(self._target, self._settings.surrogate, seed) for seed in self._seeds]
        found, _ = self._judge.rows([one().eval() for one in make], {"attack": "untrained", "queries": 0})
        budgets = tuple(b for b in self._budgets if b <= len(self._pools[0]))
        if not budgets:
            return found
        plain = self._settings.model_copy(update={"sends": "pool"})
        copies = [
            same_data(self._theft(r, plain, budgets), self._pools[r].y, plain, self._target.test)
            for r in range(len(self._seeds))
        ]
        for i, budget in enumerate(budgets):
            at: At = {"attack": "same_data", "queries": 0, "labelled": budget}
            mine, self._own[budget] = self._judge.rows([each[i] for each in copies], at)
            found += mine
        return found

    def attacked(self, name: str, attack: ExtractionAttack, settings: Settings) -> list[Measurement]:
        """The rows of one attack at every budget."""
        limit = len(self._pools[0]) if attack.sends == "pool" and settings.sends == "pool" else None
        budgets = tuple(b for b in self._budgets if limit is None or b <= limit)
        found: list[Measurement] = []
        if budgets:
            try:
                found = self._rows(name, attack, settings, budgets)
            except Exception as error:  # an attack is foreign code: what it raises becomes visible rows
                reason = f"{type(error).__name__}: {str(error).strip() or 'no message'}"
                for budget in budgets:
                    found += self._without({"attack": name, "queries": budget}, "failed", reason)
        for budget in (b for b in self._budgets if b not in budgets):
            note = f"{budget} queries need as many examples in the attacker's pool; it holds {limit}"
            found += self._without({"attack": name, "queries": budget}, "refused", note)
        return found

    def _rows(
        self, name: str, attack: ExtractionAttack, settings: Settings, budgets: tuple[int, ...]
    ) -> list[Measurement]:
        gates = [Gate(self._target, settings, soft=self._soft) for _ in self._seeds]
        thefts = [self._theft(r, settings, budgets, gate) for r, gate in enumerate(gates)]
        runs = [attack.run(theft, settings) for theft in thefts]
        found: list[Measurement] = []
        agreed: dict[int, Agreement] = {}
        for budget in budgets:
            for gate in gates:
                gate.open(budget)
            copies = [next(run).eval() for run in runs]
            at: dict[str, str | int | float] = {"attack": name, "queries": budget}
            mine, agreed[budget] = self._judge.rows(copies, at)
            if budget in self._own:
                mine.append(self._judge.gain(agreed[budget], self._own[budget], at))
            found += [_noted(row, *gates[0].remarks()) for row in mine]
        found.append(self._judge.queries(agreed, name))
        return found

    def _theft(
        self, replicate: int, settings: Settings, budgets: tuple[int, ...], gate: Gate | None = None
    ) -> Theft:
        target, seed = self._target, self._seeds[replicate]
        pool, kinds = self._pools[replicate].x.float(), self._pools[replicate].y.cpu()
        if noise := settings.sends == "noise":
            pool = _noise(pool, budgets[-1], target.bounds, seed)
        return Theft(
            ask=_closed if gate is None else gate.ask,
            pool=pool.to(target.device),
            kinds=None if noise else kinds,
            budgets=budgets,
            fresh=maker(target, settings.surrogate, seed),
            num_classes=target.num_classes,
            bounds=target.bounds,
            seed=seed,
        )

    def _without(self, at: At, status: Status, note: str) -> list[Measurement]:
        metrics = (*PER_BUDGET, *(ADVERSARIAL if self._settings.adversarial else ()))
        return [Measurement(m, at=at, status=status, note=note) for m in metrics]


def _closed(x: Tensor) -> Tensor:
    raise AssertionError(f"the attacker without a victim asked {len(x)} queries")


def _noted(row: Measurement, *remarks: str) -> Measurement:
    """The row with further remarks on it."""
    return replace(row, note="; ".join(note for note in (row.note, *remarks) if note))


def _order(count: int, replicate: int) -> Tensor:
    """The order in which a replicate's attacker draws its pool, the same for every model."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(count + STRIDE * replicate))


def _noise(like: Tensor, count: int, bounds: tuple[float, float], seed: int) -> Tensor:
    """Inputs uniform within the bounds, (count, …)."""
    own = torch.Generator().manual_seed(seed)
    return bounds[0] + (bounds[1] - bounds[0]) * torch.rand(count, *like.shape[1:], generator=own)
