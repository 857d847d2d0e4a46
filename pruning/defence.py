"""What fine-tuning can add to its loss, so that members are harder to tell from others."""

from torch import Tensor
from torch.nn import functional as F


def posterior_balancing(logits: Tensor, weight: float) -> Tensor:
    """λ times the mean divergence between the sorted posteriors of pairs of examples: a number ≥ 0.

    ``logits``: (N, classes) of a batch, whose first half is paired with its second (a lone last example is in
    no pair). Sorted, a posterior says how sure the model is, and not of what: pairs that are equally sure are
    not pulled apart, so that certainty tells less of who was trained on. Yuan & Zhang 2022 (USENIX Security,
    arXiv:2202.03335), pair-based posterior balancing: KL(R(f(x_j)) ‖ R(f(x_i))), as in the authors' code.
    """
    half = len(logits) // 2
    if half == 0:
        return logits.new_zeros(())
    ranked = logits.sort(dim=1, descending=True).values
    one, other = F.log_softmax(ranked[:half], 1), F.softmax(ranked[half : 2 * half], 1)
    return weight * F.kl_div(one, other, reduction="batchmean")
