"""What single outputs tell of an example: (N, …, classes) logits and labels (N,) → (N, …)."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

Floats = NDArray[np.float64]


def true_class(values: Floats, y: NDArray[np.int64]) -> Floats:
    """Of (N, …, classes) those of the true class, (N, …)."""
    at = y.reshape(-1, *([1] * (values.ndim - 1)))
    found: Floats = np.take_along_axis(values, at, axis=-1)[..., 0]
    return found


def scaled_confidence(logits: NDArray[np.floating], y: NDArray[np.int64]) -> Floats:
    """φ = log p_y − log(1 − p_y), straight from the logits (N, …, classes): (N, …) (Carlini et al. 2022).

    A strictly rising function of −loss, so it orders examples as −loss does, but it does not tie where p_y
    rounds to 1 (most members' does).
    """
    others = logits.astype(np.float64)  # a copy
    own = true_class(others, y)
    at = y.reshape(-1, *([1] * (logits.ndim - 1)))
    np.put_along_axis(others, at, -np.inf, axis=-1)
    most = others.max(axis=-1)
    others -= most[..., None]
    np.exp(others, out=others)
    found: Floats = own - most - np.log(others.sum(axis=-1))
    return found


def max_confidence(logits: Floats) -> Floats:
    """The log-odds of the likeliest class: rises with its probability, and does not tie near 1."""
    return scaled_confidence(logits, logits.argmax(axis=-1))


def log_probabilities(logits: Floats) -> tuple[Floats, Floats]:
    """log p and log(1 − p) of every class, exact where p nears 1, too; (…, classes) each."""
    top = logits.argmax(axis=-1)
    sure = scaled_confidence(logits, top)[..., None]  # p / (1 − p) = exp(φ)
    log_p = log_softmax(logits, axis=-1)
    np.put_along_axis(log_p, top[..., None], -np.logaddexp(0, -sure), axis=-1)
    with np.errstate(divide="ignore"):  # only at the top, which is replaced
        log_rest = np.log1p(-np.exp(log_p))
    np.put_along_axis(log_rest, top[..., None], -np.logaddexp(0, sure), axis=-1)
    return log_p, log_rest


def entropy(logits: Floats) -> Floats:
    """−Σ p log p (Song & Mittal 2021)."""
    log_p, _ = log_probabilities(logits)
    found: Floats = -(np.exp(log_p) * log_p).sum(axis=-1)
    return found


def modified_entropy(logits: Floats, y: NDArray[np.int64]) -> Floats:
    """−(1 − p_y) log p_y − Σ_{i≠y} p_i log(1 − p_i) (Song & Mittal 2021)."""
    log_p, log_rest = log_probabilities(logits)
    others = np.exp(log_p) * log_rest
    np.put_along_axis(others, y[..., None], 0.0, axis=-1)
    found: Floats = -np.exp(true_class(log_rest, y)) * true_class(log_p, y) - others.sum(axis=-1)
    return found


def lowness(values: Floats) -> Floats:
    """−log of values above zero: rises as they fall, and keeps the smallest apart in single precision."""
    found: Floats = -np.log(np.maximum(values, 1e-300))
    return found


def hinge(logits: Floats, y: NDArray[np.int64]) -> Floats:
    """z_y − max_{i≠y} z_i."""
    others = logits.astype(np.float64, copy=True)
    np.put_along_axis(others, y[:, None], -np.inf, axis=-1)
    found: Floats = true_class(logits, y) - others.max(axis=-1)
    return found
