"""A table of loans, made up: whether one is paid back follows income, debt, amount and age, and luck."""

import numpy as np
from torch import nn


def load():
    """x (N, 5): age, years with the bank, income, debt and amount in thousands; y: 1 if paid back."""
    rng = np.random.default_rng(0)
    n = 2000
    age = rng.uniform(18, 90, n)
    years = rng.uniform(0, 1, n) * np.minimum(60, age - 18)
    income, debt = rng.gamma(4, 12, n).clip(0, 500), rng.gamma(1.5, 20, n).clip(0, 500)
    amount = rng.uniform(1, 100, n)
    score = 0.05 * income - 0.03 * debt - 0.02 * amount + 0.01 * age + 0.02 * years
    y = (score + rng.normal(0, 0.3, n) > np.median(score)).astype(np.int64)
    x = np.stack([age, years, income, debt, amount], axis=1).astype(np.float32)
    half = n // 2
    return {
        "x_train": x[:half], "y_train": y[:half], "x_test": x[half:], "y_test": y[half:],
        "classes": ["defaults", "pays"],
    }  # fmt: skip


def build():
    """Batch norm first: years and thousands are not alike."""
    return nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 2))
