"""A plausible run, written through the ledger with random numbers from a seeded generator."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from reports.data.ledger import Ledger, MeasurementRow, UnitRow, VariantRow
from reports.data.results import read

EPS = (0.025, 0.05, 0.1, 0.15, 0.2)
QUERIES = (100, 300, 900)
DIGEST = "0123456789abcdef" * 4

CARDS: dict[str, Any] = {
    "accuracy": {
        "title": "Clean accuracy",
        "summary": "How often the model names the right class on unchanged test inputs.",
        "threat_model": "None: no one interferes.",
        "limits": "It speaks of the distribution that the test examples come from.",
        "metrics": ["accuracy"],
        "papers": [],
        "ids": [],
    },
    "evasion": {
        "title": "Evasion",
        "summary": "How much accuracy is left when an attacker may change every input a little.",
        "threat_model": "Knows the model and its weights; may change every input value by at most ε.",
        "limits": "An upper bound on robustness: a stronger attack may break more.",
        "metrics": ["robust_accuracy"],
        "papers": ["Madry et al. 2018"],
        "ids": ["AML.T0043", "ML01:2023"],
    },
    "membership": {
        "title": "Membership inference",
        "summary": "Whether an attacker can tell the examples the model was trained on from others.",
        "threat_model": "Sees the model's full output for an example and its true label.",
        "limits": "Attacks with reference models are stronger.",
        "metrics": ["membership_auc"],
        "papers": ["Yeom et al. 2018"],
        "ids": ["AML.T0024.000", "ML04:2023"],
    },
    "extraction": {
        "title": "Model extraction",
        "summary": "How well a copy trained on the model's answers agrees with it.",
        "threat_model": "May ask for class probabilities of inputs of their own.",
        "limits": "One surrogate architecture.",
        "metrics": ["extraction_fidelity"],
        "papers": ["Orekondy et al. 2019"],
        "ids": ["AML.T0024.002"],
    },
    "cost": {
        "title": "Size and speed",
        "summary": "What pruning saves.",
        "threat_model": "None.",
        "limits": "Latency is that of this machine.",
        "metrics": ["bytes"],
        "papers": [],
        "ids": [],
    },
}

METHODS = ("global-magnitude", "layer-magnitude", "filter-l2")
SPARSITIES = (0.5, 0.75, 0.9, 0.95)


def about(name: str = "demo", methods: Iterable[str] = METHODS) -> dict[str, Any]:
    """The facts of a run."""
    return {
        "plan_digest": DIGEST,
        "plan_name": name,
        "plan": {
            "model": {"build": "audit.zoo:digits_cnn", "weights": None},
            "data": {"source": "digits", "bounds": [0, 1], "train_examples": 200},
            "pruning": {"methods": list(methods), "sparsities": list(SPARSITIES), "seeds": [0, 1, 2]},
            "probes": {"evasion": {"eps": list(EPS), "norms": ["linf"]}, "accuracy": {}},
        },
        "command": "prune-audit run plan.toml",
        "subject": {
            "architecture": "audit.zoo:digits_cnn",
            "data_source": "digits",
            "classes": list("0123456789"),
            "input_shape": [1, 8, 8],
            "bounds": [0, 1],
            "train_examples": 200,
            "test_examples": 500,
            "pool_examples": 900,
            "weights": "trained",
            "data_digest": "feed" * 16,
        },
        "environment": {"python": "3.11.2", "platform": "Linux", "torch": "2.13.0", "numpy": "2.4.6"},
        "cards": CARDS,
        "methods": {m: {"summary": f"What {m} does.", "source": "Somebody et al. 2017"} for m in methods},
        "started": "2026-01-02T03:04:05+00:00",
        "jobs": 2,
    }


def rate(
    metric: str, hits: np.ndarray, at: Mapping[str, Any], key: str = "correct"
) -> tuple[str, float, float, float, int, Mapping[str, Any], Mapping[str, Any]]:
    """A share with a Wilson interval and its evidence."""
    n, p, z2 = len(hits), float(hits.mean()), 1.96**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = 1.96 * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return metric, p, min(p, centre - half), max(p, centre + half), n, at, {key: hits}


class Model:
    """The latent quality of one synthetic model; every figure follows from it."""

    def __init__(self, rng: np.random.Generator, method: str, sparsity: float, easy: np.ndarray) -> None:
        filters = 0.35 if method.startswith("filter") else 0.0
        hurt = 6.0 * max(0.0, sparsity - 0.86 + 0.4 * filters) ** 1.3 / 0.14**0.3
        self.skill = 3.2 - 3.6 * hurt + rng.normal(0, 0.08)
        self.reach = 2.6 - 1.2 * sparsity**6 - filters * sparsity + rng.normal(0, 0.08)
        self.leak = 0.42 - 0.3 * sparsity**3 + rng.normal(0, 0.03)
        self.easy, self.rng, self.sparsity = easy, rng, sparsity
        self.filters = bool(filters)

    def rows(self) -> dict[str, list[Any]]:
        """Measurements by probe."""
        noise = self.rng.normal(0, 0.35, len(self.easy))
        margin = self.skill + 1.1 * self.easy + noise
        clean = margin > 0.25 + 0.2
        train = self.rng.random(200) < min(0.999, 1 / (1 + np.exp(-self.skill - 1.5)))
        found: dict[str, list[Any]] = {
            "accuracy": [
                rate("accuracy", clean, {"split": "test"}),
                rate("accuracy", train, {"split": "train"}),
            ],
            "evasion": [],
            "membership": [],
            "extraction": [],
        }
        for eps in EPS:
            strong = clean & (margin > 0.45 + eps * 100 / (4 + 2.5 * self.reach))
            weak = strong | (clean & (self.rng.random(len(clean)) < 0.15))
            for attack, held in (("fgsm", weak), ("pgd", strong), ("worst_case", strong & weak)):
                at = {"norm": "linf", "eps": eps, "attack": attack}
                found["evasion"].append(rate("robust_accuracy", held, at))
        healthy = {"flag": "zero_gradients", "norm": "linf", "limit": 0.05}
        found["evasion"].append(("attack_health", 0.0, 0.0, 0.05, len(clean), healthy, None))
        member = np.arange(400) < 200
        for attack, gain in (("loss", 1.0), ("art_black_box", 0.7)):
            score = self.rng.normal(0, 1, 400) + member * self.leak * gain * 1.4
            auc = float((score[member][:, None] > score[~member]).mean())
            half = 1.96 * np.sqrt(auc * (1 - auc) / 200)
            evidence = {
                "score": score.astype(np.float32),
                "member": member,
                "label": np.arange(400, dtype=np.int32) % 10,
                "index": np.arange(400, dtype=np.int32) % 200,
            }
            found["membership"].append(
                ("membership_auc", auc, auc - half, min(1, auc + half), 400, {"attack": attack}, evidence)
            )
            hits = self.rng.random(400) < 0.5 + self.leak / 3
            found["membership"].append(rate("membership_balanced_accuracy", hits, {"attack": attack}))
            tpr = self.rng.random(200) < 0.01 + max(0, self.leak) / 10
            found["membership"].append(rate("membership_tpr", tpr, {"attack": attack, "fpr": 0.01}))
        budgets = [({"attack": "untrained", "queries": 0}, 0.1)]
        budgets += [({"attack": "same_data", "queries": 0, "labelled": q}, 0.78) for q in QUERIES]
        budgets += [({"attack": "knockoff", "queries": q}, 0.55 + 0.13 * np.log10(q)) for q in QUERIES]
        for at, share in budgets:
            share = min(0.99, share * (0.8 + 0.2 * clean.mean()))
            agree = self.rng.random(len(self.easy)) < share
            found["extraction"].append(rate("extraction_fidelity", agree, at, "agree"))
            found["extraction"].append(rate("surrogate_accuracy", agree & clean, at))
        left = 1 - self.sparsity
        kept = left if self.filters else 1.0
        exact = {
            "parameters": 20_000 * kept,
            "nonzero_parameters": 20_000 * left + 106,
            "macs": 200_000 * kept,
            "bytes": 82_000 * kept + 900,
        }
        found["cost"] = [(name, round(v), round(v), round(v), 1, {}, None) for name, v in exact.items()]
        ms = 0.11 + 0.1 * kept + self.rng.normal(0, 0.003)
        found["cost"].append(("latency", ms, ms * 0.96, ms * 1.05, 50, {"batch": 1}, None))
        return found


def planned(folder: Path, *more: UnitRow) -> list[UnitRow]:
    """The units of a run and ``more``: those that its plan does not name are not shown."""
    units = read(folder).units[["id", "kind", "label"]]
    return [*(UnitRow(*row) for row in units.itertuples(index=False)), *more]


def build(
    folder: Path,
    *,
    name: str = "demo",
    methods: Iterable[str] = METHODS,
    sparsities: Iterable[float] = SPARSITIES,
    seeds: Iterable[int] = (0, 1, 2),
    control: bool = True,
    n: int = 500,
    broken: Iterable[str] = (),
    unfinished: int = 0,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``folder``/run.sqlite; ``broken``: variants whose membership probe failed at seed 0."""
    rng = np.random.default_rng(7)
    methods, seeds, broken = list(methods), list(seeds), set(broken)
    pairs = [("dense", "dense", 0.0)]
    if control:
        pairs.append(("dense-finetuned", "dense-finetuned", 0.0))
    pairs += [(f"{m}@{s:g}", m, s) for m in methods for s in sparsities]
    easy = rng.normal(0, 1, n)
    units = [UnitRow(f"model-{v}-{s}", "pruned", f"make {v} seed {s}") for v, _, _ in pairs for s in seeds]
    units += [
        UnitRow(f"{p}-{v}-{s}", p, f"{p} {v} seed {s}") for v, _, _ in pairs for s in seeds for p in CARDS
    ]
    units += [UnitRow(f"late-{i}", "evasion", f"late {i}") for i in range(unfinished)]
    folder.mkdir(parents=True, exist_ok=True)
    with Ledger.open(
        folder / "run.sqlite",
        {**about(name, methods), "test_labels": [i % 10 for i in range(n)], **(facts or {})},
        units,
    ) as ledger:
        for variant, method, sparsity in pairs:
            for seed in seeds:
                row = VariantRow(
                    variant,
                    seed,
                    method,
                    sparsity,
                    max(0.0, round(sparsity - 0.0003, 4)),
                    control=variant == "dense-finetuned",
                    digest=f"{seed:064x}",
                    file=f"models/{seed}.safetensors",
                )
                stamp = {"seconds": 1.0, "finished": "2026-01-02T03:04:06+00:00"}
                ledger.append(f"model-{variant}-{seed}", variant=row, **stamp)
                for probe, rows in Model(rng, method, sparsity, easy).rows().items():
                    if probe == "membership" and variant in broken and seed == 0:
                        failed = MeasurementRow(
                            variant, seed, probe, "membership_auc", status="failed", note="RuntimeError: boom"
                        )
                        ledger.append(
                            f"{probe}-{variant}-{seed}",
                            measurements=[failed],
                            error="RuntimeError: boom",
                            **stamp,
                        )
                        continue
                    ledger.append(
                        f"{probe}-{variant}-{seed}",
                        measurements=[
                            MeasurementRow(
                                variant, seed, probe, m, at, value, low, high, count, outcomes=evidence
                            )
                            for m, value, low, high, count, at, evidence in rows
                        ],
                        **stamp,
                    )
    return folder
