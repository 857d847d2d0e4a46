"""The same audit twice: scripted plainly with ART, as one would today, and by prune-audit.

    python benchmarks/versus_art.py --root FOLDER_THAT_HOLDS_MNIST

Six sparsities of a LeNet-5 × FGSM and 40-step PGD at eight ε on 500 MNIST images, ART's learned membership
attack, and KnockoffNets. Both sides load the same weights and attack the same images, each in a process of
its own, timed whole, one after the other. Prints both robust-accuracy tables, both times and their ratio;
exits with 1 if any of our figures is more than half a point above ART's.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

EPS = (0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3)
SPARSITIES = (0.0, 0.5, 0.75, 0.9, 0.95, 0.98)
STEPS = 40
QUERIES = 1000
SURROGATE_EPOCHS = 10
ALLOWED = 0.005
"""No robust accuracy of ours may lie further above ART's: that would be a weaker attack."""


def main() -> None:
    """Prepare once; then time ART and ours in turn, each in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--root", type=Path, help="folder that holds MNIST; without it, scikit-learn's digits"
    )
    parser.add_argument("--images", type=int, default=500, help="audit examples (500)")
    parser.add_argument("--repeats", type=int, default=1, help="times to run each side; medians are compared")
    parser.add_argument("--only", choices=["art"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only == "art":
        with_art(options.folder)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, options.root, options.images)
        times: dict[str, list[float]] = {"art": [], "ours": []}
        for repeat in range(options.repeats):
            times["art"].append(timed([sys.executable, __file__, "--only", "art", "--folder", name]))
            out = str(folder / f"run{repeat}")
            run = [
                sys.executable,
                "-m",
                "audit",
                "run",
                str(folder / "plan.toml"),
                "--out",
                out,
                "--device",
                "cpu",
            ]
            times["ours"].append(timed(run))
        art = json.loads((folder / "art.json").read_text(encoding="utf-8"))
        compare(art, ours(folder / "run0"), times)


def timed(command: list[str]) -> float:
    """Seconds that a process takes, start-up included."""
    start = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - start


def prepare(folder: Path, root: Path | None, images: int) -> None:
    """Train and prune the models (not timed), and write the plan that our side runs."""
    from audit.plan import TrainPlan, parse
    from audit.subject import data as subject_data
    from audit.subject import models, training
    from pruning import masks, storage
    from pruning.methods import resolve
    from pruning.prune import prune

    source = (
        {"source": "digits"} if root is None else {"source": "torchvision:MNIST", "root": str(root.resolve())}
    )
    recipe = TrainPlan(epochs=4, batch_size=64)
    build = "audit.zoo:lenet5" if root else "audit.zoo:digits_cnn"
    table = {"model": {"build": build}, "train": recipe.model_dump()}
    table["data"] = {**source, "train_examples": 900 if root is None else 10_000, "audit_examples": images}
    plan = parse(table, folder / "plan.toml")
    data = subject_data.load(plan)
    assert data.train is not None
    np.savez(
        folder / "data.npz",
        x_train=data.train.x, y_train=data.train.y, x_test=data.heldout.x, y_test=data.heldout.y,
    )  # fmt: skip
    dense = models.fresh(models.builder(plan, data), 0)
    training.train(dense, data.train, recipe, epochs=20 if root is None else 4, seed=0)
    _, method = resolve("global-magnitude")
    for sparsity in SPARSITIES:
        generator = torch.Generator().manual_seed(0)
        pruned = prune(dense, method, sparsity, example_input=data.test.x[:1], generator=generator)
        model, kept = pruned.model, pruned.masks
        if sparsity:
            hold = partial(masks.hold, model=model, masks=kept)
            training.train(model, data.train, recipe, epochs=1, seed=1, prepare=hold)
        storage.save(model, folder / f"{sparsity}.safetensors")
    (folder / "plan.toml").write_text(plan_text(build, images), encoding="utf-8")


def plan_text(build: str, images: int) -> str:
    """Our side's plan: the dense model, and the pruned ones as checkpoints of the user's own."""
    variants = "".join(f'\n[[variant]]\nname = "{s}"\nweights = "{s}.safetensors"\n' for s in SPARSITIES if s)
    return (
        f'[model]\nbuild = "{build}"\nweights = "0.0.safetensors"\n'
        f'[data]\nsource = "npz:data.npz"\naudit_examples = {images}\n'
        f'[probes.evasion]\neps = {list(EPS)}\nattacks = ["fgsm", "pgd"]\nrestarts = 1\n'
        '[probes.membership]\nattacks = ["art_black_box"]\nexamples = 1000\n'
        f'[probes.extraction]\nlevel = "quick"\nqueries = [{QUERIES}]\n{variants}'
    )


def with_art(folder: Path) -> None:
    """The audit as scripted with ART today: its documented calls, one after the other."""
    from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent
    from art.attacks.extraction import KnockoffNets
    from art.attacks.inference.membership_inference import MembershipInferenceBlackBox
    from art.estimators.classification import PyTorchClassifier

    from audit.plan import load
    from audit.subject import data as subject_data
    from audit.subject import models
    from pruning import storage

    plan = load(folder / "plan.toml")
    data = subject_data.load(plan)
    assert data.train is not None
    assert data.pool is not None
    x, y = data.test.x.numpy(), data.test.y.numpy()
    members, others = data.train[:1000], data.heldout[:1000]
    half = len(members) // 2
    shape, classes = data.input_shape, len(data.classes)

    def classifier(model: nn.Module) -> PyTorchClassifier:
        return PyTorchClassifier(
            model, nn.CrossEntropyLoss(), shape, classes, torch.optim.Adam(model.parameters(), 1e-3),
            clip_values=(0.0, 1.0), device_type="cpu",
        )  # fmt: skip

    tables: dict[str, dict[str, list[float]]] = {"fgsm": {}, "pgd": {}}
    for sparsity in SPARSITIES:
        build = models.builder(plan, data)
        model = storage.load(folder / f"{sparsity}.safetensors", build, data.test.x[:1])
        victim = classifier(model.eval())
        for name in tables:
            tables[name][str(sparsity)] = []
            for eps in EPS:
                attack = (
                    FastGradientMethod(victim, eps=eps)
                    if name == "fgsm"
                    else ProjectedGradientDescent(
                        victim,
                        eps=eps,
                        eps_step=2.5 * eps / STEPS,
                        max_iter=STEPS,
                        batch_size=128,
                        verbose=False,
                    )
                )
                found = attack.generate(x, y)
                tables[name][str(sparsity)].append(float((victim.predict(found).argmax(1) == y).mean()))
        learned = MembershipInferenceBlackBox(victim, attack_model_type="rf")
        learned.fit(*_numpy(members[:half]), *_numpy(others[:half]))
        learned.infer(*_numpy(members[half:]))
        learned.infer(*_numpy(others[half:]))
        thief = KnockoffNets(
            classifier(nn.Sequential(model, nn.Softmax(dim=1))), batch_size_fit=64, batch_size_query=256,
            nb_epochs=SURROGATE_EPOCHS, nb_stolen=QUERIES, use_probability=True, verbose=False,
        )  # fmt: skip
        thief.extract(data.pool.x.numpy(), thieved_classifier=classifier(build()))
    (folder / "art.json").write_text(json.dumps(tables), encoding="utf-8")


def _numpy(examples: object) -> tuple[object, object]:
    return examples.x.numpy(), examples.y.numpy()  # type: ignore[attr-defined]


def ours(run: Path) -> dict[str, dict[str, list[float]]]:
    """Our robust accuracies, from the results file of a run."""
    from reports.data.ledger import read_tables

    _, rows = read_tables(run / "run.sqlite")
    tables: dict[str, dict[str, list[float]]] = {"fgsm": {}, "pgd": {}}
    found = {}
    for _unit, variant, _seed, _probe, metric, at, value, *_rest in rows["measurement"]:
        if metric == "robust_accuracy":
            where = json.loads(at)
            found[where["attack"], "0.0" if variant == "dense" else variant, where["eps"]] = value
    for name, table in tables.items():
        for sparsity in map(str, SPARSITIES):
            table[sparsity] = [found[name, sparsity, eps] for eps in EPS]
    return tables


def compare(
    art: dict[str, dict[str, list[float]]],
    own: dict[str, dict[str, list[float]]],
    times: dict[str, list[float]],
) -> None:
    """Print tables, times and ratio; exit with 1 where ours is the weaker attack."""
    worst = 0.0
    for name in art:
        print(f"\nRobust accuracy under {name.upper()}, % (ART / ours)")
        print("sparsity  " + "".join(f"{f'ε {eps:g}':>14}" for eps in EPS))
        for sparsity, theirs in art[name].items():
            pairs = list(zip(theirs, own[name][sparsity], strict=True))
            worst = max(worst, *(mine - their for their, mine in pairs))
            print(f"{sparsity:<10}" + "".join(f"{f'{100 * a:.1f} / {100 * b:.1f}':>14}" for a, b in pairs))
    art_seconds, our_seconds = (statistics.median(times[side]) for side in ("art", "ours"))
    print(f"\nART {art_seconds:.1f} s, ours {our_seconds:.1f} s: ratio {art_seconds / our_seconds:.1f}")
    print(
        f"Our robust accuracy exceeds ART's by at most {100 * worst:.1f} points (allowed {100 * ALLOWED:.1f})"
    )
    if worst > ALLOWED + 1e-9:
        sys.exit(1)


if __name__ == "__main__":
    main()
