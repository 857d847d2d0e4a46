"""The nets of the benchmarks: trained once, pruned, and kept in a folder."""

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attacks.probe import Examples

SPARSITY = 0.9


@dataclass(frozen=True)
class Net:
    """A trained net, its test images, and the ε of the tables."""

    name: str
    dense: nn.Module
    pruned: nn.Module
    images: Examples
    eps: tuple[float, ...]
    autoattack_images: int


def mnist(options: argparse.Namespace) -> Net | None:
    """LeNet-5 on 20 000 training images, where ``--root`` is given."""
    if not options.root:
        return None
    source = {"source": "torchvision:MNIST", "root": str(options.root.resolve()), "train_examples": 20_000}
    eps = (0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3)
    return _net("MNIST CNN", "audit.zoo:lenet5", source, 3, options, options.images or 600, eps, 300)


def cifar(options: argparse.Namespace) -> Net | None:
    """A small residual net on the whole training set, where ``--cifar`` is given."""
    if not options.cifar:
        return None
    source = {"source": f"folder:{options.cifar.resolve()}"}
    eps = tuple(step / 255 for step in (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4))
    return _net(
        "CIFAR-10 residual net", "audit.zoo:small_resnet", source, 4, options, options.images or 200, eps, 50
    )


def digits(options: argparse.Namespace) -> Net | None:
    """A small CNN on scikit-learn's digits, where ``--digits`` is given."""
    if not options.digits:
        return None
    source = {"source": "digits", "train_examples": 900}
    eps = (0.025, 0.05, 0.075, 0.1, 0.125, 0.15, 0.175, 0.2)
    return _net("digits CNN", "audit.zoo:digits_cnn", source, 20, options, options.images or 100, eps, 30)


def _net(
    name: str,
    build: str,
    source: dict[str, Any],
    epochs: int,
    options: argparse.Namespace,
    images: int,
    eps: tuple[float, ...],
    autoattack_images: int,
) -> Net:
    """Dense, and pruned by global magnitude with one epoch of fine-tuning: trained once, then read back."""
    from audit.plan import parse
    from audit.subject import data as subject_data
    from audit.subject import models, training
    from pruning import masks, storage
    from pruning.methods import resolve
    from pruning.prune import prune

    table: dict[str, Any] = {"model": {"build": build}, "train": {"epochs": epochs, "batch_size": 128}}
    table["data"] = {**source, "audit_examples": images}
    plan = parse(table, Path("benchmark.toml"))
    data = subject_data.load(plan)
    assert data.train is not None
    assert plan.train is not None
    builder = models.builder(plan, data)
    kept = {
        part: options.models / f"{name.replace(' ', '-')}-{part}.safetensors" for part in ("dense", "pruned")
    }
    if not all(path.is_file() for path in kept.values()):
        print(f"training the {name} …", flush=True)
        dense = models.fresh(builder, 0)
        training.train(dense, data.train, plan.train, epochs=epochs, seed=0)
        generator = torch.Generator().manual_seed(0)
        _, method = resolve("global-magnitude")
        pruned = prune(dense, method, SPARSITY, example_input=data.test.x[:1], generator=generator)
        hold = partial(masks.hold, model=pruned.model, masks=pruned.masks)
        training.train(pruned.model, data.train, plan.train, epochs=1, seed=1, prepare=hold)
        options.models.mkdir(parents=True, exist_ok=True)
        storage.save(dense, kept["dense"])
        storage.save(pruned.model, kept["pruned"])
    dense, sparse = (
        storage.load(path, builder, data.test.x[:1]).eval().requires_grad_(False) for path in kept.values()
    )
    return Net(name, dense, sparse, data.test, eps, autoattack_images)
