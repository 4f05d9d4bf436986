"""Learns to tell intents apart from examples: a linear model of n-grams, and a small network of word vectors. NumPy alone.

Both see the same texts; their logits are averaged. What each is good at differs: n-grams know wordings in any language, vectors
know words that no example has.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.guard.understanding.ngrams import Ngrams

Floats = NDArray[np.float32]
Rows = list[tuple[NDArray[np.int64], Floats]]

BATCH = 128
_LEAST_STEPS = 160
"""A handful of phrases is seen that often, too."""


def softmax(logits: Floats) -> Floats:
    """Of the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    found: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return found


class TooLong(ValueError):
    """Learning took longer than it may."""


def _batches(count: int, epochs: int, rng: np.random.Generator, until: float) -> Iterator[tuple[float, NDArray[np.int64]]]:
    """How much of the training is done, and the rows of the next batch.

    Raises:
        TooLong: this thread has computed until `until`.
    """
    epochs = max(epochs, -(-_LEAST_STEPS // max(1, -(-count // BATCH))))
    for epoch in range(epochs):
        order = rng.permutation(count)
        for at in range(0, count, BATCH):
            if time.thread_time() > until:
                raise TooLong("learning takes too long")
            yield (epoch + at / count) / epochs, order[at : at + BATCH]


def _errors(logits: Floats, labels: NDArray[np.int64], smoothing: float) -> Floats:
    """The gradient of the cross entropy with smoothed labels, a row each."""
    found = softmax(logits) - np.float32(smoothing / logits.shape[1])
    found[np.arange(len(labels)), labels] -= 1 - smoothing
    return found / np.float32(len(labels))


@dataclass(frozen=True)
class Linear:
    """(f, c) weights of n-grams and (c,) biases."""

    weights: Floats
    bias: Floats

    def logits(self, rows: NDArray[np.int64], values: Floats) -> Floats:
        """(c,) of one text."""
        found: Floats = values @ self.weights[rows] + self.bias
        return found


def fit_linear(
    ngrams: Ngrams, rows: Rows, labels: NDArray[np.int64], classes: int, rng: np.random.Generator, until: float = math.inf
) -> Linear:
    """Softmax regression by AdaGrad (Duchi et al. 2011) on the weights that a batch touches.

    Args:
        until: `time.thread_time()` at which it gives up, so for the network: a busy machine takes no time away.
    """
    weights = np.zeros((len(ngrams.buckets), classes), dtype=np.float32)
    squares = np.full_like(weights, 1e-10)
    bias = np.zeros(classes, dtype=np.float32)
    for _, batch in _batches(len(rows), 4, rng, until):
        ids = np.concatenate([rows[row][0] for row in batch])
        if not len(ids):
            continue
        touched, places = np.unique(ids, return_inverse=True)
        texts = np.zeros((len(batch), len(touched)), dtype=np.float32)
        texts[np.repeat(np.arange(len(batch)), [len(rows[row][0]) for row in batch]), places] = np.concatenate(
            [rows[row][1] for row in batch]
        )
        current = weights[touched]
        errors = _errors(texts @ current + bias, labels[batch], 0.0)
        gradient = texts.T @ errors
        square = squares[touched] + gradient * gradient
        squares[touched] = square
        weights[touched] = current - 0.3 * gradient / np.sqrt(square)
        bias -= 0.5 * errors.sum(axis=0)
    return Linear(weights, bias)


@dataclass(frozen=True)
class Network:
    """One hidden layer over standardised features."""

    mean: Floats
    scale: Floats
    into: Floats
    """(d, h)"""
    into_bias: Floats
    out: Floats
    """(h, c)"""
    out_bias: Floats

    def logits(self, features: Floats) -> Floats:
        """(n, d) or (d,) -> (n, c) or (c,)"""
        hidden = np.maximum(((features - self.mean) * self.scale) @ self.into + self.into_bias, 0)
        found: Floats = hidden @ self.out + self.out_bias
        return found


_HIDDEN, _EPOCHS, _RATE, _DECAY, _SMOOTHING = 512, 24, 2e-3, 1e-2, 0.05
_HIDDEN_OF_FEW, _MANY = 128, 2_000
_DROP_IN, _DROP_HIDDEN = 0.2, 0.5


def fit_network(
    features: Floats, labels: NDArray[np.int64], classes: int, rng: np.random.Generator, until: float = math.inf
) -> Network:
    """By AdamW (Loshchilov and Hutter 2019) with dropout and a rate that falls to nothing.

    Args:
        features: (n, d)
    """
    mean = features.mean(axis=0)
    scale = (1 / (features.std(axis=0) + 0.02)).astype(np.float32)
    inputs = ((features - mean) * scale).astype(np.float32)
    width, units = features.shape[1], _HIDDEN if len(features) >= _MANY else _HIDDEN_OF_FEW
    first = rng.uniform(-1, 1, (width, units)).astype(np.float32) / np.float32(np.sqrt(width))
    last = rng.uniform(-1, 1, (units, classes)).astype(np.float32) / np.float32(np.sqrt(units))
    weights = [first, np.zeros(units, dtype=np.float32), last, np.zeros(classes, dtype=np.float32)]
    means, squares = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
    for step, (done, batch) in enumerate(_batches(len(inputs), _EPOCHS, rng, until), start=1):
        into, into_bias, out, out_bias = weights
        seen = inputs[batch] * (rng.random((len(batch), width), dtype=np.float32) >= _DROP_IN) / np.float32(1 - _DROP_IN)
        hidden = np.maximum(seen @ into + into_bias, 0)
        kept = (rng.random(hidden.shape, dtype=np.float32) >= _DROP_HIDDEN) / np.float32(1 - _DROP_HIDDEN)
        errors = _errors((hidden * kept) @ out + out_bias, labels[batch], _SMOOTHING)
        back = (errors @ out.T) * kept * (hidden > 0)
        gradients = [seen.T @ back, back.sum(axis=0), (hidden * kept).T @ errors, errors.sum(axis=0)]
        rate = _RATE * (1 - done)
        for weight, gradient, first_moment, second_moment in zip(weights, gradients, means, squares, strict=True):
            first_moment += 0.1 * (gradient - first_moment)
            second_moment += 0.001 * (gradient * gradient - second_moment)
            corrected = np.sqrt(second_moment / np.float32(1 - 0.999**step)) + np.float32(1e-8)
            weight *= np.float32(1 - rate * _DECAY)
            weight -= np.float32(rate / (1 - 0.9**step)) * first_moment / corrected
    return Network(mean.astype(np.float32), scale, *weights)
