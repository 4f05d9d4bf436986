"""The small talk head: a table of hashed features, their sum over the root of their number, one hidden layer, seven logits.

It does not know where features come from.
"""

# mypy: allow-subclassing-any
# Torch is installed for training only, so that the type checker of the other parts sees none of it.
from __future__ import annotations

import torch
from ragmesh_models.intents import BUCKETS, LABELS
from torch import Tensor, nn

WIDTH = 24
HIDDEN = 48


class IntentHead(nn.Module):
    """Feature rows to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(BUCKETS, WIDTH, padding_idx=0)
        nn.init.normal_(self.table.weight, std=0.05)
        with torch.no_grad():
            self.table.weight[0] = 0
        self.hidden = nn.Linear(WIDTH, HIDDEN)
        self.dropout = nn.Dropout(0.1)
        self.out = nn.Linear(HIDDEN, len(LABELS))

    def forward(self, ids: Tensor) -> Tensor:
        """ids: (b, t), 0 is padding. -> (b, 7) logits"""
        count = (ids != 0).sum(1, keepdim=True).clamp(min=1)  # (b, 1)
        summed = self.table(ids).sum(1) / count.sqrt()  # (b, WIDTH)
        return self.after(summed)

    def after(self, summed: Tensor) -> Tensor:
        logits: Tensor = self.out(self.dropout(torch.relu(self.hidden(summed))))
        return logits


class ServedIntentHead(nn.Module):
    """What is exported: int8 rows with one scale each, logits over a temperature, probabilities."""

    def __init__(self, trained: IntentHead, temperature: float) -> None:
        super().__init__()
        table = trained.table.weight.detach()
        scale = table.abs().amax(dim=1).clamp(min=1e-8) / 127  # (rows,)
        self.register_buffer("table", torch.round(table / scale[:, None]).to(torch.int8))
        self.register_buffer("scale", scale)
        self.table: Tensor
        self.scale: Tensor
        self.trained = trained
        self.temperature = temperature

    def forward(self, ids: Tensor) -> Tensor:
        """ids: (b, t) int32. -> (b, 7) probabilities"""
        count = (ids != 0).to(torch.float32).sum(1, keepdim=True).clamp(min=1)
        summed = (self.scale[ids][:, None, :] @ self.table[ids].to(torch.float32))[:, 0] / count.sqrt()
        return torch.softmax(self.trained.after(summed) / self.temperature, dim=-1)
