"""The model under audit: its architecture factory, its weights, and normalisation inside it."""

import inspect
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audit.errors import PlanError, RefusedError
from audit.plan import Plan
from audit.subject import vision
from audit.subject.code import function_of
from audit.subject.data import Data
from audit.subject.outputs import returning_logits, sigmoid_last
from pruning import removal, storage
from pruning.errors import PruningError

Build = Callable[[], nn.Module]


class Normalised(nn.Module):
    """The audited model: (x − mean) / std, then the user's model. Inputs stay in the user's own units."""

    mean: Tensor
    std: Tensor

    def __init__(self, inner: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], dims: int) -> None:
        super().__init__()
        self.inner = inner
        shape = (1, -1) + (1,) * (dims - 1)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(shape), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(shape), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, …) in input units → logits (N, classes)."""
        out: Tensor = self.inner((x - self.mean) / self.std)
        return out


def builder(plan: Plan, data: Data, spec: str | None = None) -> Build:
    """What makes the bare model (without normalisation), untrained. Raises PlanError or RefusedError."""
    spec = spec or plan.model.build
    if spec.startswith("torchvision:"):
        plain = vision.model(spec.removeprefix("torchvision:"), len(data.classes))
        return lambda: returning_logits(plain(), len(data.classes))
    function = function_of(plan, spec, "[model] build")
    offered = {"num_classes": len(data.classes), "input_shape": data.input_shape}
    wanted = inspect.signature(function).parameters
    given = {name: value for name, value in offered.items() if name in wanted}

    def build() -> nn.Module:
        model = function(**given)
        if not isinstance(model, nn.Module):
            raise RefusedError(
                f"[model] build {spec!r}: returned {type(model).__name__}, not a torch.nn.Module"
            )
        return returning_logits(model, len(data.classes))

    return build


def fresh(build: Build, seed: int) -> nn.Module:
    """A newly initialised model from a seed; the global generator is as it was afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


def wrap(inner: nn.Module, plan: Plan, data: Data) -> nn.Module:
    """The model as it is audited: normalisation inside, in eval mode, parameters frozen."""
    model = inner
    if plan.model.normalise is not None:
        channels = data.input_shape[0]
        if len(plan.model.normalise.mean) not in (1, channels):
            raise PlanError(
                f"[model] normalise: {len(plan.model.normalise.mean)} means for inputs of {channels} channels"
            )
        model = Normalised(inner, plan.model.normalise.mean, plan.model.normalise.std, len(data.input_shape))
    return model.eval().requires_grad_(False)


def weights(path: Path, key: str = "[model] weights") -> dict[str, Tensor]:
    """A state dict from safetensors, or from ``.pt``/``.pth`` read without running any code.

    Raises RefusedError for anything else: loading a pickle, TorchScript or .pt2 file runs its code.
    """
    if not path.is_file():
        raise RefusedError(f"{key}: {path}: no such file")
    if path.suffix not in (".safetensors", ".pt", ".pth"):
        raise RefusedError(
            f"{key}: {path}: refused, since loading a {path.suffix or 'bare'} file may run code; {_REMEDY}"
        )
    try:
        state = _tensors(path)
    except Exception as error:  # a hostile file can make a parser raise anything
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RefusedError(
            f"{key}: {path}: refused: it holds more than tensors, or is damaged ({first[:200]}); {_REMEDY}"
        ) from None
    for name in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(name), Mapping):
            state = state[name]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise RefusedError(f"{key}: {path}: is not a state dict; {_REMEDY}")
    bad = [
        name for name, value in state.items() if value.is_floating_point() and not torch.isfinite(value).all()
    ]
    if bad:
        raise RefusedError(f"{key}: {path}: NaN or infinity in {', '.join(bad[:5])}")
    return dict(state)


def _tensors(path: Path) -> Any:
    """What the file holds, read without running any of its code."""
    if path.suffix == ".safetensors":
        return storage.read(path)[1]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any("/code/" in name for name in archive.namelist()):
                raise ValueError("TorchScript runs code when loaded")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an unusual pickle protocol: it is read safely, or refused
        return torch.load(path, map_location="cpu", weights_only=True)


_REMEDY = "save the state dict: safetensors.torch.save_file(model.state_dict(), 'model.safetensors')"


def fill(
    model: nn.Module, state: Mapping[str, Tensor], path: Path, key: str = "[model] weights"
) -> nn.Module:
    """The model with these weights; raises RefusedError that names what does not fit."""
    own = model.state_dict()
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    wrong = [
        f"{name} is {tuple(state[name].shape)}, want {tuple(own[name].shape)}"
        for name in sorted(own.keys() & state.keys())
        if state[name].shape != own[name].shape
    ]
    problems = [f"missing {', '.join(missing[:3])}"] * bool(missing)
    problems += [f"unexpected {', '.join(extra[:3])}"] * bool(extra) + wrong[:3]
    if problems:
        raise RefusedError(
            f"{key}: {path}: does not fit the model that [model] build makes: {'; '.join(problems)}"
        )
    model.load_state_dict(dict(state))
    return model


def restore(
    path: Path, build: Build, data: Data, key: str = "[model] weights"
) -> tuple[nn.Module, tuple[removal.Removal, ...]]:
    """The bare model that a weights file holds, and the removals it was rebuilt by (as a rule none).

    Raises RefusedError for an unsafe, damaged or ill-fitting file.
    """
    state = weights(path, key)
    if path.suffix == ".safetensors":
        try:
            history, _ = storage.read(path)
            if history:
                return storage.load(path, build, data.test.x[:1]), history
        except PruningError as error:
            raise RefusedError(f"{key}: {error}") from error
    return fill(fresh(build, 0), state, path, key), ()


def check(model: nn.Module, data: Data) -> None:
    """Refuse a model whose outputs are not finite logits (N, classes) on the audit's own inputs."""
    batch = data.test.x[:8]
    try:
        with torch.inference_mode():
            logits = model(batch)
    except Exception as error:
        raise RefusedError(
            f"[model] build: the model does not take inputs of shape {tuple(batch.shape)}: {error}"
        ) from error
    want = (len(batch), len(data.classes))
    if not isinstance(logits, Tensor) or tuple(logits.shape) != want:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise RefusedError(
            f"[model] build: the model's outputs are {got}, want logits of shape {want}: "
            f"the data has {len(data.classes)} classes. Return a tensor, a tuple that begins with one, or a "
            "mapping with the key 'logits'; for two classes it may hold one logit"
        )
    if len(data.classes) == 2 and not logits.any(dim=0)[0] and sigmoid_last(model, batch):
        raise RefusedError(
            "[model] build: the model's one output for two classes comes out of a sigmoid: a probability; "
            "return what goes into the sigmoid"
        )
    if not torch.isfinite(logits).all():
        raise RefusedError("[model]: the model's outputs hold NaN or infinity")
