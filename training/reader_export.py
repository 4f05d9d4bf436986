"""Writes the trained reader as one ONNX graph: int8 word rows with a scale each, int8 matrices, everything else as trained.

quantize_dynamic leaves embeddings alone, and they are most of this model; so the rows are rounded here, before export.
"""

# mypy: allow-subclassing-any
# Torch is installed for training only, so that the type checker of the other parts sees none of it.
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from ragmesh_models.reading import Reader, feeds
from ragmesh_models.reading_features import POSITION_FEATURES, SENTENCE_FEATURES, PairReader, ask
from ragmesh_models.reading_text import PIECES
from torch import Tensor, nn

from training import MODEL_REPOSITORY, parity
from training.reader_model import JointReader

INPUTS = ("rows", "pieces", "features", "sentence", "sentence_features", "kind")
OUTPUTS = ("start", "end", "sentence_score", "passage", "said")


class ByteRows(nn.Module):
    """An embedding table as int8 rows with one scale each; row 0 stays zero."""

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        weight = table.weight.detach()
        scale = weight.abs().amax(1).clamp(min=1e-8) / 127
        self.register_buffer("rows", torch.round(weight / scale[:, None]).to(torch.int8))
        self.register_buffer("scale", scale)
        self.rows: Tensor
        self.scale: Tensor

    def forward(self, indices: Tensor) -> Tensor:
        """(...) -> (..., d)"""
        return self.rows[indices].float() * self.scale[indices][..., None]


class ExportedReader(nn.Module):
    """What is exported: sentences by index instead of by membership, and no batch that is known before."""

    def __init__(self, trained: JointReader, byte_rows: bool = True) -> None:
        super().__init__()
        self.trained = trained
        if byte_rows:
            trained.stems = ByteRows(trained.stems)
            trained.pieces = ByteRows(trained.pieces)

    def forward(
        self, rows: Tensor, pieces: Tensor, features: Tensor, sentence: Tensor, sentence_features: Tensor, kind: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """As JointReader, but with sentence (B, T), MAX_SENTENCES outside of all, in place of the membership."""
        count = torch.arange(sentence_features.shape[1], device=rows.device)
        member = (sentence[:, None, :] == count[None, :, None]).float()
        found: tuple[Tensor, Tensor, Tensor, Tensor, Tensor] = self.trained(
            rows.long(), pieces.long(), features, member, sentence_features, kind.long()
        )
        return found


def export(trained: JointReader, target: Path) -> None:
    """`target` in int8; its float twin is only a step on the way and is removed."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = ExportedReader(trained).eval()
    whole = target.with_suffix(".float.onnx")
    example = (
        torch.ones(2, 9, dtype=torch.int32),
        torch.ones(2, 9, PIECES, dtype=torch.int32),
        torch.ones(2, 9, POSITION_FEATURES),
        torch.zeros(2, 9, dtype=torch.int32),
        torch.zeros(2, 3, len(SENTENCE_FEATURES)),
        torch.zeros(2, dtype=torch.int32),
    )
    axes = {
        "rows": {0: "pairs", 1: "positions"},
        "pieces": {0: "pairs", 1: "positions"},
        "features": {0: "pairs", 1: "positions"},
        "sentence": {0: "pairs", 1: "positions"},
        "sentence_features": {0: "pairs", 1: "sentences"},
        "kind": {0: "pairs"},
        "start": {0: "pairs", 1: "positions"},
        "end": {0: "pairs", 1: "positions"},
        "sentence_score": {0: "pairs", 1: "sentences"},
        "passage": {0: "pairs"},
        "said": {0: "pairs"},
    }
    torch.onnx.export(
        model,
        example,
        str(whole),
        input_names=list(INPUTS),
        output_names=list(OUTPUTS),
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
    quantize_dynamic(
        str(whole), str(target), weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul", "Gemm"]
    )
    whole.unlink()


def write_parity(trained: JointReader, folder: Path) -> None:
    """What torch gives, in float32, for a fixed question; int8 comes near it."""
    reader = Reader.open(folder, MODEL_REPOSITORY / "tokenizer" / "1" / "tokenizer.json")
    assert reader is not None
    asked = ask(parity.QUESTION, reader.vocabulary, reader.idf)
    known = [reader.passage(text, title) for text, title in zip(parity.PASSAGES, parity.TITLES, strict=True)]
    pairs = [pair for passage in known for pair in PairReader(reader.idf).pairs(asked, passage)]
    fed = feeds(pairs, asked.lexical.kind)
    with torch.no_grad():
        outputs = ExportedReader(trained, byte_rows=False).eval()(*(torch.from_numpy(fed[name]) for name in INPUTS))
    values = {name: np.asarray(output.numpy()) for name, output in zip(OUTPUTS, outputs, strict=True)}
    document = {"question": parity.QUESTION, "passages": list(parity.PASSAGES), "titles": list(parity.TITLES)}
    rounded = {name: np.round(value, 5).tolist() for name, value in values.items()}
    text = json.dumps({**document, **rounded}, ensure_ascii=False)
    (folder / "reader_parity.json").write_text(text + "\n", encoding="utf-8")
