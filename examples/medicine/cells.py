"""The breast cancer table of scikit-learn, half of it to train on, and a net that takes raw measurements."""

import numpy as np
from sklearn.datasets import load_breast_cancer
from torch import nn


def load():
    """x (N, 30) in the table's own units, y: 0 malignant, 1 benign."""
    x, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    train, test = order[:285], order[285:]
    x = x.astype(np.float32)
    return {
        "x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test],
        "classes": ["malignant", "benign"],
    }  # fmt: skip


def build():
    """Batch norm first: the measurements span from hundredths to thousands."""
    return nn.Sequential(nn.BatchNorm1d(30), nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 2))
