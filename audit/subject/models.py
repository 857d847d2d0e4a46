"""The model under audit: its architecture factory, its weights, and normalisation inside it."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod

from audit.errors import AuditError, PlanError, RefusedError
from audit.plan import Plan, WeightsPlan
from audit.subject import black_box, checkpoints, hub, vision
from audit.subject.code import function_of
from audit.subject.data import Data
from audit.subject.outputs import returning_logits, sigmoid_last
from pruning import foreign, measure, prunable, removal
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
    if plan.model.black_box and spec == plan.model.build:
        return lambda: returning_logits(black_box.build(plan), len(data.classes))
    kind, _, name = spec.partition(":")
    libraries: dict[str, Callable[[], Build]] = {
        "torchvision": lambda: vision.model(name, len(data.classes)),
        "timm": lambda: hub.timm(name, len(data.classes), data.input_shape),
        "hf": lambda: hub.hugging_face(plan.path(Path(name))),
    }
    if kind in libraries:
        plain = libraries[kind]()
        return lambda: _watched(returning_logits(plain(), len(data.classes)), data)
    function = function_of(plan, spec, "[model] build")
    offered = {"num_classes": len(data.classes), "input_shape": data.input_shape}
    wanted = inspect.signature(function).parameters
    given = {name: value for name, value in offered.items() if name in wanted}

    def build() -> nn.Module:
        try:
            model = function(**given)
        except AuditError:
            raise
        except Exception as error:  # the user's own code
            raise RefusedError(
                f"[model] build {spec!r}: raises {type(error).__name__}: {error}; it is called with "
                f"{', '.join(given) or 'no arguments'}: where it needs others, write a function of your "
                "own that gives them"
            ) from error
        if not isinstance(model, nn.Module):
            raise RefusedError(
                f"[model] build {spec!r}: returned {type(model).__name__}, not a torch.nn.Module"
            )
        return _watched(returning_logits(_without_masks(model), len(data.classes)), data)

    return build


def _watched(model: nn.Module, data: Data) -> nn.Module:
    """The model itself, of which it is known which layers never run (auxiliary heads): they do not count."""
    prunable.watch(model, data.test.x[:1])
    return model


def _without_masks(model: nn.Module) -> nn.Module:
    """The model itself, the masks of ``torch.nn.utils.prune`` folded into its weights: an ordinary module."""
    for module in model.modules():
        for handle, hook in list(module._forward_pre_hooks.items()):
            if isinstance(hook, BasePruningMethod):
                hook.remove(module)
                del module._forward_pre_hooks[handle]
    return model


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


@dataclass(frozen=True, slots=True)
class Restored:
    """The bare model in a file, the removals it was rebuilt by, and what had to be done to the file."""

    model: nn.Module
    history: tuple[removal.Removal, ...]
    told: tuple[str, ...]


def restore(
    weights: WeightsPlan, plan: Plan, build: Build, data: Data, key: str = "[model] weights"
) -> Restored:
    """The bare model with the weights of a file. ``key``: the plan's, for errors.

    Where the file's layers are narrower than the model's, the model is made as narrow: along the file's own
    history of removals, or so that its shapes fit. Raises RefusedError for an unsafe, damaged or ill-fitting
    file.
    """
    path = plan.path(weights.file)
    where = f"{key}: {path}"
    home = plan.path(Path(plan.model.build.removeprefix("hf:")))
    if plan.model.build.startswith("hf:") and path.parent.resolve() == home.resolve():
        found = checkpoints.Checkpoint(hub.saved(home), told=("read by transformers",))
    else:
        found = checkpoints.read(path, key, weights.key, weights.strip_prefix)
    model = fresh(build, 0)
    found = checkpoints.fitted(found, model.state_dict(), where)
    _check_names(model, found.tensors, where)
    example, shapes = data.test.x[:1], {name: tensor.shape for name, tensor in found.tensors.items()}
    own = {name: tensor.shape for name, tensor in model.state_dict().items()}
    history, told = found.history, list(found.told)
    try:
        if not history and foreign.narrower(shapes, own):
            history = foreign.shrunk(model, shapes, example)
            told += [f"its widths were inferred from its shapes: {len(history)} groups are narrower"] * bool(
                history
            )
        model = removal.replay(model, history, example)
    except PruningError as error:
        raise RefusedError(
            f"{where}: its layers are narrower than those that [model] build makes, and the model cannot be "
            f"made as narrow: {error}; give a build that makes the smaller model"
        ) from error
    fill(model, found.tensors, where)
    return Restored(model, history, (*told, *_dtypes(model, found.tensors)))


def _check_names(model: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    own = model.state_dict()
    missing = sorted(name for name in own.keys() - state.keys() if not name.endswith("num_batches_tracked"))
    extra = sorted(state.keys() - own.keys())
    problems = [f"missing {', '.join(missing[:3])}"] * bool(missing)
    problems += [f"unexpected {', '.join(extra[:3])}"] * bool(extra)
    if problems:
        raise RefusedError(
            f"{where}: does not fit the model that [model] build makes: {'; '.join(problems)}"
            f"{checkpoints.hint(list(state)) if missing else ''}"
        )


def fill(model: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Give a model these weights, dense and without negative zeros; raises RefusedError for those that do not
    fit, or are not finite."""
    own = model.state_dict()
    wrong = [
        f"{name} is {tuple(tensor.shape)}, want {tuple(own[name].shape)}"
        for name, tensor in sorted(state.items())
        if tensor.shape != own[name].shape
    ]
    if wrong:
        raise RefusedError(
            f"{where}: does not fit the model that [model] build makes: {'; '.join(wrong[:3])}"
        )
    dense = checkpoints.dense(state)
    bad = [name for name, value in dense.items() if not torch.isfinite(value).all()]
    if bad:
        raise RefusedError(f"{where}: NaN or infinity in {', '.join(bad[:5])}")
    model.load_state_dict(own | dense)


def _dtypes(model: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """What is to be told of weights that were kept in another precision than the model has."""
    own = model.state_dict()
    pairs = {(str(t.dtype)[6:], str(own[n].dtype)[6:]) for n, t in state.items() if t.dtype != own[n].dtype}
    return [f"kept as {theirs}, run as {ours}" for theirs, ours in sorted(pairs)]


def described(found: Restored, dense: nn.Module, original: nn.Module | None) -> str:
    """What was done to a file, how sparse its model is, and whether it was trained since it was pruned.

    ``dense``: the plan's architecture; ``original``: with the weights of the file's dense original, where the
    plan gives them.
    """
    counts = prunable.counts(dense)
    shares = measure.layer_sparsity(found.model, counts)
    total = sum(counts[name] for name in shares)
    words = list(found.told)
    if total:
        whole = sum(share * counts[name] for name, share in shares.items()) / total
        layers = [f"{name} {share:.0%}" for name, share in shares.items()]
        more = f", and {len(layers) - 12} more" if len(layers) > 12 else ""
        words.append(f"{whole:.1%} of the prunable weights are zero or gone ({', '.join(layers[:12])}{more})")
    if original is not None and original is not found.model:
        words.append(_kinship(found.model, original))
    return "; ".join(words)


def _kinship(model: nn.Module, original: nn.Module) -> str:
    """How the weights that are left relate to those of the dense original."""
    theirs = prunable.weights(original)
    same = left = 0
    for name, weight in prunable.weights(model).items():
        if name not in theirs or theirs[name].shape != weight.shape:
            return "its layers are narrower, so that its weights stand beside none of dense"
        kept = weight != 0
        left += int(kept.sum())
        same += int((weight == theirs[name])[kept].sum())
    if same == left:
        return "what is left are the weights of dense: not trained since it was pruned"
    return f"{same / left:.0%} of what is left are the weights of dense: the rest was trained further"


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
