"""Models that are programs in a file: ONNX, TorchScript, torch.export. They answer, and show nothing else.

Loading one runs what is in the file, so that the plan must say ``trust = true``. There are no gradients to
climb, no weights to prune and no architecture to train again: what needs them is not applicable, in words.
"""

import functools
import warnings
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attacks.evasion import Settings as EvasionSettings
from attacks.evasion import chosen_attacks
from audit.errors import PlanError, RefusedError
from audit.plan import Plan
from reports.data.ledger import MeasurementRow

Program = Callable[[Tensor], Any]
FREE = ("scores", "labels")
"""What attacks may see that do without gradients."""
BY_QUERIES = ("square", "rays")
"""Those that a black box gets where the plan's level has none of them."""
SEALED = "the model is a black box: its weights are in a program, and nothing of them was changed"
WHY = "the model is a black box: it has no gradients that an attack could climb"


class BlackBox(nn.Module):
    """A program as a module: inputs (N, …) to its outputs, on the CPU. Its gradient is zero everywhere.

    Its state holds the digest of the program's file, so that another file is another model.
    """

    digest: Tensor

    def __init__(self, program: Program, digest: bytes, size: int) -> None:
        super().__init__()
        self.program, self.size = program, size
        self.register_buffer("digest", torch.frombuffer(bytearray(digest), dtype=torch.uint8))

    def forward(self, x: Tensor) -> Any:
        """(N, …) → whatever the program returns; a tensor of logits without a gradient of its own."""
        with torch.no_grad():
            found = self.program(x.detach().cpu())
        if isinstance(found, Tensor) and x.requires_grad:
            return found.to(x.device) + 0 * x.flatten(1).sum(1).view(-1, *(1,) * (found.ndim - 1))
        return found.to(x.device) if isinstance(found, Tensor) else found


def build(plan: Plan) -> BlackBox:
    """The program that ``[model] build`` names. Raises PlanError without the plan's ``trust`` or the library,
    RefusedError for a file that is not there or no such program."""
    kind, _, name = plan.model.build.partition(":")
    path = plan.path(Path(name))
    if not plan.model.trust:
        raise PlanError(
            f"[model] build {plan.model.build!r}: loading it runs the program in the file, and only attacks "
            "without gradients can be tried: where you trust it and that will do, say trust = true in "
            "[model]; prefer the torch module and its weights where you have them"
        )
    try:
        content = [file.read_bytes() for file in files(path)]
    except OSError as error:
        raise RefusedError(f"[model] build: {path}: {error.strerror or error}") from None
    digest = sha256(b"".join(content)).digest()
    return BlackBox(_program(kind, path, digest), digest, sum(map(len, content)))


def files(path: Path) -> list[Path]:
    """Where a program is: its file, and beside it the weights that ONNX may keep in one of their own."""
    return [path, *(file for file in [path.with_name(f"{path.name}.data")] if file.is_file())]


@functools.lru_cache(maxsize=4)
def _program(kind: str, path: Path, digest: bytes) -> Program:
    """Loaded once for each process and content of the file."""
    del digest
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of forms that torch means to give up: they are read still
            return {"onnx": _onnx, "torchscript": _script, "export": _exported}[kind](path)
    except (PlanError, RefusedError):
        raise
    except Exception as error:  # whatever a parser raises on a foreign file
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RefusedError(f"[model] build: {path}: is no {kind} program: {first[:300]}") from None


def _onnx(path: Path) -> Program:
    try:
        import onnxruntime
    except ImportError:
        raise PlanError("[model] build: ONNX needs onnxruntime: pip install 'prune-audit[onnx]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # as many workers as cores
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    first, *more = session.get_inputs()
    if more or first.type != "tensor(float)":
        raise RefusedError(
            f"[model] build: {path}: takes {', '.join(f'{i.name} {i.type}' for i in (first, *more))}: want "
            "one input of float32"
        )
    fixed = first.shape[0] if isinstance(first.shape[0], int) else None

    def program(x: Tensor) -> Tensor:
        array = x.float().numpy()
        parts = [array] if fixed is None else np.split(_padded(array, fixed), -(-len(array) // fixed))
        found = [torch.from_numpy(session.run(None, {first.name: part})[0]) for part in parts]
        return torch.cat(found)[: len(x)]

    return program


def _padded(array: np.ndarray[Any, Any], batch: int) -> np.ndarray[Any, Any]:
    """Whole batches, of a program that takes no others: the last example fills the last one up."""
    lacking = -len(array) % batch
    return np.concatenate([array, np.repeat(array[-1:], lacking, axis=0)])


def _script(path: Path) -> Program:
    module = torch.jit.load(path, map_location="cpu").eval()  # type: ignore[no-untyped-call]
    return lambda x: module(x)  # no submodule of ours: its weights are not for us to count or change


def _exported(path: Path) -> Program:
    module = torch.export.load(path).module()
    return lambda x: module(x)


def limited(plan: Plan) -> Plan:
    """The plan with what can be done to a black box; raises PlanError for what the user asks beyond it."""
    if not plan.model.black_box:
        return plan
    for key, given in (("pruning", plan.pruning), ("[variant]", plan.variant), ("train", plan.train)):
        if given:
            raise PlanError(
                f"[{key}]: {plan.model.build} is a black box: it cannot be pruned, trained or compared with "
                "its pruned versions; give the torch module and its weights, or leave the table out"
            )
    probes = dict(plan.probes)
    if "evasion" in probes:  # read anew: plan.settings would be kept, and copied with the plan
        settings = EvasionSettings.model_validate(probes["evasion"])
        free = [name for name, attack in chosen_attacks(settings).items() if attack.sees in FREE]
        kept = {"attacks": free or list(BY_QUERIES), "alone": True, "transfer": False}
        probes["evasion"] = {**probes["evasion"], **kept}
    if "extraction" in probes:
        probes["extraction"] = {**probes["extraction"], "surrogate": "smaller"}
    return plan.model_copy(update={"probes": probes})


def refusals(plan: Plan, probe: str, replicate: int) -> Iterator[MeasurementRow]:
    """A row for each attack that a black box leaves no way to run."""
    if not plan.model.black_box or probe != "evasion":
        return
    settings = plan.settings["evasion"]
    assert isinstance(settings, EvasionSettings)
    for name, attack in chosen_attacks(type(settings)(level=settings.level)).items():
        if attack.sees not in FREE:
            yield MeasurementRow(
                "dense",
                replicate,
                probe,
                "robust_accuracy",
                {"attack": name},
                status="not_applicable",
                note=WHY,
            )
