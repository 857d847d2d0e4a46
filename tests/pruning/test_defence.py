"""Pair-based posterior balancing against scipy, and against what it is for."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional as F

from pruning.defence import posterior_balancing

logits = arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(2, 5)), elements=st.floats(-8, 8))


@given(logits, st.floats(0.1, 10))
def test_it_is_the_divergence_of_sorted_posteriors_of_pairs(x, weight):
    half = len(x) // 2
    p = np.sort(softmax(x, axis=1), axis=1)
    wanted = [entropy(p[half + i], p[i]) for i in range(half)]
    found = posterior_balancing(torch.from_numpy(x), weight)
    assert found.item() == pytest.approx(weight * (np.mean(wanted) if half else 0.0), abs=1e-9)


@given(logits, st.randoms())
def test_whose_answer_it_is_does_not_matter(x, luck):
    order = list(range(x.shape[1]))
    luck.shuffle(order)
    whole = torch.from_numpy(np.concatenate([x, x[:, order]]))
    assert posterior_balancing(whole, 1.0).item() < 1e-9


def loss_of(x: Tensor, y: Tensor, members: int, weight: float) -> Tensor:
    """The loss of each example under a model that has learnt the first ``members`` by heart."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 4))
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(300):
        order = torch.randperm(members)
        out = model(x[order])
        loss = F.cross_entropy(out, y[order]) + posterior_balancing(out, weight)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return F.cross_entropy(model(x), y, reduction="none").detach()


@pytest.mark.parametrize("seed", range(3))
def test_members_are_harder_to_tell_by_their_loss(seed):
    luck = torch.Generator().manual_seed(seed)
    x = torch.randn(600, 20, generator=luck)
    y = x[:, :4].argmax(1)
    noisy = torch.rand(600, generator=luck) < 0.2
    y[noisy] = torch.randint(0, 4, (int(noisy.sum()),), generator=luck)
    member = np.arange(600) < 100
    plain, balanced = (roc_auc_score(member, -loss_of(x, y, 100, weight)) for weight in (0.0, 4.0))
    assert plain > 0.85
    assert balanced < plain - 0.1
