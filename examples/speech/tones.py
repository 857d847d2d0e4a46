"""Tones of four pitches in noise, sampled 256 times, and a net that listens to them."""

import numpy as np
from torch import nn


def load():
    """x (N, 1, 256) in [-1, 1], y: the pitch."""
    rng = np.random.default_rng(0)
    n = 800
    y = rng.integers(0, 4, n)
    pitch = np.array([8, 12, 18, 27])[y] * rng.uniform(0.95, 1.05, n)
    time = np.arange(256) / 256
    wave = np.sin(2 * np.pi * (pitch[:, None] * time + rng.uniform(0, 1, (n, 1))))
    wave = 0.4 * wave + rng.normal(0, 0.1, wave.shape)
    x = wave.clip(-1, 1)[:, None].astype(np.float32)
    return {
        "x_train": x[:400], "y_train": y[:400], "x_test": x[400:], "y_test": y[400:],
        "classes": ["low", "middle", "high", "shrill"],
    }  # fmt: skip


def build():
    """Two convolutions over time, and how loud each of their channels is."""
    return nn.Sequential(
        nn.Conv1d(1, 16, 31, padding=15), nn.ReLU(), nn.MaxPool1d(4),
        nn.Conv1d(16, 16, 9, padding=4), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, 4),
    )  # fmt: skip
