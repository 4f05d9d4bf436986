"""Fits the joint reader: one loss for all heads, an average of the weights, checkpoints that resume, a grade on the way."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ragmesh_models.reading import NONE, best_span
from torch import Tensor
from torch.nn import functional

from training.measures import auroc
from training.progress import Run
from training.reader_batches import Taken, collate, epoch_of
from training.reader_data import Group
from training.reader_model import JointReader, Sizes

POSITIONS = 5_000  # of one batch, padding counted
RATE = 1e-3
WARM_UP = 200
DECAY = 0.4  # the last part of the steps, over which the rate falls to a fiftieth
AVERAGE = 0.998
CHECKPOINT_S = 120.0
EVALUATE_EVERY = 400
CASE_DROPPED = 0.25
LISTED = 1.0  # weight of telling the right window from the others
EACH = 0.3  # of telling of each window by itself whether it answers


@dataclass(frozen=True)
class Preset:
    sizes: Sizes
    steps: int
    device: str
    positions: int


PRESETS = {
    "cpu": Preset(Sizes(), 4_400, "cpu", POSITIONS),
    "gpu": Preset(Sizes(width=384, blocks=8, heads=6, inner=1_536), 30_000, "cuda", 8 * POSITIONS),
}


def run_model(model: JointReader, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
    with torch.autocast(batch["rows"].device.type, torch.bfloat16):
        outputs = model(
            batch["rows"], batch["pieces"], batch["features"], batch["member"], batch["sentence_features"], batch["kind"]
        )
    return tuple(output.float() for output in outputs)


def _marginal(scores: Tensor, gold: Tensor) -> Tensor:
    """(N, M), (N, M) -> (N,): minus the log of the share that all right places have."""
    return torch.logsumexp(scores, 1) - torch.logsumexp(scores.masked_fill(gold == 0, NONE), 1)


def list_scores(sentence: Tensor, passage: Tensor) -> Tensor:
    """(N, S), (N,) -> (N,): log odds that a window holds an answer: all its sentences, levelled by the passage's own score."""
    return torch.logsumexp(sentence, 1) + passage


def loss_of(model: JointReader, batch: dict[str, Tensor]) -> Tensor:
    """Spans and sentences over all windows of a question, "no sentence" at 0; yes or no; which window answers, if any."""
    start, end, sentence, passage, said = run_model(model, batch)
    groups = len(batch["answerable"])
    size = len(passage) // groups
    weight, answerable = batch["weight"], batch["answerable"]
    spans = batch["spans"] * weight
    level = passage[:, None]
    each = [
        _marginal((scores + level).reshape(groups, -1), batch[name].reshape(groups, -1))
        for scores, name in ((start, "starts"), (end, "ends"))
    ]
    span_loss = ((each[0] + each[1]) * spans).sum() / spans.sum().clamp(min=1)
    gold = batch["gold_sentence"].reshape(groups, -1)
    nothing = torch.zeros(groups, 1, device=passage.device)
    scores = torch.cat([(sentence + level).reshape(groups, -1), nothing], dim=1)
    graded = ((gold.sum(1) > 0) | (answerable == 0)).float() * weight
    wanted = torch.cat([gold, (answerable == 0).float()[:, None]], dim=1)
    sentence_loss = (_marginal(scores, wanted) * graded).sum() / graded.sum().clamp(min=1)
    holds = torch.zeros(groups, size, device=passage.device)
    holds[:, 0] = answerable
    odds = list_scores(sentence, passage).view(groups, size)
    each_loss = functional.binary_cross_entropy_with_logits(odds, holds, reduction="none").mean(1)
    # Listwise, over the answerable ones: the right window, which stands first, against all others.
    # Half of it of the sum by which passages are ranked, where the scorer's share of that is known.
    alone, blended = (functional.log_softmax(scores, dim=1)[:, 0] for scores in (odds, odds + batch["lexical"]))
    listed = -0.5 * (alone + blended) * answerable
    said_loss = functional.cross_entropy(said.view(groups, size, 3)[:, 0], batch["said"], reduction="none")
    windows = ((LISTED * listed + EACH * each_loss) * weight).mean()
    return 0.5 * span_loss + sentence_loss + windows + 0.3 * said_loss.mean()


def grade(model: JointReader, groups: list[Group], device: str) -> dict[str, float]:
    """Exact positions, right sentence among one window's, and how well the window's odds tell impossible questions."""
    model.eval()
    exact, right, asked, sentences = 0, 0, 0, 0
    believed: list[tuple[float, bool]] = []
    order = sorted(groups, key=lambda group: len(group.windows[0].rows))
    with torch.no_grad():
        for at in range(0, len(order), 32):
            part = [Taken(group, group.windows[:1], group.answerable) for group in order[at : at + 32]]
            outputs = run_model(model, collate(part, device))
            odds = list_scores(outputs[2], outputs[3]).cpu().numpy()
            start, end, sentence, _, _ = (t.cpu().numpy() for t in outputs)
            for n, one in enumerate(part):
                window = one.windows[0]
                believed.append((float(odds[n]), one.answerable))
                if window.starts:
                    asked += 1
                    found = best_span(start[n], end[n])
                    exact += found is not None and found[1:] in set(zip(window.starts, window.ends, strict=True))
                if window.gold_sentences:
                    sentences += 1
                    right += int(sentence[n].argmax()) in window.gold_sentences
    model.train()
    told = auroc([b for b, ok in believed if ok], [b for b, ok in believed if not ok])
    return {"exact": exact / max(1, asked), "sentence": right / max(1, sentences), "auroc": told}


class PausedError(RuntimeError):
    """The time that was given is over; the checkpoint goes on from here."""


class Averaged:
    """An exponential average of the weights: what is exported."""

    def __init__(self, model: JointReader) -> None:
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    def update(self, model: JointReader, step: int) -> None:
        keep = min(AVERAGE, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value.detach(), 1 - keep)


def fit(
    model: JointReader,
    groups: dict[str, list[Group]],
    tune: dict[str, list[Group]],
    preset: Preset,
    run: Run,
    seed: int,
    minutes: float | None = None,
) -> JointReader:
    """Trains to `preset.steps`, from the last checkpoint where there is one; -> the averaged model.

    Raises:
        PausedError: `minutes` are over; what was learnt is in the checkpoint.
    """
    device = preset.device
    model.to(device).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.02, betas=(0.9, 0.98), fused=True)
    average = Averaged(model)
    path = run.folder / "checkpoint.pt"
    step, epoch = 0, 0
    if path.is_file():
        saved = torch.load(path, map_location=device, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        # The pass that was cut short is not repeated: another begins.
        average.state, step, epoch, run.curves = saved["average"], saved["step"], saved["epoch"] + 1, saved["curves"]
        print(f"[{run.name}] resumed at step {step}", flush=True)
    first, began = step, time.monotonic()
    saved_at = began
    while step < preset.steps:
        rng = random.Random(seed * 1_000 + epoch)
        for taken in epoch_of(groups, rng, preset.positions):
            rate = RATE * min(1.0, (step + 1) / WARM_UP, max(0.02, (1 - step / preset.steps) / DECAY))
            for part in optimiser.param_groups:
                part["lr"] = rate
            dropped = np.array([rng.random() < CASE_DROPPED for _ in taken])
            loss = loss_of(model, collate(taken, device, dropped))
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            step += 1
            average.update(model, step)
            if step % 20 == 0:
                run.log(step, loss=loss.item())
            run.say(step - first, preset.steps - first, f"step {step} epoch {epoch} loss {loss.item():.3f}", every_s=20.0)
            if step % EVALUATE_EVERY == 0:
                candidate = JointReader(model.sizes).to(device)
                candidate.load_state_dict(average.state)
                for name, known in tune.items():
                    found = grade(candidate, known, device)
                    run.log(step, **{f"{name}_{key}": value for key, value in found.items()})
                    print(f"[{run.name}] {step} {name} " + " ".join(f"{k} {v:.4f}" for k, v in found.items()), flush=True)
            if time.monotonic() - saved_at > CHECKPOINT_S:
                save_checkpoint(path, model, optimiser, average, step, epoch, run)
                saved_at = time.monotonic()
            if step >= preset.steps:
                break
            if minutes is not None and time.monotonic() - began > 60 * minutes:
                save_checkpoint(path, model, optimiser, average, step, epoch, run)
                raise PausedError(f"paused at step {step} of {preset.steps}; the same command goes on")
        epoch += 1
    save_checkpoint(path, model, optimiser, average, step, epoch, run)
    model.load_state_dict(average.state)
    model.eval()
    return model


def save_checkpoint(
    path: Path,
    model: JointReader,
    optimiser: torch.optim.Optimizer,
    average: Averaged,
    step: int,
    epoch: int,
    run: Run,
    spent: float = 0.0,
) -> None:
    """All that a run needs to go on; `spent` are its seconds of work so far."""
    state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "average": average.state}
    torch.save({**state, "step": step, "epoch": epoch, "spent": spent, "curves": run.curves}, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)
