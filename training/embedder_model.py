"""The embedder: a table of token and stem rows, a learned weight of each row for queries and for passages, a sum, a unit vector.

No position, no attention: what a text says is the weighted sum of what it is made of. That costs microseconds on a CPU and trains
in minutes. The module does not know where the rows come from.
"""

# mypy: allow-subclassing-any
# Torch is installed for training only, so that the type checker of the other parts sees none of it.
from __future__ import annotations

import torch
from ragmesh_models.embedding import DIMENSIONS, ROWS
from torch import Tensor, nn
from torch.nn import functional


class SumEmbedder(nn.Module):
    """Rows to unit vectors."""

    def __init__(self, rows: int = ROWS, dimensions: int = DIMENSIONS) -> None:
        super().__init__()
        self.table = nn.Embedding(rows, dimensions)
        nn.init.normal_(self.table.weight, std=dimensions**-0.5)
        # log-weights: [0] for queries, [1] for passages
        self.log_weight = nn.Parameter(torch.zeros(2, rows))
        self.log_scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, ids: Tensor, often: Tensor, starts: Tensor, kind: int) -> Tensor:
        """ids, often: (n,) flat; starts: (b,) where each text begins. -> (b, dimensions)"""
        weights = often * self.log_weight[kind][ids].exp()  # (n,)
        summed = functional.embedding_bag(ids, self.table.weight, starts, mode="sum", per_sample_weights=weights)
        return functional.normalize(summed, dim=-1)

    def loss(self, queries: Tensor, passages: Tensor, same: Tensor) -> Tensor:
        """Contrast within the batch, both ways. `same` (b, b) marks off-diagonal pairs that are no negatives."""
        scores = queries @ passages.T * self.log_scale.clamp(max=4.6).exp()  # (b, b)
        scores = scores.masked_fill(same, -1e4)
        gold = torch.arange(len(scores))
        return (functional.cross_entropy(scores, gold) + functional.cross_entropy(scores.T, gold)) / 2


class QuantisedEmbedder(nn.Module):
    """What is exported: int8 rows with one scale each, folded into the two row weights."""

    def __init__(self, trained: SumEmbedder) -> None:
        super().__init__()
        table = trained.table.weight.detach()
        scale = table.abs().amax(dim=1).clamp(min=1e-8) / 127  # (rows,)
        self.register_buffer("table", torch.round(table / scale[:, None]).to(torch.int8))
        self.register_buffer("weight", trained.log_weight.detach().exp() * scale)  # (2, rows)
        self.table: Tensor
        self.weight: Tensor

    def forward(self, ids: Tensor, weights: Tensor, kind: Tensor) -> Tensor:
        """ids, weights: (b, t), weight 0 is padding; kind: (b,). -> (b, dimensions)"""
        strength = torch.where(kind[:, None] == 0, self.weight[0][ids], self.weight[1][ids]) * weights  # (b, t)
        summed = (strength[:, None, :] @ self.table[ids].to(torch.float32))[:, 0]  # (b, dimensions)
        return summed / summed.norm(dim=-1, keepdim=True).clamp(min=1e-9)
