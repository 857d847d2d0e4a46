"""Common corruptions: what happens to images without an attacker (Hendrycks & Dietterich 2019).

Five kinds, five severities each, with the strengths that the paper's authors use for CIFAR-10. Each function
takes images (N, C, H, W) scaled to [0, 1] and a severity 1 … 5; what it returns is clipped to [0, 1].
"""

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks._model import logits_of
from attacks._rates import rate
from attacks.evasion._random import normal
from attacks.probe import Measurement, Target

METRIC = "corruption_accuracy"
SEVERITIES = (1, 2, 3, 4, 5)
NO_IMAGES = "the inputs are no images (N, channels, height, width): common corruptions are defined for images"

_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
"""Quantisation of the 8×8 cosine coefficients at quality 50 (ITU-T T.81, annex K)."""


def noise(images: Tensor, severity: int, seeds: Tensor) -> Tensor:
    """Gaussian noise of standard deviation 0.04 … 0.1."""
    deviation = (0.04, 0.06, 0.08, 0.09, 0.10)[severity - 1]
    return images + deviation * normal(seeds, images.shape[1:]).to(images)


def blur(images: Tensor, severity: int, seeds: Tensor) -> Tensor:
    """Gaussian blur of standard deviation 0.4 … 1 pixel."""
    del seeds
    deviation = (0.4, 0.6, 0.7, 0.8, 1.0)[severity - 1]
    at = torch.arange(-4, 5, device=images.device, dtype=images.dtype)
    weights = (-at.square() / (2 * deviation**2)).exp()
    weights = weights / weights.sum()
    channels = images.shape[1]
    padded = F.pad(images, (4, 4, 4, 4), mode="replicate")
    across = F.conv2d(padded, weights.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(across, weights.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)


def contrast(images: Tensor, severity: int, seeds: Tensor) -> Tensor:
    """Each channel drawn towards its mean, to 0.75 … 0.15 of its spread."""
    del seeds
    kept = (0.75, 0.5, 0.4, 0.3, 0.15)[severity - 1]
    mean = images.mean(dim=(2, 3), keepdim=True)
    return mean + kept * (images - mean)


def brightness(images: Tensor, severity: int, seeds: Tensor) -> Tensor:
    """Every value raised by 0.05 … 0.3."""
    del seeds
    return images + (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]


def jpeg(images: Tensor, severity: int, seeds: Tensor) -> Tensor:
    """The loss of JPEG at quality 80 … 40: cosine coefficients of 8×8 blocks are rounded, channel by channel.

    Like JPEG, without its change of colour space and its subsampling of colour.
    """
    del seeds
    quality = (80, 65, 58, 50, 40)[severity - 1]
    scale = 50 / quality if quality < 50 else 2 - quality / 50
    table = torch.tensor(_LUMINANCE, device=images.device, dtype=images.dtype).mul(scale).clamp(min=1)
    height, width = images.shape[2:]
    padded = F.pad(images, (0, -width % 8, 0, -height % 8), mode="replicate").mul(255).sub(128)
    count, channels, high, wide = padded.shape
    blocks = padded.view(count, channels, high // 8, 8, wide // 8, 8).transpose(3, 4)
    cosine = _cosine(images)
    rounded = (cosine @ blocks @ cosine.T / table).round() * table
    back = (cosine.T @ rounded @ cosine).transpose(3, 4).reshape(padded.shape)
    return back[:, :, :height, :width].add(128).div(255)


def _cosine(like: Tensor) -> Tensor:
    """The orthonormal cosine transform of 8 values, (8, 8)."""
    at = torch.arange(8, device=like.device, dtype=torch.float64)
    matrix = ((2 * at + 1) * at.unsqueeze(1) * math.pi / 16).cos() / 2
    matrix[0] /= math.sqrt(2)
    return matrix.to(like)


CORRUPTIONS: dict[str, Callable[[Tensor, int, Tensor], Tensor]] = {
    "noise": noise,
    "blur": blur,
    "contrast": contrast,
    "brightness": brightness,
    "jpeg": jpeg,
}


def corrupted(target: Target, generator: torch.Generator) -> list[Measurement]:
    """Accuracy under each corruption at each severity; natural errors count as errors."""
    seeds = torch.randint(2**62, (len(target.test),), generator=generator, device=generator.device)
    return rows(hits(target, seeds))


def hits(target: Target, seeds: Tensor) -> dict[tuple[str, int], Tensor]:
    """By corruption and severity, what the model gets right, (n,) bool; empty where inputs are no images.
    ``seeds``: (n,) int64."""
    test, found = target.test, dict[tuple[str, int], Tensor]()
    if test.x.ndim != 4:
        return found
    low, width = target.bounds[0], target.bounds[1] - target.bounds[0]
    images = (test.x - low) / width
    for name, corrupt in CORRUPTIONS.items():
        for severity in SEVERITIES:
            changed = corrupt(images, severity, seeds.to(images.device)).clamp(0, 1) * width + low
            logits = logits_of(target.model, changed, batch_size=target.batch_size, device=target.device)
            found[name, severity] = logits.argmax(dim=1) == test.y.cpu()
    return found


def rows(found: Mapping[tuple[str, int], Tensor]) -> list[Measurement]:
    """The rows of :func:`hits`."""
    if not found:
        return [Measurement(METRIC, status="not_applicable", note=NO_IMAGES)]
    return [
        rate(METRIC, correct, "correct", {"corruption": name, "severity": severity})
        for (name, severity), correct in found.items()
    ]
