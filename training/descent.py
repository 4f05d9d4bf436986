"""Gradient descent as the smaller recipes do it: AdamW, a rate that follows the steps, clipped gradients, a line and a curve."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from training.progress import Run

LOGGED_EVERY = 20  # steps
Schedule = Callable[[int, int], float]
"""(step, steps) -> share of the full rate."""


def cosine(warm_up: int) -> Schedule:
    """Up within `warm_up` steps, then along a cosine to nothing."""
    return lambda step, steps: min(1, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


def falling(step: int, steps: int) -> float:
    """A straight line from the full rate to nothing."""
    return 1 - step / steps


class Descent:
    """One fit: called with the loss of each batch, it takes the step."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        run: Run,
        rate: float,
        steps: int,
        schedule: Schedule,
        decay: float = 0.0,
        clip: float | None = 2.0,
        curve: str = "loss",
    ) -> None:
        """
        Args:
            steps: after which the schedule ends.
            clip: the largest norm of a gradient; None: any.
            curve: under which name the loss is logged.
        """
        self._parameters = list(parameters)
        self._optimiser = torch.optim.AdamW(self._parameters, lr=rate, weight_decay=decay)
        self._run, self._rate, self._schedule, self._clip, self._curve = run, rate, schedule, clip, curve
        self.step, self.steps = 0, max(1, steps)

    def __call__(self, loss: Tensor, text: str = "steps") -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate * self._schedule(self.step, self.steps)
        self._optimiser.zero_grad()
        loss.backward()
        if self._clip is not None:
            torch.nn.utils.clip_grad_norm_(self._parameters, self._clip)
        self._optimiser.step()
        self.step += 1
        self._run.say(self.step, self.steps, f"{text}, loss {loss.item():.3f}")
        if self.step % LOGGED_EVERY == 0:
            self._run.log(self.step, **{self._curve: loss.item()})


def of_like_length(lengths: Sequence[int], size: int, rng: random.Random, batches: int = 20) -> list[list[int]]:
    """One pass in random order as full batches of rows of like length, which halves the padding; the last few rows are left out.

    Args:
        batches: how many are sorted by length at a time.
    """
    order = list(range(len(lengths)))
    rng.shuffle(order)
    block = size * batches
    blocks = [sorted(order[at : at + block], key=lambda i: lengths[i]) for at in range(0, len(order), block)]
    packed = [part[at : at + size] for part in blocks for at in range(0, len(part) - size + 1, size)]
    rng.shuffle(packed)
    return packed
