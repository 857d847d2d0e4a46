"""Reviews of eight words made of templates, as vectors of their words; a net that reads them; and an attacker
who writes: words give way to words of the same meaning, one after another."""

import functools

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

MEANINGS = {
    "opener": "the this that our", "thing": "film book play show", "verb": "was seemed felt looked",
    "and": "and", "very": "very really quite truly", "hardly": "hardly barely scarcely never",
    "good": "good fine lovely great", "bad": "bad poor dull awful",
}  # fmt: skip
"""Words of one meaning, which may stand for one another without a change of what a review says."""
WORDS = [word for words in MEANINGS.values() for word in words.split()]
MEANING = [name for name, words in MEANINGS.items() for _ in words.split()]
SIZE = 8


@functools.cache
def vectors():
    """(words, SIZE) in [-1, 1]: words of one meaning lie close together, as in a trained embedding."""
    rng = np.random.default_rng(0)
    centre = {name: rng.uniform(-0.5, 0.5, SIZE) for name in MEANINGS}
    return np.array([centre[m] + rng.uniform(-0.4, 0.4, SIZE) for m in MEANING], dtype=np.float32)


@functools.cache
def load():
    """x (N, SIZE, 8): a vector a word; y: whether the review is favourable ("hardly bad" is)."""
    rng = np.random.default_rng(1)
    reviews = {}
    while len(reviews) < 1000:
        y = int(rng.integers(2))
        pairs = [(how, ("bad", "good")[y == (how == "very")]) for how in rng.choice(["very", "hardly"], 2)]
        plan = ["opener", "thing", "verb", *pairs[0], "and", *pairs[1]]
        words = tuple(int(_usual(rng, wanted)) for wanted in plan)
        if words not in reviews:  # none twice, or held-out reviews would be among the training ones
            reviews[words] = y
    x, y = vectors()[np.array(list(reviews))].transpose(0, 2, 1), np.array(list(reviews.values()))
    return {
        "x_train": x[:500], "y_train": y[:500], "x_test": x[500:], "y_test": y[500:],
        "classes": ["unfavourable", "favourable"],
    }  # fmt: skip


def _usual(rng, meaning):
    """A word of that meaning: the first ones are common, the last is rare."""
    words = [i for i, other in enumerate(MEANING) if other == meaning]
    common = np.array([40, 40, 18, 2])[: len(words)]
    return rng.choice(words, p=common / common.sum())


def build():
    """A convolution over neighbouring words, the strongest answer of each channel, a linear layer."""
    return nn.Sequential(
        nn.Conv1d(SIZE, 32, 2), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(32, 2)
    )


def read(x):
    """The words (N, 8), by number, whose vectors (N, SIZE, 8) are nearest: of a review, its own."""
    table = torch.from_numpy(vectors()).to(x)
    return (x.transpose(1, 2).unsqueeze(2) - table).abs().amax(3).argmin(2)


def write(words):
    """The vectors (N, SIZE, 8) of words (N, 8)."""
    return torch.from_numpy(vectors())[words].transpose(1, 2)


def substitute(model, x, y, eps):
    """Reviews whose words have given way, from the first to the last, each to the one of its meaning, no more
    than ``eps`` standard deviations away, that speaks most against the label (greedy, as Ren et al. 2019,
    doi:10.18653/v1/P19-1103, without their order). Every candidate is a review: its vectors are words'."""
    reach = eps * torch.from_numpy(load()["x_train"].std(axis=(0, 2)))
    table, words = torch.from_numpy(vectors()), read(x)
    started = words.clone()

    def loss(candidates):
        with torch.no_grad():
            return F.cross_entropy(model(write(candidates).to(x)), y, reduction="none")

    most = loss(words)
    for place in range(words.shape[1]):
        for word, meaning in enumerate(MEANING):
            before = started[:, place]
            near = ((table[before] - table[word]).abs() <= reach).all(1)
            same = torch.tensor([MEANING[i] == meaning for i in before.tolist()])
            if not (near & same).any():
                continue
            tried = words.clone()
            tried[:, place] = word
            found = loss(tried)
            better = near & same & (found > most)
            words[better], most[better] = tried[better], found[better]
    return write(words).to(x)
