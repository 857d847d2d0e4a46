"""The weights of a model as an attacker finds them in storage: the surviving ones, bit by bit."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attacks.tampering._storage import FORMATS, Storage, decode, encode, pattern, scale_of


class UnfitError(Exception):
    """The attack does not apply to this model or to these data; the message says why."""


class ForeignError(UnfitError):
    """The model's weights are of a kind whose bits are not flipped here; the message says which."""


class Flip(NamedTuple):
    """One flipped bit: the number of the layer, the place among its survivors, the bit (0: the least)."""

    layer: int
    place: int
    bit: int


def parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights that are attacked: parameters of two or more dimensions, tied ones once.

    Raises ForeignError where some are not float32, or are in quantised layers, which hold no parameters: what
    a bit of another type does is not simulated; UnfitError where there is none.
    """
    quantised = [
        name for name, m in model.named_modules() if ".quantized" in type(m).__module__ and not m._parameters
    ]
    if quantised:
        raise ForeignError(
            f"{quantised[0]} is a quantised layer: bits are flipped in models of float32 alone"
        )
    found = {name: p for name, p in model.named_parameters() if p.dim() > 1}
    if not found:
        raise UnfitError("the model has no weights of two or more dimensions")
    odd = [f"{name} is {p.dtype}" for name, p in found.items() if p.dtype != torch.float32]
    if odd:
        more = f", and {len(odd) - 1} more" if len(odd) > 1 else ""
        raise ForeignError(f"{odd[0]}{more}: tampering is measured on models of float32 alone")
    return found


def survivors(model: nn.Module) -> int:
    """How many of the attacked weights are not zero."""
    return sum(int((p != 0).sum()) for p in parameters(model).values())


@dataclass(slots=True)
class Layer:
    """One weight tensor's survivors. ``places``: where they stand in it, flat, (n,); ``codes``: (n,)."""

    name: str
    parameter: nn.Parameter
    places: Tensor
    codes: NDArray[np.signedinteger]
    scale: float


class Stored:
    """A model whose surviving weights were put into a storage, and are read back from there.

    The model is changed in place: it has the values of the codes, at once and after every flip. Zeros stay
    zeros, since a format that leaves them out has no bits of theirs.
    """

    def __init__(self, model: nn.Module, storage: Storage) -> None:
        """Raises UnfitError as :func:`parameters`, and where no weight is left or some are not finite."""
        self.model, self.storage = model, storage
        self.bits = FORMATS[storage].bits
        self.layers: list[Layer] = []
        for name, parameter in parameters(model).items():
            flat = parameter.detach().flatten()
            places = flat.nonzero().flatten()
            if not len(places):
                continue
            values = flat[places].cpu()
            scale = scale_of(values, storage)
            try:
                codes = encode(values, storage, scale).numpy()
            except ValueError as error:
                raise UnfitError(f"{name}: {error}") from None
            self.layers.append(Layer(name, parameter, places, codes, scale))
        if not self.layers:
            raise UnfitError("all weights are zero: none is left to be changed")
        self._ends = np.cumsum([len(layer.codes) for layer in self.layers])
        self._original = [layer.codes.copy() for layer in self.layers]
        for i in range(len(self.layers)):
            self._write(i)

    def __len__(self) -> int:
        """Surviving weights."""
        return int(self._ends[-1])

    def flip(self, flip: Flip) -> None:
        """Flip one bit; a second time, and it is as it was."""
        layer = self.layers[flip.layer]
        layer.codes[flip.place] ^= pattern(np.array([flip.bit]), self.storage)[0]
        self._write(flip.layer, np.array([flip.place]))

    def scatter(self, bits: NDArray[np.int64]) -> None:
        """Flip bits by their number: bit b of survivor i, over all layers, is i × width + b."""
        index, bit = np.divmod(bits, self.bits)
        owner = np.searchsorted(self._ends, index, side="right")
        starts = self._ends - [len(layer.codes) for layer in self.layers]
        for i in np.unique(owner):
            mine = owner == i
            places = index[mine] - starts[i]
            np.bitwise_xor.at(self.layers[i].codes, places, pattern(bit[mine], self.storage))
            self._write(int(i), np.unique(places))

    def restore(self) -> None:
        """Undo every flip."""
        for i, (layer, original) in enumerate(zip(self.layers, self._original, strict=True)):
            changed = np.flatnonzero(layer.codes != original)
            if len(changed):
                layer.codes[changed] = original[changed]
                self._write(i, changed)

    @torch.no_grad()
    def _write(self, number: int, some: NDArray[np.int64] | None = None) -> None:
        """Give the model what the codes of a layer say."""
        layer = self.layers[number]
        codes = layer.codes if some is None else layer.codes[some]
        places = (
            layer.places if some is None else layer.places[torch.from_numpy(some).to(layer.places.device)]
        )
        values = decode(torch.from_numpy(codes), self.storage, layer.scale)
        layer.parameter.view(-1)[places] = values.to(layer.parameter.device)
