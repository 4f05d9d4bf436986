"""The answerer's network: every candidate sentence is scored in sight of the others; the list as a whole gets an answerability.

It sees features only, never words. Sizes are small enough that a list of hundreds costs under a millisecond.
"""

# mypy: allow-subclassing-any
# Torch is installed for training only, so that the type checker of the other parts sees none of it.
from __future__ import annotations

import torch
from ragmesh_models.features import NAMES
from ragmesh_models.questions import KINDS
from torch import Tensor, nn
from torch.nn import functional

HIDDEN = 64


class ListwiseAnswerer(nn.Module):
    """Features of one padded batch of lists to sentence scores, support logits and answerability logits."""

    def __init__(self, features: int = len(NAMES), kinds: int = len(KINDS), hidden: int = HIDDEN) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.mean: Tensor
        self.scale: Tensor
        self.kind = nn.Embedding(kinds, 16)
        self.first = nn.Linear(features + 16, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.seen = nn.Linear(3 * hidden, hidden)
        self.score = nn.Linear(hidden, 1)
        self.support = nn.Linear(hidden, 1)
        self.list_hidden = nn.Linear(3 * hidden + 16, hidden)
        self.answerable = nn.Linear(hidden, 1)
        self.dropout = nn.Dropout(0.1)

    def forward(self, features: Tensor, kind: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """features (b, n, F); kind (b,); mask (b, n), 1 where a sentence stands.

        -> scores (b, n), support (b, n), answerable (b,)
        """
        present = mask[:, :, None]  # (b, n, 1)
        asked = self.kind(kind)  # (b, 16)
        x = torch.cat([(features - self.mean) / self.scale, asked[:, None].expand(-1, features.shape[1], -1)], dim=-1)
        x = functional.relu(self.first(x))
        x = functional.relu(self.second(self.dropout(x)))  # (b, n, h)
        mean = (x * present).sum(1) / present.sum(1)  # (b, h)
        best = (x * present).amax(1)  # relu output: 0 is the floor
        around = torch.cat([mean, best], dim=-1)[:, None].expand(-1, features.shape[1], -1)
        x = functional.relu(self.seen(self.dropout(torch.cat([x, around], dim=-1))))  # (b, n, h)
        scores = self.score(x)[..., 0].masked_fill(mask == 0, -1e4)  # (b, n)
        chosen = (torch.softmax(scores, dim=-1)[..., None] * x).sum(1)  # (b, h)
        whole = torch.cat([chosen, (x * present).amax(1), mean, asked], dim=-1)
        answerable = self.answerable(functional.relu(self.list_hidden(self.dropout(whole))))[..., 0]
        return scores, self.support(x)[..., 0], answerable


class SingleList(nn.Module):
    """What is exported: one list, no padding. features (n, F), kind (1,) -> scores (n,), support (n,), answerable (1,)"""

    def __init__(self, trained: ListwiseAnswerer) -> None:
        super().__init__()
        self.trained = trained

    def forward(self, features: Tensor, kind: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mask = torch.ones_like(features[None, :, 0])
        scores, support, answerable = self.trained(features[None], kind, mask)
        return scores[0], support[0], answerable
