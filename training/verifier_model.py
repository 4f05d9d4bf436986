"""The verifier's network: a claim's words, each with its alignment, through two narrow convolutions into three logits.

It sees counts, cosines and frozen word vectors, never ids of words it could learn by heart. About 70,000 parameters.
"""

# mypy: allow-subclassing-any
# Torch is installed for training only, so that the type checker of the other parts sees none of it.
from __future__ import annotations

import torch
from ragmesh_models.alignment import PAIR_NAMES, TOKEN_NAMES
from torch import Tensor, nn
from torch.nn import functional

LABELS = 3  # supported, contradicted, unknown
WIDTH = 64


class PairNetwork(nn.Module):
    """The simpler thing before: figures of the pair alone."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(len(PAIR_NAMES)))
        self.register_buffer("scale", torch.ones(len(PAIR_NAMES)))
        self.layers = nn.Sequential(
            nn.Linear(len(PAIR_NAMES), width),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, LABELS),
        )

    def forward(self, tokens: Tensor, claim: Tensor, evidence: Tensor, pair: Tensor, mask: Tensor) -> Tensor:
        logits: Tensor = self.layers((pair - self.mean) / self.scale)
        return logits


class AlignmentNetwork(nn.Module):
    """Words with their alignment, and the figures of the pair, to logits."""

    def __init__(self, dimensions: int, width: int = WIDTH, dropout: float = 0.15) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(len(PAIR_NAMES)))
        self.register_buffer("scale", torch.ones(len(PAIR_NAMES)))
        self.narrow = nn.Linear(dimensions, 24, bias=False)
        self.word = nn.Linear(len(TOKEN_NAMES) + 3 * 24, width)
        self.first = nn.Conv1d(width, width, 3, padding=1)
        self.second = nn.Conv1d(width, width, 3, padding=1)
        self.attend = nn.Linear(width, 4)
        self.hidden = nn.Linear(5 * width + len(PAIR_NAMES), 96)
        self.out = nn.Linear(96, LABELS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, claim: Tensor, evidence: Tensor, pair: Tensor, mask: Tensor) -> Tensor:
        """tokens (b, t, F); claim, evidence (b, t, d) word vectors; pair (b, P); mask (b, t), 1 where a word stands -> (b, 3)"""
        present = mask[:, :, None]
        one, other = self.narrow(self.dropout(claim)), self.narrow(self.dropout(evidence))
        x = functional.relu(self.word(torch.cat([tokens, one, one - other, one * other], dim=-1))) * present  # (b, t, w)
        for layer in (self.first, self.second):
            x = x + functional.relu(layer(self.dropout(x).transpose(1, 2)).transpose(1, 2)) * present
        weights = torch.softmax(self.attend(x).masked_fill(present == 0, -1e4), dim=1)  # (b, t, 4)
        seen = (weights[..., None] * x[:, :, None]).sum(1).flatten(1)  # (b, 4 w)
        worst = (x * present).amax(1)  # relu output and its sums: 0 is the floor
        whole = torch.cat([seen, worst, (pair - self.mean) / self.scale], dim=-1)
        logits: Tensor = self.out(self.dropout(functional.relu(self.hidden(self.dropout(whole)))))
        return logits
