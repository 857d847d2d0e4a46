"""What the results file says of its run: plan, subject, environment, cards of the probes."""

import hashlib
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from attacks.registry import probes
from audit import costs
from audit.plan import Plan
from audit.preflight import Subject
from audit.unit import Unit, code_version, identity
from pruning.methods import methods

PACKAGES = (
    "prune-audit", "torch", "torchvision", "adversarial-robustness-toolbox", "numpy",
    "scipy", "scikit-learn", "pandas",
)  # fmt: skip


def run(subject: Subject, work: list[Unit], command: str) -> dict[str, Any]:
    """The rows of the ``run`` table. ``identity`` says whose folder it is; ``plan_digest`` names the plan and
    all that its results depend on."""
    plan, data = subject.plan, subject.data
    cards = {name: asdict(probe.card) for name, probe in probes().items() if name in plan.probes}
    return {
        "plan_digest": _digest(work),
        "identity": identity(plan, data, subject.device),
        "plan_name": plan.name,
        "plan": plan_dict(plan),
        "command": command,
        "subject": {
            "architecture": plan.model.build,
            "weights": _weights(plan),
            **({"black_box": True} if plan.model.black_box else {}),
            "parameters": subject.parameters,
            "prunable_parameters": subject.prunable,
            "macs": subject.macs,
            "data_source": plan.data.source,
            "data_digest": data.digest,
            "classes": list(data.classes),
            "input_shape": list(data.input_shape),
            "bounds": list(data.bounds),
            **({"features": plan.data.features.model_dump(mode="json")} if plan.data.features else {}),
            "train_examples": 0 if data.train is None else len(data.train),
            "test_examples": len(data.test),
            "pool_examples": 0 if data.pool is None else len(data.pool),
            "finetune_epochs": plan.finetune_epochs,
            "seeds": list(plan.seeds),
        },
        "test_labels": data.test.y.tolist(),
        "environment": environment(subject.device),
        "cards": cards | {"cost": asdict(costs.CARD)},
        "skipped": {
            name: list(probe.card.metrics) for name, probe in probes().items() if name not in plan.probes
        },
        "methods": {
            name: {"summary": known.summary, "source": known.source} for name, known in methods().items()
        },
        "recipes": recipes(plan),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def recipes(plan: Plan) -> dict[str, Any]:
    """What each method of the plan is made of, by its name: claims of methods are judged by that."""
    chosen = plan.pruning.recipes if plan.pruning else {}
    return {name: recipe.model_dump(mode="json", exclude_none=True) for name, recipe in chosen.items()}


def _weights(plan: Plan) -> str:
    if plan.model.black_box:
        return f"those of the program {plan.model.build.partition(':')[2]}, as a black box"
    return "trained" if plan.model.weights is None else plan.model.weights.file.name


def _digest(work: list[Unit]) -> str:
    """Of all that determines the figures: how the work is cut does not."""
    names = (unit.id for unit in work if unit.kind not in ("piece", "perturbations"))
    return hashlib.sha256("".join(names).encode()).hexdigest()


def plan_dict(plan: Plan) -> dict[str, Any]:
    """The plan with every default filled in, as JSON values."""
    table = plan.model_dump(mode="json")
    table["data"]["root"] = str(plan.data.root)
    return table


def environment(device: str) -> dict[str, str]:
    """The machine and the libraries that the figures come from."""
    found = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "code": code_version(),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
