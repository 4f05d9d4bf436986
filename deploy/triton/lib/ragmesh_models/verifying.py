"""Says of each claim whether its evidence supports it, contradicts it or leaves it open.

A network reads how the claim lies beside the evidence (`alignment`), and its answer is calibrated. Above it stands the hard layer
(`claim_facts`): a claim with a number, date or name that the evidence does not give is never supported. This module does not know
Triton.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragmesh_models.alignment import PAIR_NAMES, TOKEN_NAMES, Aligned, aligned_of
from ragmesh_models.claim_facts import Read, read
from ragmesh_models.runtime import open_graph
from ragmesh_models.word_table import WordTable

LABELS = ("supported", "contradicted", "unknown")
MAX_PAIRS = 256  # of one call
MAX_CLAIM_BYTES = 8 * 1024
MAX_EVIDENCE_BYTES = 64 * 1024
MAX_BYTES = 1024 * 1024  # of one call
MAX_BATCH = 64  # rows of one run of the graph
FILES = ("verifier.onnx", "verifier.json", "words.bin")
# Above the knee a capped probability rises slowly and stays below 0.5, so that such claims still compare with each other.
_KNEE, _CAP = 0.4, 0.49


@dataclass(frozen=True)
class Verdicts:
    """One row a claim."""

    probabilities: NDArray[np.float32]  # (n, 3) in the order of LABELS
    missing: NDArray[np.bool_]  # (n,) the hard layer's finding


def collate(rows: Sequence[Aligned], table: WordTable) -> dict[str, NDArray[np.float32]]:
    """The graph's inputs for a batch, padded to its longest claim: tokens (b, t, F), claim and evidence (b, t, D), pair (b, P),
    mask (b, t)."""
    width = max(len(row.tokens) for row in rows)
    dimensions = table.vectors.shape[1]
    feeds = {
        "tokens": np.zeros((len(rows), width, len(TOKEN_NAMES)), dtype=np.float32),
        "claim": np.zeros((len(rows), width, dimensions), dtype=np.float32),
        "evidence": np.zeros((len(rows), width, dimensions), dtype=np.float32),
        "pair": np.zeros((len(rows), len(PAIR_NAMES)), dtype=np.float32),
        "mask": np.zeros((len(rows), width), dtype=np.float32),
    }
    for n, row in enumerate(rows):
        count = len(row.tokens)
        feeds["tokens"][n, :count] = row.tokens
        feeds["claim"][n, :count] = table.vectors[row.claim_rows]
        feeds["evidence"][n, :count] = table.vectors[row.evidence_rows]
        feeds["pair"][n] = row.pair
        feeds["mask"][n, :count] = 1
    return feeds


def calibrated(logits: NDArray[np.floating[Any]], scale: float, shift: Sequence[float]) -> NDArray[np.float64]:
    """softmax(scale * logits + shift), (n, 3)."""
    moved = scale * np.asarray(logits, dtype=np.float64) + np.asarray(shift)
    moved = np.exp(moved - moved.max(1, keepdims=True))
    return np.asarray(moved / moved.sum(1, keepdims=True))


def capped(probabilities: NDArray[np.float64], missing: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Where a fact is missing, what `supported` has over the cap goes to the two others, as they stand to each other."""
    supported = probabilities[:, 0]
    bent = np.where(supported > _KNEE, _KNEE + (supported - _KNEE) * (_CAP - _KNEE) / (1 - _KNEE), supported)
    kept = np.where(missing, bent, supported)
    others = probabilities[:, 1:] + 1e-9
    return np.column_stack([kept, others / others.sum(1, keepdims=True) * (1 - kept)[:, None]])


class Verifier:
    """The exported network with its calibration and its words."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.graph = open_graph(folder / "verifier.onnx", threads)
        self.table = WordTable.load(folder / "words.bin")
        config = json.loads((folder / "verifier.json").read_text(encoding="utf-8"))
        self._scale, self._shift = float(config["scale"]), [float(value) for value in config["shift"]]

    @staticmethod
    def files(folder: Path) -> list[Path]:
        """What the model loads, for its digest."""
        return [folder / name for name in FILES]

    def __call__(self, claims: Sequence[str], evidence: Sequence[str]) -> Verdicts:
        """Row n judges claims[n] by evidence[n]."""
        if not claims:
            return Verdicts(np.zeros((0, 3), np.float32), np.zeros(0, bool))
        read_once: dict[str, Read] = {}  # the claims of one answer share their evidence
        for text in evidence:
            if text not in read_once:
                read_once[text] = read(text, self.table)
        rows = [
            aligned_of(read(claim, self.table), read_once[said], self.table) for claim, said in zip(claims, evidence, strict=True)
        ]
        parts = [
            self.graph.run(collate(rows[start : start + MAX_BATCH], self.table))["logits"]
            for start in range(0, len(rows), MAX_BATCH)
        ]
        missing = np.array([row.missing.any for row in rows], dtype=bool)
        found = capped(calibrated(np.concatenate(parts), self._scale, self._shift), missing)
        return Verdicts(found.astype(np.float32), missing)
