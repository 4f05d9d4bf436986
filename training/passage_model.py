"""The passage scorer's network: every candidate passage is scored in sight of the others. It sees features only, never words."""

# mypy: allow-subclassing-any
# Torch is installed for training only, so that the type checker of the other parts sees none of it.
from __future__ import annotations

import torch
from ragmesh_models.passage_features import NAMES
from ragmesh_models.questions import KINDS
from torch import Tensor, nn
from torch.nn import functional

HIDDEN = 64
_KIND = 16


class ListwiseScorer(nn.Module):
    """Features of one padded batch of lists to a score of each candidate."""

    def __init__(self, features: int = len(NAMES), kinds: int = len(KINDS), hidden: int = HIDDEN) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.mean: Tensor
        self.scale: Tensor
        self.kind = nn.Embedding(kinds, _KIND)
        self.first = nn.Linear(features + _KIND, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.seen = nn.Linear(3 * hidden, hidden)
        self.score = nn.Linear(hidden, 1)
        # A straight way for the features, so that the network has only to learn what a weighted sum cannot say.
        self.direct = nn.Linear(features, 1, bias=False)
        self.dropout = nn.Dropout(0.1)

    def forward(self, features: Tensor, kind: Tensor, mask: Tensor) -> Tensor:
        """features (b, n, F); kind (b,); mask (b, n), 1 where a candidate stands. -> scores (b, n)"""
        present = mask[:, :, None]  # (b, n, 1)
        given = (features - self.mean) / self.scale
        asked = self.kind(kind)[:, None].expand(-1, features.shape[1], -1)  # (b, n, 16)
        x = functional.relu(self.first(torch.cat([given, asked], dim=-1)))
        x = functional.relu(self.second(self.dropout(x)))  # (b, n, h)
        mean = (x * present).sum(1) / present.sum(1)  # (b, h)
        best = (x * present).amax(1)  # relu output: 0 is the floor
        around = torch.cat([mean, best], dim=-1)[:, None].expand(-1, features.shape[1], -1)
        x = functional.relu(self.seen(self.dropout(torch.cat([x, around], dim=-1))))  # (b, n, h)
        return (self.score(x) + self.direct(given))[..., 0].masked_fill(mask == 0, -1e4)


class SingleList(nn.Module):
    """What is exported: one list, no padding. features (n, F), kind (1,) -> scores (n,)"""

    def __init__(self, trained: ListwiseScorer) -> None:
        super().__init__()
        self.trained = trained

    def forward(self, features: Tensor, kind: Tensor) -> Tensor:
        scores: Tensor = self.trained(features[None], kind, torch.ones_like(features[None, :, 0]))[0]
        return scores
