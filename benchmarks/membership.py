"""Membership inference: what it costs, against ART's shadow models; and leakage against sparsity.

    python benchmarks/membership.py score          # seconds to score 10⁵ examples by 64 references
    python benchmarks/membership.py art            # against ART's ShadowModels with as many references
    python benchmarks/membership.py cost           # the probes beside their references; references in common,
        [--sparsities …] [--finetune 1]            # beside references of each variant's own from scratch
    python benchmarks/membership.py leakage        # attacker × attack × sparsity; digits by default
        [--root FOLDER_THAT_HOLDS_MNIST] [--cifar FOLDER_OF_CIFAR-10_CLASS_FOLDERS] [--seeds 0 1 2]
    python benchmarks/membership.py orderings      # the literature's, on an overfitted net; same folders

Times are of one core's (user) time; those of ``cost`` are the run's own, one unit at a time. ``cost`` exits
with 1 where the probes take more than a tenth of their references' time, ``orderings`` where one does not
hold.
"""

import argparse
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attacks.intervals import Estimate, InsufficientDataError, auc, tpr_at_fpr

REFERENCES = 16
ATTACKS = (
    "loss", "art_black_box", "samia", "quantile", "class_threshold", "lira_online", "lira_online_shared",
    "lira_offline", "lira_offline_shared", "rmia_online", "rmia_offline", "rmia_simple", "ensemble",
)  # fmt: skip
ATTACKERS = ("recipe_unknown", "pair", "versions")


def main() -> None:
    """Run one of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["score", "art", "cost", "leakage", "orderings"])
    parser.add_argument("--root", type=Path, help="folder that holds MNIST")
    parser.add_argument("--cifar", type=Path, help="folder of CIFAR-10's class folders")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="training seeds (0)")
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.5, 0.75, 0.9, 0.95])
    parser.add_argument("--finetune", type=int, help="epochs after pruning (a third of the training)")
    parser.add_argument("--attacks", nargs="+", default=ATTACKS)
    parser.add_argument("--attackers", nargs="*", default=ATTACKERS)
    parser.add_argument("--out", type=Path, help="keep the run here, and go on with it")
    options = parser.parse_args()
    commands = {"score": score, "art": art, "cost": cost, "leakage": leakage, "orderings": orderings}
    commands[options.what](options)


def user_seconds() -> float:
    """Processor time of this process and of its finished children."""
    return sum(resource.getrusage(who).ru_utime for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


# Scoring


def score(options: argparse.Namespace) -> None:
    """10⁵ examples × 64 references × 10 classes, by LiRA and by RMIA."""
    del options
    from attacks.membership import Settings, halves
    from attacks.membership._attack import Evidence
    from attacks.membership._lira import lira
    from attacks.membership._rmia import rmia
    from attacks.probe import References

    examples, models = 100_000, 64
    random = np.random.default_rng(0)
    logits = random.standard_normal((models, examples, 1, 10), dtype=np.float32)
    evidence = Evidence(
        random.normal(size=(examples, 10)),
        random.integers(0, 10, examples),
        np.arange(examples) < examples // 2,
        np.arange(examples) % 2 == 0,
        references=References(logits, halves(models, examples, 0), examples // 2),
    )
    times = [user_seconds()]
    lira(evidence, online=True, shared=True)
    times.append(user_seconds())
    rmia(evidence, Settings(), online=True)
    times.append(user_seconds())
    lira_time, rmia_time = np.diff(times)
    print(f"LiRA {lira_time:.2f} s, RMIA {rmia_time:.2f} s for {examples:,} examples × {models} references")


# What membership costs a run


def cost(options: argparse.Namespace) -> None:
    """Seconds of references and probes; and what references of each variant's own would have cost."""
    membership = {"references": REFERENCES, "fpr": [0.1, 0.01]}
    with tempfile.TemporaryDirectory() as name:
        folder = options.out or Path(name)
        audited(options, folder, membership, pruned=True)
        with closing(sqlite3.connect(folder / "run" / "run.sqlite")) as db:
            units = db.execute("SELECT kind, label, seconds FROM unit WHERE seconds IS NOT NULL").fetchall()
    of = [(label, s) for kind, label, s in units if kind == "reference"]
    dense = sum(s for label, s in of if " of dense seed " in label)
    own = sum(s for label, s in of if "@" in label)
    control = sum(s for _, s in of) - dense - own
    probes = sum(s for kind, _, s in units if kind == "membership")
    variants = len(options.sparsities)
    made, scratch = dense + own, variants * dense + own
    print(
        f"{REFERENCES} references: {dense:.0f} s dense; {own:.0f} s to prune and fine-tune them for "
        f"{variants} variants, {control:.0f} s the control; probes of all models {probes:.1f} s"
    )
    print(f"probes: {probes / (made + control):.1%} of their references' time")
    print(f"references from scratch for each variant: {scratch / made:.1f} times as long")
    sys.exit(0 if probes <= 0.1 * (made + control) else 1)


# Leakage against sparsity, by the tool itself


def subject(options: argparse.Namespace) -> dict[str, Any]:
    """Model, data and training of a small net that overfits, as tables of a plan."""
    if options.root:
        return {
            "model": {"build": "audit.zoo:lenet5", "normalise": {"mean": [0.1307], "std": [0.3081]}},
            "data": {"source": "torchvision:MNIST", "root": str(options.root.resolve()),
                     "train_examples": 5000, "audit_examples": 1000},
            "train": {"epochs": 12, "batch_size": 64, "learning_rate": 1e-3},
        }  # fmt: skip
    if options.cifar:
        return {
            "model": {"build": "audit.zoo:lenet5"},
            "data": {"source": f"folder:{options.cifar.resolve()}", "train_examples": 2500,
                     "audit_examples": 1000},
            "train": {"epochs": 30, "batch_size": 64, "learning_rate": 1e-3},
        }  # fmt: skip
    return {
        "model": {"build": "audit.zoo:digits_cnn"},
        "data": {"source": "digits", "train_examples": 600, "audit_examples": 500},
        "train": {"epochs": 40, "batch_size": 32, "learning_rate": 2e-3},
    }


def audited(options: argparse.Namespace, out: Path, membership: dict[str, Any], pruned: bool) -> Any:
    """The results of the subject's audit, accuracy and membership alone."""
    from audit.plan import parse
    from reports.data.results import read

    table = subject(options)
    table["probes"] = {"skip": ["evasion", "extraction"], "membership": membership}
    epochs = options.finetune or max(1, table["train"]["epochs"] // 3)
    if pruned:
        table["pruning"] = {
            "methods": ["global-magnitude"], "sparsities": options.sparsities,
            "seeds": options.seeds, "finetune_epochs": epochs,
        }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    parse(table, out / "plan.toml")  # says at once what is wrong
    (out / "plan.toml").write_text(toml(table), encoding="utf-8")
    command = [sys.executable, "-m", "audit", "run", str(out / "plan.toml"), "--out", str(out / "run")]
    subprocess.run([*command, "--device", "cpu", "--jobs", "1"], check=False)
    return read(out / "run")


def toml(table: dict[str, Any]) -> str:
    """A table of plain values as TOML: inline tables inside sections."""

    def plain(value: Any) -> str:
        if isinstance(value, dict):
            return "{ " + ", ".join(f"{key} = {plain(inner)}" for key, inner in value.items()) + " }"
        if isinstance(value, list | tuple):
            return "[" + ", ".join(map(plain, value)) + "]"
        return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')

    return "\n".join(
        f"[{name}]\n" + "\n".join(f"{key} = {plain(value)}" for key, value in section.items()) + "\n"
        for name, section in table.items()
    )


def leakage(options: argparse.Namespace) -> None:
    """One row an attacker and attack, one column a variant: AUC, and the true-positive rate at 1%."""
    membership = {
        "references": REFERENCES, "attacks": options.attacks, "attackers": options.attackers,
        "fpr": [0.1, 0.01],
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        results = audited(options, options.out or Path(name), membership, pruned=True)
        for metric in ("accuracy", "membership_auc", "membership_tpr"):
            print(f"\n{metric}, with 95% intervals (of several seeds: their range)\n")
            print(markdown(results, metric))


def markdown(results: Any, metric: str) -> str:
    """A table of one metric: conditions × variants."""
    from reports.data.aggregate import over_seeds
    from reports.data.ledger import canonical

    found = over_seeds(results.select(metric, measured=False))
    names = results.names()
    rows: dict[str, dict[str, str]] = {}
    for figure in found:
        said = (
            figure.status
            if figure.value is None
            else f"{figure.value:.3f} ({figure.low:.2f}–{figure.high:.2f})"
        )
        what = figure.at.get("attack") or canonical(dict(figure.at))
        rows.setdefault(str(what), {})[figure.variant] = said
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {what} | {' | '.join(by.get(name, '') for name in names)} |" for what, by in rows.items()]
    return "\n".join(lines)


def orderings(options: argparse.Namespace) -> None:
    """Online against offline, shared against per-example variance, references against a threshold."""
    membership = {"references": REFERENCES, "fpr": [0.01], "attackers": []}
    with tempfile.TemporaryDirectory() as name:
        results = audited(options, options.out or Path(name), membership, pruned=False)
    print("\n" + markdown(results, "accuracy") + "\n\n" + markdown(results, "membership_auc"))
    print("\n" + markdown(results, "membership_tpr") + "\n")
    rates: dict[str, list[float]] = {}
    for row in results.select("membership_tpr", variant="dense").to_dict("records"):
        rates.setdefault(row["conditions"]["attack"], []).append(float(row["value"]))
    mean = {attack: float(np.mean(values)) for attack, values in rates.items()}
    best = max(mean["lira_online_shared"], mean["rmia_simple"])
    held = {
        "online ≥ offline, shared variance": mean["lira_online_shared"] >= mean["lira_offline_shared"],
        "online ≥ offline, own variance": mean["lira_online"] >= mean["lira_offline"],
        "shared ≥ own variance, online": mean["lira_online_shared"] >= mean["lira_online"],
        "shared ≥ own variance, offline": mean["lira_offline_shared"] >= mean["lira_offline"],
        "LiRA or RMIA ≥ 3 × loss threshold": best >= 3 * mean["loss"],
    }
    for name, holds in held.items():
        print(f"{'holds' if holds else 'DOES NOT HOLD'}: {name}")
    sys.exit(0 if all(held.values()) else 1)


# ART's shadow models


def art(options: argparse.Namespace) -> None:
    """As many references, the same target, data and epochs: processor time, AUC and true-positive rate."""
    from attacks.membership import Settings, answers, halves, judged_of, population, run
    from attacks.probe import Examples, References, Target
    from audit.plan import parse
    from audit.subject import data as subject_data
    from audit.subject import models, training

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    plan = parse(subject(options), Path("benchmark.toml"))
    data = subject_data.load(plan)
    assert data.train is not None
    assert plan.train is not None
    build, recipe, members = models.builder(plan, data), plan.train, data.train

    def trained(examples: Examples, seed: int) -> torch.nn.Module:
        model = models.wrap(models.fresh(build, seed), plan, data).requires_grad_(True)
        training.train(model, examples, recipe, epochs=recipe.epochs, seed=seed)
        return model.eval().requires_grad_(False)

    victim = trained(members, 0)
    sides = population(members, data.heldout)
    everyone = Examples(*(torch.cat([getattr(side, key) for side in sides]) for key in ("x", "y")))
    settings = Settings(attacks=("lira_online_shared",), attackers=(), references=REFERENCES, fpr=(0.01,))
    start = user_seconds()
    inside = halves(REFERENCES, len(everyone), 0)
    logits = [
        answers(trained(everyone[torch.from_numpy(np.flatnonzero(own))], 1 + i), sides, settings, 256)
        for i, own in enumerate(inside)
    ]
    count = judged_of(len(sides[0]), len(sides[1]), settings)
    judged = np.concatenate((np.arange(count[0]), len(sides[0]) + np.arange(count[1])))
    references = References(np.stack(logits), inside[:, judged], count[0])
    target = Target(
        victim,
        len(data.classes),
        data.bounds,
        data.test,
        members,
        data.heldout,
        references=lambda: references,
    )
    rows = run(target, settings, torch.Generator().manual_seed(0))
    ours = user_seconds() - start
    for row in rows:
        print(f"ours, LiRA: {row.metric} {row.value if row.value is None else f'{row.value:.3f}'} {row.note}")
    start = user_seconds()
    scores, member = shadowed(trained, victim, sides, everyone, count, data.classes)
    theirs = user_seconds() - start
    for name, found in (("AUC", auc(scores, member)), ("TPR at 1%", rate(scores, member))):
        print(f"ART, shadow models and black box: {name} {found if found is None else f'{found.value:.3f}'}")
    print(f"ours {ours:.1f} s, ART {theirs:.1f} s: {theirs / ours:.2f} times as long")


def rate(scores: NDArray[np.float64], member: NDArray[np.bool_]) -> Estimate | None:
    """The true-positive rate at 1%, where there are enough non-members."""
    try:
        return tpr_at_fpr(scores, member, 0.01)
    except InsufficientDataError:
        return None


def shadowed(
    trained: Any, victim: torch.nn.Module, sides: Any, everyone: Any, count: tuple[int, int], classes: Any
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """ART's ``ShadowModels`` and ``MembershipInferenceBlackBox`` on the same data: P(member), who is one."""
    from art.attacks.inference.membership_inference import MembershipInferenceBlackBox, ShadowModels
    from art.estimators.classification import PyTorchClassifier

    def classifier(model: torch.nn.Module) -> Any:
        optimiser = (
            torch.optim.Adam(model.parameters(), 1e-3)
            if any(p.requires_grad for p in model.parameters())
            else None
        )
        return PyTorchClassifier(
            Probable(model), torch.nn.CrossEntropyLoss(), tuple(everyone.x.shape[1:]), len(classes),
            optimizer=optimiser, clip_values=(0.0, 1.0), device_type="cpu",
        )  # fmt: skip

    class Trained(PyTorchClassifier):  # type: ignore[misc]  # ART is untyped
        """ART's classifier, fitted by our training, so that only the attack differs."""

        def fit(self, x: Any, y: Any, **_: Any) -> None:
            from attacks.probe import Examples

            labels = torch.from_numpy(np.asarray(y).argmax(axis=1))
            self._count = getattr(self, "_count", 0) + 1
            model = trained(Examples(torch.from_numpy(np.asarray(x)), labels), 100 + self._count)
            self._model._model = Probable(model)

        def clone_for_refitting(self) -> "Trained":
            Trained.made += 1
            other = Trained(
                Probable(victim), torch.nn.CrossEntropyLoss(), tuple(everyone.x.shape[1:]), len(classes),
                device_type="cpu",
            )  # fmt: skip
            other._count = 10 * Trained.made
            return other

        made = 0

    template = Trained(
        Probable(victim), torch.nn.CrossEntropyLoss(), tuple(everyone.x.shape[1:]), len(classes),
        device_type="cpu",
    )  # fmt: skip
    shadows = ShadowModels(template, num_shadow_models=REFERENCES, random_state=np.random.RandomState(0))
    one_hot = np.eye(len(classes), dtype=np.float32)[everyone.y.numpy()]
    (x, y, p), (other_x, other_y, other_p) = shadows.generate_shadow_dataset(everyone.x.numpy(), one_hot)
    attack = MembershipInferenceBlackBox(classifier(victim), attack_model_type="gb")
    attack.fit(x, y, other_x, other_y, pred=p, test_pred=other_p)
    judged = [side.x[:n] for side, n in zip(sides, count, strict=True)]
    labels = np.concatenate([side.y[:n].numpy() for side, n in zip(sides, count, strict=True)])
    told = attack.infer(torch.cat(judged).numpy(), labels, probabilities=True)
    member = np.repeat([True, False], count)
    return np.asarray(told, dtype=np.float64)[:, -1], member


class Probable(torch.nn.Module):
    """The model's probabilities, which is what ART's attack is meant to see."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, …) → (N, classes), each row a distribution."""
        probabilities: torch.Tensor = self.model(x).softmax(dim=1)
        return probabilities


if __name__ == "__main__":
    main()
