"""`ragmesh eval verifier`: claims beside evidence, through the served verifier.

Where only two labels occur the task is two-way: `supported` against the rest (or, without it, `contradicted` against the rest). The
baselines are one score each (overlap of the claim with the first sentence of the evidence, with all of it, and what the answerer's
feature scorer makes of the claim as a question), with a threshold that is chosen on other claims.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ragmesh_models import sentences as splitter
from ragmesh_models.lexical import words_of

from cli.errors import CliError
from cli.evaluation.claims import FOLDS, by_threshold, claim_only
from cli.evaluation.figures import auroc
from cli.evaluation.reader import at_once, hear
from cli.evaluation.rows import PairRow, read_rows
from cli.evaluation.run import SYSTEM, EvalRun, Item
from cli.evaluation.served import MODELS_ONLY, model_refs, require, texts, throwaway_mesh
from services.mesh.errors import MeshError
from services.mesh.triton import TritonClient

LABELS = ("supported", "contradicted", "unknown")
_BATCH = 16
_SECONDS = 60.0
Values = NDArray[np.float64]


def verdicts(probabilities: Values, present: Sequence[int]) -> tuple[Values, Values, Values]:
    """Of each pair: which of the present labels is predicted, how sure, and the score for the first of them.

    Args:
        probabilities: (pairs, 3), as the verifier gives them.
        present: indices of LABELS that occur, ascending. Of two, the probability of the first stands against all others.
    """
    if len(present) == 3:
        return probabilities.argmax(1).astype(np.float64), probabilities.max(1), probabilities[:, 0]
    first = probabilities[:, present[0]]
    if present[0] != 0:
        first = first / np.maximum(probabilities[:, list(present)].sum(1), 1e-9)
    chosen = np.where(first >= 0.5, present[0], present[-1]).astype(np.float64)
    return chosen, np.maximum(first, 1 - first), first


def overlaps(rows: Sequence[PairRow]) -> tuple[Values, Values]:
    """Share of the weight of a claim's words that stands in the first sentence of its evidence, and in all of it.

    A word weighs by how few of the pieces of evidence hold it.
    """
    held = [set(words_of(row.evidence).stems) for row in rows]
    seen = Counter(stemmed for stems in held for stemmed in stems)
    first, whole = np.zeros(len(rows)), np.zeros(len(rows))
    for n, row in enumerate(rows):
        words = words_of(row.claim)
        wanted = {stemmed for stemmed, stop in zip(words.stems, words.stops, strict=True) if not stop}
        weights = {stemmed: math.log(1 + len(rows) / (1 + seen[stemmed])) for stemmed in wanted}
        total = sum(weights.values()) or 1.0
        cut = next(iter(splitter.split(row.evidence)), None)
        opening = set(words_of(row.evidence[cut.start : cut.end]).stems) if cut else set()
        first[n] = sum(weight for stemmed, weight in weights.items() if stemmed in opening) / total
        whole[n] = sum(weight for stemmed, weight in weights.items() if stemmed in held[n]) / total
    return first, whole


async def run_verifier(pairs: Path) -> EvalRun:
    """
    Raises:
        CliError: the file is none, or there is no verifier.
    """
    rows = read_rows(pairs, PairRow)
    labels = np.array([LABELS.index(row.label) for row in rows], dtype=np.int64)
    present = sorted(set(labels.tolist()))
    if len(present) < 2:
        raise CliError(f"{pairs} has one label only: {LABELS[present[0]]}.", "Nothing can be told apart in it.")
    began = time.monotonic()
    async with throwaway_mesh(MODELS_ONLY) as mesh:
        await require(mesh.triton_target, "verifier")
        models = await model_refs(mesh.triton_target)
        client = TritonClient(mesh.triton_target)
        try:
            probabilities = await _verify(client, rows)
            features = await _as_questions(client, rows)
        except MeshError as error:
            raise CliError(f"The models failed: {error.message} [{error.reason}].", "Try again.") from error
        finally:
            await client.close()
    bare = claim_only(rows, labels, len(LABELS))
    first, whole = overlaps(rows)
    table: dict[str, tuple[Values, Values | None, Values]] = {SYSTEM: verdicts(probabilities, present)}
    for name, score in (("first_sentence", first), ("idf_overlap", whole), ("feature_scorer", features)):
        table[name] = (by_threshold(rows, score, labels, present[0]).astype(np.float64), None, score)
    items = [
        Item(
            row.id or str(n),
            {
                name: {
                    "accuracy": float(chosen[n] == labels[n]),
                    "label": float(labels[n]),
                    "score": float(score[n]),
                    "positive": float(labels[n] == present[0]),
                    "confidence": None if sure is None else float(sure[n]),
                    "claim_only_accuracy": float(bare[n] == labels[n]),
                }
                for name, (chosen, sure, score) in table.items()
            },
            {"label": row.label, "probabilities": probabilities[n].tolist()},
        )
        for n, row in enumerate(rows)
    ]
    config: dict[str, Any] = {
        "pairs": pairs.name, "labels": [LABELS[n] for n in present], "positive": LABELS[present[0]],
        "claim_only": f"logistic regression over words and word pairs of the claim, {FOLDS} folds by claim",
        "auroc_baselines": {name: auroc(table[name][2], (labels == present[0]).astype(np.float64)) for name in table},
    }  # fmt: skip
    return EvalRun("verifier", (SYSTEM,), config, models, items, time.monotonic() - began)


async def _verify(client: TritonClient, rows: Sequence[PairRow]) -> Values:
    """(pairs, 3)"""
    batches = [rows[at : at + _BATCH] for at in range(0, len(rows), _BATCH)]

    async def ask(batch: Sequence[PairRow]) -> NDArray[Any]:
        inputs = {"claims": texts([row.claim for row in batch]), "evidence": texts([row.evidence for row in batch])}
        answer = await client.infer("verifier", inputs, ["probabilities"], timeout=_SECONDS)
        found: NDArray[Any] = answer["probabilities"].reshape(len(batch), len(LABELS))
        return found

    found: Values = np.concatenate(await at_once(batches, ask, "Verifying", 2)).astype(np.float64)
    return found


async def _as_questions(client: TritonClient, rows: Sequence[PairRow]) -> Values:
    """(pairs,) how likely the feature scorer finds the claim answered by its evidence."""

    async def ask(row: PairRow) -> float:
        return (await hear(client, "lexical", row.claim, [row.evidence], [""])).answerability

    return np.array(await at_once(rows, ask, "Feature scorer"), dtype=np.float64)
