"""From a text to the probability that it attacks, of the whole and of each stretch. Knows the weights' file, no rule."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ragmesh.evidence.v1.model_pb2 import ModelRef

from services.guard.classifier import features
from services.guard.classifier.concepts import Concepts
from services.guard.classifier.features import Kind
from services.guard.classifier.linear import Linear
from services.guard.classifier.suffix import Suffix

WEIGHTS = Path(__file__).with_name("injection.npz")
NAME = "injection"
MAX_WEIGHT_BYTES = 8 * 1024 * 1024


class ClassifierError(RuntimeError):
    """The weights cannot be used."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a text."""

    start: int
    """Half-open range in characters of `features.plain(text)`, which for text in NFKC without diacritics is the text."""
    end: int
    score: float
    """Calibrated probability that it attacks."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """The most suspicious stretch of a text."""

    log_odds: float
    """Calibrated."""
    start: int
    """As in `Window`."""
    end: int
    bits: float
    """Surprise of its letters, a letter: 3 to 4.5 in language, more in token soup."""


_NOTHING = Suspicion(-20.0, 0, 0, 0.0)


class InjectionClassifier:
    """Scores texts.

    Args:
        weights: the arrays of the file.
        digest: SHA-256 of the file.
    """

    def __init__(self, weights: dict[str, NDArray[Any]], digest: str) -> None:
        self._surprise: NDArray[np.float32] = weights["surprise"].astype(np.float32).reshape(-1)
        self._known = np.unpackbits(weights["known"], count=features.ROWS).astype(bool)
        self._concepts = Concepts(weights["concept_hashes"], weights["concept_numbers"])
        self._linear = Linear(weights)
        self._suffix = Suffix(weights)
        about = json.loads(weights["about"].tobytes())
        self.threshold = float(about["threshold"])
        """Calibrated probability from which it blocks alone, of both kinds; chosen on the tuning half of the validation rows."""
        self.ref = ModelRef(name=NAME, version=str(about["version"]), weights_sha256=digest, precision="int8")

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> InjectionClassifier:
        """
        Raises:
            ClassifierError: there is no such file, it is too large, or it holds something else.
        """
        try:
            size = path.stat().st_size
            if size > MAX_WEIGHT_BYTES:
                raise ClassifierError(f"{path.name} has {size:,} bytes, at most {MAX_WEIGHT_BYTES:,} are read")
            data = path.read_bytes()
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                weights = {name: file[name] for name in file.files}
            return cls(weights, hashlib.sha256(data).hexdigest())
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ClassifierError(f"{path.name} holds no weights of this classifier: {error}") from error

    def score(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float64]:
        """(n,) calibrated probability that each text attacks, by its most suspicious stretch; 0 for one without words."""
        return np.array([max((one.score for one in self.windows(text, kind)), default=0.0) for text in texts], dtype=np.float64)

    def windows(self, text: str, kind: Kind) -> list[Window]:
        """The stretches of a text, a question's whole first, an optimised suffix last; none where there are no words.

        Read to `features.MAX_CHARACTERS`.
        """
        read, starts, ends, logits = self._logits(text, kind)
        scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
        return [
            Window(int(read.starts[start]), int(read.ends[end - 1]), float(score))
            for start, end, score in zip(starts.tolist(), ends.tolist(), scores.tolist(), strict=True)
        ]

    def most(self, text: str, kind: Kind) -> Suspicion:
        """The most suspicious stretch; log odds of -20 where there are no words."""
        read, starts, ends, logits = self._logits(text, kind)
        if not len(logits):
            return _NOTHING
        best = int(logits.argmax())
        first, last = int(read.starts[starts[best]]), int(read.ends[ends[best] - 1])
        bits = float(read.surprise[last] - read.surprise[first]) / (last - first)
        return Suspicion(float(logits[best]), first, last, bits)

    def _logits(self, text: str, kind: Kind) -> tuple[features.Read, NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        read = features.read(text, self._surprise, self._known, self._concepts, placed=kind == "question")
        if not len(read):
            none = np.zeros(0, dtype=np.int64)
            return read, none, none, np.zeros(0, dtype=np.float32)
        starts, ends = read.stretches(kind)
        steps = features.steps(read.numbers(starts, ends))
        logits = self._linear.logits(read.rows, starts, ends, steps, kind)
        tail = self._suffix.most(read) if kind == "question" else None
        # What is likely to be none says nothing: whether a question is honest is told by its words.
        if tail is not None and tail[0] > 0:
            starts, ends = np.append(starts, tail[1]), np.append(ends, tail[2])
            logits = np.append(logits, np.float32(tail[0]))
        return read, starts, ends, logits
