"""Intents by example: learns them from phrases, says which one a text is for, and when it is for none of them.

A text whose surest intent stays below the threshold is out of scope. The threshold is chosen on examples that were held out, so
that of those that are understood rightly few are refused. Knows no intent by name but `OUT_OF_SCOPE`.
"""

from __future__ import annotations

import math
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.guard.understanding.learning import Floats, Linear, Network, Rows, TooLong, fit_linear, fit_network, softmax
from services.guard.understanding.ngrams import Ngrams
from services.guard.understanding.words import WordVectors

OUT_OF_SCOPE = "out_of_scope"
MAX_INTENTS = 512
MAX_EXAMPLES = 200_000
REFUSED = 0.01
"""Of the held-out examples that are understood rightly, this share falls below the threshold."""
_MANY = 2_000
_HELD_OUT, _FOLDS = 10, 3
_REFUSED_OF_FEW, _MOST_OF_FEW = 0.25, 0.3
"""The same of few examples: where a third of them is missing, the rest understands less. And the greatest threshold then: trials on
CLINC150 with 10 to 300 phrases were surer of what is meant than a new wording is, and refused half of that."""
_BACKGROUND = 30
_SEED = 20260721
_FORMAT = 1


class IntentError(ValueError):
    """Examples cannot be learnt from, or weights cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Intended:
    """What a text is for."""

    intent: str
    """One of the intents that were learnt, or `OUT_OF_SCOPE`."""
    nearest: str
    """The likeliest intent, also where it is refused."""
    probability: float
    """Of `nearest`."""


@dataclass(frozen=True)
class _Examples:
    """The n-grams of a few examples: how near a text is to the nearest of them. Few phrases make a model surer than it may be."""

    rows: NDArray[np.int64]
    values: Floats
    """Of all examples, one after the other; of length 1 each."""
    starts: NDArray[np.int64]
    """(n,) where each begins."""

    @classmethod
    def of(cls, found: Rows) -> _Examples:
        held = [pair for pair in found if len(pair[0])]
        ends = np.cumsum([0, *(len(rows) for rows, _ in held)])
        return cls(np.concatenate([rows for rows, _ in held]), np.concatenate([values for _, values in held]), ends[:-1])

    @cached_property
    def _holding(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
        """By n-gram: where its examples begin, and one after the other which they are and what it weighs in each."""
        order = np.argsort(self.rows, kind="stable")
        begins = np.searchsorted(self.rows[order], np.arange(int(self.rows.max(initial=0)) + 2))
        ends = np.append(self.starts[1:], len(self.rows))
        examples = np.repeat(np.arange(len(self.starts)), ends - self.starts)
        return begins, examples[order], self.values[order]

    def nearest(self, rows: NDArray[np.int64], values: Floats) -> float:
        """The greatest cosine of an example with a text."""
        begins, examples, weights = self._holding
        known = rows < len(begins) - 1
        first = begins[rows[known]]
        counts = begins[rows[known] + 1] - first
        places = np.repeat(first - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
        cosines = np.bincount(examples[places], weights[places] * np.repeat(values[known], counts))
        return float(cosines.max(initial=0.0))


@dataclass(frozen=True)
class _Model:
    """Both halves."""

    ngrams: Ngrams
    linear: Linear
    network: Network | None
    """None where no example has a word that the vectors know. With one class more it knows the background, too."""
    examples: _Examples | None
    """None where there are many."""

    def probabilities(self, text: str, features: Floats) -> Floats:
        """(c,); they sum up to less than 1 where the text is like the background, or like no example."""
        rows, values = self.ngrams.rows(text)
        logits = self.linear.logits(rows, values)
        near = 1.0 if self.examples is None else self.examples.nearest(rows, values)
        if self.network is None or not features.any():
            return softmax(logits) * np.float32(near**0.5)
        seen, classes = self.network.logits(features), len(logits)
        inside = 1 - float(softmax(seen)[classes:].sum())
        if self.examples is not None:
            # A text in the words of an example is no stranger, whatever the network makes of its language.
            inside = max(inside, near) * near**0.5
        return softmax((logits + seen[:classes]) / np.float32(2)) * np.float32(inside)


def _fit(texts: Sequence[str], features: Floats, labels: Sequence[int], classes: int, background: Floats, until: float) -> _Model:
    rng = np.random.default_rng(_SEED)
    wanted = np.asarray(labels, dtype=np.int64)
    ngrams = Ngrams.of(texts)
    found = [ngrams.rows(text) for text in texts]
    linear = fit_linear(ngrams, found, wanted, classes, rng, until)
    examples = _Examples.of(found) if len(texts) < _MANY and len(ngrams.buckets) else None
    known = features.any(axis=1)
    if not known.any():
        return _Model(ngrams, linear, None, examples)
    # As many of the background as an intent has examples, times a few: it is many intents in one.
    others = background[: _BACKGROUND * -(-len(texts) // classes)]
    seen = np.concatenate([features[known], others])
    targets = np.concatenate([wanted[known], np.full(len(others), classes)])
    network = fit_network(seen, targets, classes + bool(len(others)), rng, until)
    return _Model(ngrams, linear, network, examples)


class IntentClassifier:
    """Tells intents apart. Made by `learn` or `load`; one serves all threads."""

    def __init__(self, labels: Sequence[str], model: _Model, threshold: float, words: WordVectors) -> None:
        self.labels = tuple(labels)
        self.threshold = threshold
        """A text whose surest intent is less probable is out of scope."""
        self._model = model
        self._words = words

    @classmethod
    def learn(
        cls,
        examples: Sequence[tuple[str, str]],
        words: WordVectors,
        *,
        refused: float = REFUSED,
        apart: bool = True,
        seconds: float = math.inf,
    ) -> IntentClassifier:
        """Learns from (text, intent) pairs; those of OUT_OF_SCOPE are texts that are for nothing.

        Args:
            refused: see REFUSED.
            apart: whether questions about anything are out of scope; not so where one of the intents is to ask.
            seconds: of computing by this thread, however busy the machine is, that it may take.

        Raises:
            IntentError: there are fewer than two intents, or too many of something, or learning takes too long.
        """
        until = time.thread_time() + seconds
        try:
            return cls._learnt(examples, words, refused, apart, until)
        except TooLong:
            raise IntentError(f"learning takes more than {seconds:g} s of computing") from None

    @classmethod
    def _learnt(
        cls, examples: Sequence[tuple[str, str]], words: WordVectors, refused: float, apart: bool, until: float
    ) -> IntentClassifier:
        labels = sorted({intent for _, intent in examples})
        if not 2 <= len(labels) <= MAX_INTENTS or len(examples) > MAX_EXAMPLES:
            raise IntentError(f"2 to {MAX_INTENTS} intents can be told apart, of at most {MAX_EXAMPLES} examples")
        texts, wanted = [text for text, _ in examples], [labels.index(intent) for _, intent in examples]
        features = np.stack([words.features(text) for text in texts])
        background = words.background if apart else words.background[:0]
        reached: list[float] = []
        for fold in _folds(texts, wanted):
            rest = np.flatnonzero(~fold)
            trial = _fit(
                [texts[row] for row in rest], features[rest], [wanted[row] for row in rest], len(labels), background, until
            )
            for row in np.flatnonzero(fold):
                found = trial.probabilities(texts[row], features[row])
                if labels[wanted[row]] != OUT_OF_SCOPE and int(found.argmax()) == wanted[row]:
                    reached.append(float(found[wanted[row]]))
        share = refused if len(texts) >= _MANY else max(refused, _REFUSED_OF_FEW)
        threshold = float(np.quantile(reached, share)) if reached else 1 / len(labels)
        if len(texts) < _MANY:
            threshold = min(threshold, _MOST_OF_FEW)
        return cls(labels, _fit(texts, features, wanted, len(labels), background, until), threshold, words)

    def probabilities(self, text: str) -> Floats:
        """(c,) in the order of `labels`."""
        return self._model.probabilities(text, self._words.features(text))

    def understand(self, text: str) -> Intended:
        """What `text` is for."""
        found = self.probabilities(text)
        best = int(found.argmax())
        refused = self.labels[best] == OUT_OF_SCOPE
        if refused:
            found[best] = -1
            best = int(found.argmax())
        probability = float(found[best])
        outside = refused or probability < self.threshold
        return Intended(OUT_OF_SCOPE if outside else self.labels[best], self.labels[best], probability)

    def lightened(self, most: int) -> IntentClassifier:
        """The same with the `most` n-grams that tell intents apart best: smaller and quicker."""
        ngrams, linear = self._model.ngrams, self._model.linear
        told = np.abs(linear.weights - linear.weights.mean(axis=1, keepdims=True)).max(axis=1)
        kept = np.sort(np.argsort(-told, kind="stable")[:most])
        model = replace(
            self._model,
            ngrams=Ngrams(ngrams.buckets[kept], ngrams.weights[kept]),
            linear=Linear(linear.weights[kept], linear.bias),
            # Their rows are numbers of n-grams.
            examples=None,
        )
        return IntentClassifier(self.labels, model, self.threshold, self._words)

    def save(self, path: Path) -> None:
        """Writes the weights, halved in precision."""
        model = self._model
        arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = {
            "format": np.array(_FORMAT),
            "labels": np.array("\n".join(self.labels)),
            "threshold": np.array(self.threshold),
            "buckets": model.ngrams.buckets,
            "idf": model.ngrams.weights.astype(np.float16),
            "linear": model.linear.weights.astype(np.float16),
            "linear_bias": model.linear.bias,
        }
        if model.examples is not None:
            arrays |= {"example_rows": model.examples.rows, "example_starts": model.examples.starts}
            arrays["example_values"] = model.examples.values.astype(np.float16)
        if model.network is not None:
            names = ("mean", "scale", "into", "into_bias", "out", "out_bias")
            arrays |= {f"network_{name}": getattr(model.network, name).astype(np.float16) for name in names}
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, path: Path, words: WordVectors) -> IntentClassifier:
        """
        Raises:
            IntentError: the file is missing or not such weights.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            if int(arrays["format"]) != _FORMAT:
                raise ValueError("another format")
            wide = {name: value.astype(np.float32) if value.dtype == np.float16 else value for name, value in arrays.items()}
            examples, network = None, None
            if "example_rows" in wide:
                examples = _Examples(wide["example_rows"], wide["example_values"], wide["example_starts"])
            if "network_into" in wide:
                names = ("mean", "scale", "into", "into_bias", "out", "out_bias")
                network = Network(*(wide[f"network_{name}"] for name in names))
            labels = str(wide["labels"].item()).split("\n")
            linear = Linear(wide["linear"], wide["linear_bias"])
            if linear.weights.shape != (len(wide["buckets"]), len(labels)):
                raise ValueError("not one weight an n-gram and intent")
            return cls(
                labels, _Model(Ngrams(wide["buckets"], wide["idf"]), linear, network, examples), float(wide["threshold"]), words
            )
        except (OSError, KeyError, ValueError, EOFError) as error:
            raise IntentError(f"{path}: no weights of an intent classifier: {error}") from None


def _folds(texts: Sequence[str], wanted: Sequence[int]) -> list[NDArray[np.bool_]]:
    """Which examples are held out, trial by trial: of many one in ten, chosen by its text; of few each once, intent by intent."""
    if len(texts) >= _MANY:
        return [np.array([zlib.crc32(text.encode()) % _HELD_OUT == 0 for text in texts])]
    places: Counter[int] = Counter()
    fold = []
    for label in wanted:
        fold.append(places[label] % _FOLDS)
        places[label] += 1
    return [np.array([one == number for one in fold]) for number in range(_FOLDS)]
