"""Attention heads as units: torch's attention with some of its heads gone.

A head owns its rows of ``in_proj`` (queries, keys and values), the columns of ``out_proj`` that read it, and
nothing outside. Michel et al. 2019, arXiv:1905.10650, and Voita et al. 2019, arXiv:1905.09418, remove heads.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def of(module: nn.Module) -> int:
    """How many heads can be told apart in a module: none of what is not torch's attention in one projection.

    Biases that stand for further keys (``bias_k``) belong to all heads at once: there are none either.
    """
    if not isinstance(module, nn.MultiheadAttention) or module.in_proj_weight is None:
        return 0
    return 0 if module.bias_k is not None or module.add_zero_attn else int(module.num_heads)


def rows(module: nn.Module) -> tuple[Tensor, Tensor]:
    """The head of each row of ``in_proj``, (3·heads·width,), and of each column of ``out_proj``."""
    assert isinstance(module, nn.MultiheadAttention)
    columns = torch.arange(module.num_heads).repeat_interleave(module.head_dim)
    return columns.repeat(3), columns


class FewerHeads(nn.MultiheadAttention):
    """Attention whose heads together are narrower than its input: torch's own insists that they are not.

    Parameters, their names and their order are torch's; ``in_proj_weight`` is (3·heads·width, inputs).
    """

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As torch's attention; ``is_causal`` is a hint there, and ``attn_mask`` what counts."""
        given = [query, key, value]
        if query.dim() == 2:
            given = [x.unsqueeze(0) for x in given]
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            given = [x.transpose(0, 1) for x in given]
        biases: Any = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        q, k, v = (
            F.linear(x, weight, bias).view(*x.shape[:-1], self.num_heads, self.head_dim).transpose(1, 2)
            for x, weight, bias in zip(given, self.in_proj_weight.chunk(3), biases, strict=True)
        )  # (batch, heads, tokens, width)
        mask = self._mask(q, attn_mask, key_padding_mask)
        dropout = self.dropout if self.training else 0.0
        shares: Tensor | None = None
        if need_weights:
            scores = q @ k.transpose(-2, -1) * self.head_dim**-0.5
            shares = torch.softmax(scores if mask is None else scores + mask, -1)
            shares = F.dropout(shares, dropout)
            out = shares @ v
            shares = shares.mean(1) if average_attn_weights else shares
        else:
            out = F.scaled_dot_product_attention(q, k, v, mask, dropout)
        out = F.linear(out.transpose(1, 2).flatten(2), self.out_proj.weight, self.out_proj.bias)
        if query.dim() == 2:
            return out.squeeze(0), None if shares is None else shares.squeeze(0)
        return out if self.batch_first else out.transpose(0, 1), shares

    def _mask(self, q: Tensor, attention: Tensor | None, padding: Tensor | None) -> Tensor | None:
        """Both masks in one that is added to the scores; True means: not attended to."""
        total: Tensor | None = None
        for mask in (attention, None if padding is None else padding[:, None, None]):
            if mask is None:
                continue
            if mask.dtype == torch.bool:
                mask = torch.zeros_like(mask, dtype=q.dtype).masked_fill_(mask, -torch.inf)
            if mask.dim() == 3:  # one for each example and head
                mask = mask.view(len(q), self.num_heads, *mask.shape[1:])
            total = mask if total is None else total + mask
        return total


def cut(module: nn.MultiheadAttention, kept: Tensor) -> None:
    """Keep these rows of ``in_proj``, in place: whole heads, the same for queries, keys and values."""
    with torch.no_grad():
        for name in ("in_proj_weight", "in_proj_bias"):
            tensor = module._parameters[name]
            if tensor is not None:
                left = tensor.index_select(0, kept.nonzero().flatten().to(tensor.device))
                module._parameters[name] = nn.Parameter(left, requires_grad=tensor.requires_grad)
    module.num_heads = int(kept.sum()) // (3 * module.head_dim)
    module._qkv_same_embed_dim = False  # torch's fused layers take the widths for granted where it is set
    module.__class__ = FewerHeads
