"""The injection classifier's network in torch, the same sums as services/guard/classifier/network.py. Knows no text."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from services.guard.classifier.features import NUMBERS, ROWS
from services.guard.classifier.network import DILATION, HEADS

COLUMNS = 32
CHANNELS = 64
HIDDEN = 48
LOOKUP_DROPOUT = 0.12
TOKEN_DROPOUT = 0.06


class InjectionNetwork(nn.Module):
    """Rows of tokens and the stretch that is judged to log odds of an attack, for both kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(ROWS, COLUMNS, mode="sum")
        nn.init.normal_(self.table.weight, std=0.08)
        self.near = nn.Linear(3 * COLUMNS, CHANNELS)
        self.far = nn.Linear(3 * CHANNELS, CHANNELS)
        joined = 3 * CHANNELS + NUMBERS
        self.hidden = nn.ModuleList(nn.Linear(joined, HIDDEN) for _ in HEADS)
        self.out = nn.ModuleList(nn.Linear(HIDDEN, 1) for _ in HEADS)
        self.dropout = nn.Dropout(0.1)

    def forward(self, rows: Tensor, tokens: Tensor, stretch: Tensor, numbers: Tensor) -> Tensor:
        """
        Args:
            rows: (b, t, LOOKUPS) int64.
            tokens: (b, t) which are there.
            stretch: (b, t) which are judged.
            numbers: (b, NUMBERS).

        Returns:
            (b, 2) log odds, one for each of HEADS.
        """
        here = tokens[..., None].float()
        weights = None
        if self.training:
            weights = (torch.rand((int(tokens.sum()), rows.shape[2])) > LOOKUP_DROPOUT).float()
            weights *= (torch.rand((len(weights), 1)) > TOKEN_DROPOUT).float()
        # Only what is there is looked up: most of a batch's cost is here.
        summed = self.near.weight.new_zeros((*tokens.shape, COLUMNS))
        summed[tokens] = self.table(rows[tokens], per_sample_weights=weights)
        near = functional.relu(self.near(_taps(summed, 1))) * here
        channels = (near + functional.relu(self.far(_taps(near, DILATION)))) * here
        judged = stretch[..., None]
        most = channels.masked_fill(~judged, -1.0).amax(1).clamp(min=0)
        mean = (channels * judged).sum(1) / judged.sum(1).clamp(min=1)
        around = channels.sum(1) / here.sum(1).clamp(min=1)
        joined = self.dropout(torch.cat([most, mean, around, numbers], 1))
        logits = [out(functional.relu(hidden(joined))) for hidden, out in zip(self.hidden, self.out, strict=True)]
        return torch.cat(logits, 1)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The weights as services/guard/classifier/network.py reads them: the table as int8, one scale a row."""
        table = self.table.weight.detach().numpy()
        scale = np.maximum(np.abs(table).max(1) / 127, 1e-6).astype(np.float16)
        found: dict[str, NDArray[Any]] = {
            "table": np.clip(np.round(table / scale.astype(np.float32)[:, None]), -127, 127).astype(np.int8),
            "table_scale": scale,
        }
        for name, layer in (("near", self.near), ("far", self.far)):
            found |= {name: _half(layer.weight.T), f"{name}_bias": _half(layer.bias)}
        for kind, hidden, out in zip(HEADS, self.hidden, self.out, strict=True):
            found |= {f"{kind}_hidden": _half(hidden.weight.T), f"{kind}_hidden_bias": _half(hidden.bias)}
            found |= {f"{kind}_out": _half(out.weight[0]), f"{kind}_out_bias": _half(out.bias)}
        return found


def _half(value: Tensor) -> NDArray[np.float16]:
    return value.detach().numpy().astype(np.float16)


def _taps(values: Tensor, dilation: int) -> Tensor:
    """(b, t, 3 c): each token beside those `dilation` before and after it, zeros beyond the ends."""
    t = values.shape[1]
    padded = functional.pad(values, (0, 0, dilation, dilation))
    return torch.cat([padded[:, :t], values, padded[:, 2 * dilation : 2 * dilation + t]], 2)
