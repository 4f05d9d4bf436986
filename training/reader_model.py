"""The reader: one small encoder over question and passage with heads for passage, sentence, span, no answer and yes or no.

Word rows are stem rows (begun from word vectors) plus the mean of piece rows; match features enter at the positions and the lexical
sentence features again at the heads. A block is a depthwise convolution, attention, and a feed-forward layer, each on a normalised
residual (the encoder of Yu et al., "QANet", 2018, in small).
"""

# mypy: allow-subclassing-any
# Torch is installed for training only, so that the type checker of the other parts sees none of it.
from __future__ import annotations

from dataclasses import dataclass

import torch
from ragmesh_models.questions import KINDS
from ragmesh_models.reading import NONE
from ragmesh_models.reading_features import POSITION_FEATURES, SENTENCE_FEATURES
from ragmesh_models.reading_text import MAX_QUESTION, RESERVED
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Sizes:
    stems: int = 24_000
    pieces: int = 12_288
    width: int = 192
    blocks: int = 4
    heads: int = 4
    inner: int = 576
    kernel: int = 5
    dropout: float = 0.1


class Block(nn.Module):
    """(B, T, d) -> (B, T, d)"""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.width
        self.heads = sizes.heads
        self.near = nn.LayerNorm(width)
        self.depthwise = nn.Conv1d(width, width, sizes.kernel, padding=sizes.kernel // 2, groups=width)
        self.pointwise = nn.Linear(width, width)
        self.far = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)
        self.deep = nn.LayerNorm(width)
        self.up = nn.Linear(width, sizes.inner)
        self.down = nn.Linear(sizes.inner, width)
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, x: Tensor, present: Tensor, bias: Tensor) -> Tensor:
        """x (B, T, d); present (B, T, 1); bias (B, 1, 1, T), 0 or very negative."""
        batch, length, width = x.shape
        local = self.depthwise((self.near(x) * present).transpose(1, 2)).transpose(1, 2)
        x = x + self.pointwise(functional.gelu(local))
        parts = self.project(self.far(x)).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        # Written out: torch's fused attention with a mask takes almost three times as long on a CPU, most of it going back.
        scores = parts[0] * (width // self.heads) ** -0.5 @ parts[1].transpose(2, 3) + bias.to(parts.dtype)
        found = torch.softmax(scores, dim=-1).to(parts.dtype) @ parts[2]
        x = x + self.join(found.transpose(1, 2).reshape(batch, length, width))
        return x + self.dropout(self.down(functional.gelu(self.up(self.deep(x)))))


class JointReader(nn.Module):
    """Pairs of a question and a window to start, end, sentence, passage and yes/no logits."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        width = sizes.width
        self.stems = nn.Embedding(sizes.stems + RESERVED, width, padding_idx=0)
        self.pieces = nn.Embedding(sizes.pieces + 1, width, padding_idx=0)
        nn.init.normal_(self.stems.weight, std=0.3)
        nn.init.normal_(self.pieces.weight, std=0.1)
        self.kind = nn.Embedding(len(KINDS), width)
        nn.init.normal_(self.kind.weight, std=0.1)
        self.features = nn.Linear(POSITION_FEATURES, width)
        self.align = nn.Linear(width, width)
        self.aligned = nn.Linear(width, width)
        self.enter = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Block(sizes) for _ in range(sizes.blocks))
        self.leave = nn.LayerNorm(width)
        self.span = nn.Linear(width, 2)
        self.span_features = nn.Linear(POSITION_FEATURES, 2)
        self.span_asked = nn.Linear(width, width)
        self.weigh = nn.Linear(width, 2)
        scored = len(SENTENCE_FEATURES)
        self.register_buffer("mean", torch.zeros(scored))
        self.register_buffer("scale", torch.ones(scored))
        self.mean: Tensor
        self.scale: Tensor
        self.sentence = nn.Sequential(
            nn.Linear(3 * width + scored, width), nn.GELU(), nn.Dropout(sizes.dropout), nn.Linear(width, 1)
        )
        self.passage = nn.Sequential(
            nn.Linear(3 * width + 2 * scored, width), nn.GELU(), nn.Dropout(sizes.dropout), nn.Linear(width, 4)
        )
        self.dropout = nn.Dropout(sizes.dropout)

    def words(self, rows: Tensor, pieces: Tensor) -> Tensor:
        """(B, T), (B, T, P) -> (B, T, d)"""
        count = (pieces > 0).sum(-1, keepdim=True).clamp(min=1)
        return self.stems(rows) + self.pieces(pieces).sum(2) / count

    def forward(
        self, rows: Tensor, pieces: Tensor, features: Tensor, member: Tensor, sentence_features: Tensor, kind: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """rows (B, T), 0 is padding; pieces (B, T, P); features (B, T, F); member (B, S, T), 1 where a position is in a sentence;
        sentence_features (B, S, G); kind (B,)

        -> start (B, T), end (B, T), sentence (B, S), passage (B,), said (B, 3): neither, yes, no
        """
        here = (rows > 0).to(features.dtype)  # (B, T)
        present = here[..., None]
        bias = ((1 - here) * NONE)[:, None, None, :]
        asked, read = features[..., -3:-2], features[..., -1:]  # (B, T, 1): question, passage positions
        word = self.dropout(self.words(rows, pieces))
        keys = functional.relu(self.align(word))
        # The question stands first: nothing behind its longest form can be looked at.
        of_question_only = (1 - asked[:, :MAX_QUESTION].transpose(1, 2)) * NONE
        likeness = keys @ keys[:, :MAX_QUESTION].transpose(1, 2) / self.sizes.width**0.5 + of_question_only
        soft = torch.softmax(likeness.float(), dim=-1).to(word.dtype) @ word[:, :MAX_QUESTION]
        x = word + self.features(features) + self.kind(kind)[:, None] + self.aligned(soft)
        x = self.dropout(self.enter(x)) * present
        for block in self.blocks:
            x = block(x, present, bias)
        x = self.leave(x)
        weights = self.weigh(x).float()  # (B, T, 2): in the question, in the passage
        of_question = torch.softmax(weights[..., :1] + (1 - asked) * NONE, dim=1)
        question = (of_question * x).sum(1)  # (B, d)
        # The question as a gate on the states: what is wanted decides which of them count.
        span = self.span(x * (1 + torch.tanh(self.span_asked(question))[:, None])) + self.span_features(features)
        span = span + (1 - read) * NONE
        exponent = torch.exp(weights[..., 1:].clamp(-8, 8)) * read
        mass = member @ exponent  # (B, S, 1)
        pooled = member @ (exponent * x) / (mass + 1e-6)
        plain = member @ x / (member.sum(-1, keepdim=True) + 1e-6)
        real = (member.sum(-1) > 0).to(x.dtype)  # (B, S)
        described = (sentence_features - self.mean) / self.scale * real[..., None]
        around = question[:, None].expand(-1, member.shape[1], -1)
        sentence = self.sentence(torch.cat([pooled, plain * around, around, described], dim=-1))[..., 0]
        sentence = sentence + (1 - real) * NONE
        chosen = torch.softmax(sentence.float(), dim=-1)[..., None]  # (B, S, 1)
        whole = (exponent * x).sum(1) / (exponent.sum(1) + 1e-6)
        best = described.masked_fill(real[..., None] == 0, NONE).amax(1).clamp(min=-8)
        passage = self.passage(torch.cat([(chosen * pooled).sum(1), whole, question, (chosen * described).sum(1), best], dim=-1))
        return span[..., 0], span[..., 1], sentence, passage[:, 0], passage[:, 1:]
