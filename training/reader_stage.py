"""One stage of training the reader: so many seconds of the processor over whatever material is given, resumable at any step.

Time is that of the processor, so that a run that waits for it is not shorter. A checkpoint is written every 100 seconds, at the
end, and when the run is asked to stop; the same call goes on from there. Beside the reader's own loss some words of the passages
can be hidden and told from the other words of the batch (masked words: Devlin et al., "BERT", 2019), since a question says
something about one place of its passage only.
"""

# mypy: allow-subclassing-any
# Torch is installed for training only, so that the type checker of the other parts sees none of it.
from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from ragmesh_models.reading_text import RESERVED, UNKNOWN
from torch import Tensor, nn
from torch.nn import functional

from training.progress import Run
from training.reader_batches import Taken, batches_of, collate
from training.reader_fit import Averaged, loss_of
from training.reader_model import JointReader

SEED = 20261124
RATE = 1e-3
POSITIONS = 3_000  # of one batch
MASKED = 0.12  # of a passage's words, in half of the windows
CHECKPOINT_S = 100.0
GRADE_S = 600.0  # of work
SAID = 50  # steps of which the mean loss is said


class HiddenWords(nn.Module):
    """Tells words that are hidden in the passages from all others of the batch, from the reader's last states."""

    def __init__(self, model: JointReader) -> None:
        super().__init__()
        self.project = nn.Linear(model.sizes.width, model.sizes.width)
        self._states: list[Tensor] = []
        self._others = torch.zeros(0, dtype=torch.int64)
        model.leave.register_forward_hook(lambda _module, _given, states: self._states.append(states))

    def loss(self, stems: Tensor, hidden: Tensor) -> Tensor:
        """stems: (rows, d); hidden (B, T): the row of what is hidden, 0 elsewhere. Of the last pass."""
        states = self._states.pop()
        self._states.clear()
        wanted = hidden[hidden > 0]
        if not len(wanted):
            return states.sum() * 0
        among, place = torch.unique(torch.cat([wanted, self._others]), return_inverse=True)
        told = self.project(states[hidden > 0].float()) @ stems[among].T
        return functional.cross_entropy(told, place[: len(wanted)])

    def hide(self, batch: dict[str, Tensor], generator: torch.Generator | None) -> Tensor:
        """Hides words of the batch in place, never those of an answer, and without a generator none; -> (B, T) rows, or 0."""
        rows = batch["rows"]
        if generator is None:
            return torch.zeros_like(rows)
        self._others = torch.unique(rows[rows >= RESERVED])
        readable = (batch["features"][..., -1] > 0) & (rows >= RESERVED) & (batch["starts"] + batch["ends"] == 0)
        some = torch.rand(len(rows), 1, generator=generator) < 0.5
        chosen = (torch.rand(rows.shape, generator=generator) < MASKED) & readable & some
        hidden = torch.where(chosen, rows, 0)
        batch["rows"] = rows.masked_fill(chosen, UNKNOWN)
        batch["pieces"] = batch["pieces"].masked_fill(chosen[..., None], 0)
        return hidden


class Material(Protocol):
    """What a run reads, a round at a time."""

    def round(self, rng: random.Random, spent_s: float) -> list[Taken]: ...

    def place(self) -> dict[str, Any]:
        """Keys of a checkpoint: where the material goes on."""

    def go_on(self, saved: Mapping[str, Any]) -> None:
        """From a checkpoint."""


@dataclass
class Stop:
    """Whether the run is to end: it was asked to, or its time of the day has come."""

    until: float = float("inf")
    asked: bool = False

    def __bool__(self) -> bool:
        return self.asked or time.time() > self.until

    def ask(self, *_: object) -> None:
        self.asked = True


@dataclass(frozen=True)
class Stage:
    """How long a run is, in seconds of the processor, its rate by steps and seconds, and how much hidden words count."""

    seconds: float
    rate: Callable[[int, float], float]
    words: float = 0.0
    most_steps: int | None = None

    def over(self, learner: Learner) -> bool:
        return learner.spent > self.seconds or (self.most_steps is not None and learner.step >= self.most_steps)


class Learner:
    """A reader in training, with all that a checkpoint keeps of it."""

    def __init__(self, model: JointReader) -> None:
        self.model = model
        self.hidden_words = HiddenWords(model)
        self.parameters = [*model.parameters(), *self.hidden_words.parameters()]
        self.optimiser = torch.optim.AdamW(self.parameters, lr=RATE, weight_decay=0.02, betas=(0.9, 0.98), fused=True)
        self.average = Averaged(model)
        self.step, self.round, self.spent, self.positions = 0, 0, 0.0, 0

    def save(self, path: Path, more: Mapping[str, Any]) -> None:
        """To a file that is whole at any time, with what else the caller keeps in it."""
        state = {
            "model": self.model.state_dict(),
            "hidden_words": self.hidden_words.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.state,
            "step": self.step,
            "round": self.round,
            "spent": self.spent,
            "positions": self.positions,
        }
        torch.save({**state, **more}, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def go_on(self, saved: Mapping[str, Any]) -> None:
        """From a checkpoint. The round that was cut short is not repeated: another begins."""
        self.model.load_state_dict(saved["model"])
        self.hidden_words.load_state_dict(saved["hidden_words"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.average.state = saved["average"]
        self.step, self.round, self.spent, self.positions = saved["step"], saved["round"] + 1, saved["spent"], saved["positions"]

    def learn(self, batch: dict[str, Tensor], rate: float, words: float, generator: torch.Generator) -> tuple[float, float]:
        """One step over a batch, whose words it may hide; -> the reader's loss, and that of the hidden words."""
        for part in self.optimiser.param_groups:
            part["lr"] = rate
        hidden = self.hidden_words.hide(batch, generator if words else None)
        asked = loss_of(self.model, batch)
        told = self.hidden_words.loss(self.model.stems.weight, hidden)
        self.optimiser.zero_grad()
        (asked + words * told).backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.step += 1
        self.positions += batch["rows"].numel()
        self.average.update(self.model, self.step)
        return asked.item(), told.item()

    def averaged(self) -> JointReader:
        found = JointReader(self.model.sizes)
        found.load_state_dict(self.average.state)
        found.eval()
        return found


def fit(
    model: JointReader, material: Material, stage: Stage, run: Run, stop: Stop, grades: Callable[[JointReader, int], None]
) -> JointReader:
    """Trains from the last checkpoint where there is one; -> the averaged model, which is also in the checkpoint.

    Raises:
        FileNotFoundError: there is nothing to read.
    """
    learner, path = Learner(model), run.folder / "checkpoint.pt"
    if path.is_file():
        saved = torch.load(path, weights_only=True)
        learner.go_on(saved)
        material.go_on(saved)
        run.curves = saved["curves"]
        print(f"[{run.name}] resumed at step {learner.step}, {learner.spent:.0f} s", flush=True)
    model.train()
    before, began = learner.spent, time.process_time()
    saved_at, graded_at = time.monotonic(), learner.spent
    losses: list[tuple[float, float]] = []
    over = False
    while not over:
        rng = random.Random(SEED * 100_000 + learner.round)
        generator = torch.Generator().manual_seed(SEED + learner.round)
        items = material.round(rng, learner.spent)
        if not items:
            raise FileNotFoundError("no part is written: python -m training.trunk_questions --alone")
        for taken in batches_of(items, rng, POSITIONS):
            learner.spent = before + time.process_time() - began
            over = bool(stop) or stage.over(learner)
            if over:
                break
            batch = collate(taken, "cpu", np.array([rng.random() < 0.25 for _ in taken]))
            losses.append(learner.learn(batch, stage.rate(learner.step, learner.spent), stage.words, generator))
            if learner.step % SAID == 0:
                _say(learner, losses, stage, run)
                losses.clear()
            if time.monotonic() - saved_at > CHECKPOINT_S:
                learner.save(path, {**material.place(), "curves": run.curves})
                saved_at = time.monotonic()
            if learner.spent - graded_at > GRADE_S:
                grades(learner.averaged(), learner.step)
                graded_at = learner.spent
        learner.round += 1
    learner.save(path, {**material.place(), "curves": run.curves})
    done = {"steps": learner.step, "spent_s": learner.spent, "positions": learner.positions}
    run.finish(done | {name: points[-1][1] for name, points in run.curves.items()})
    print(f"[{run.name}] stopped at step {learner.step}, {learner.spent:.0f} s of work; the same command goes on", flush=True)
    return learner.averaged()


def _say(learner: Learner, losses: list[tuple[float, float]], stage: Stage, run: Run) -> None:
    loss, words = np.mean(losses, axis=0)
    run.log(learner.step, loss=loss, hidden=words)
    pace = learner.positions / max(1e-9, learner.spent)
    text = f"step {learner.step} round {learner.round} loss {loss:.3f} hidden {words:.3f} {pace:.0f} positions/s"
    run.say(learner.spent, stage.seconds, text, every_s=20.0)
