"""Trains the joint reader's trunk before any question that somebody asked: on the whole open text, names changed.

python -m training.reader_trunk --data DIR --minutes 180 [--until 22:30]

Begins with the word vectors, as `reader_recipe` does. What is read are the parts of `trunk_questions --alone`, as they are written
and each item once, with some of its lists; most names, numbers and rare words are others each time (`reader_names`). Beside the
reader's own loss some words of the passages are hidden and told from the other words of the batch (masked words: Devlin et al.,
"BERT", 2019), since a question says something about one place of its passage only. The rate stays the same after a warm-up: it
falls when the reader settles on real questions (`reader_settle`), so that a trunk can be used at any step and go on after.

Time is that of the processor, so that a run that waits for it is not shorter. A checkpoint is written every 100 seconds, at the
end, and when the run is asked to stop (SIGTERM); the same command goes on from there.
"""

# mypy: allow-subclassing-any
# Torch is installed for training only, so that the type checker of the other parts sees none of it.
from __future__ import annotations

import argparse
import gc
import pickle
import random
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from ragmesh_models.lexical import IdfTable
from ragmesh_models.reading_text import RESERVED, UNKNOWN, Vocabulary
from ragmesh_models.tokens import TextTokenizer
from torch import Tensor, nn
from torch.nn import functional

from training import ANSWERER, RUNS, TOKENIZER, trunk_questions, word_vectors
from training.progress import Run
from training.reader_batches import Taken, batches_of, collate, draw
from training.reader_data import Group, GroupReader, half_of, held_examples
from training.reader_fit import Averaged, grade, loss_of
from training.reader_model import JointReader, Sizes
from training.reader_names import Names
from training.reader_recipe import start_model
from training.sources import DataFolder

SEED = 20261124
RUN = "trunk_first"
RATE = 1e-3
WARM_UP = 200  # steps
POSITIONS = 3_000  # of one batch
ITEMS = 1_500  # of a round, alone
LISTED = 80  # of a round, lists
MOST_WIDE = 3  # wrong passages of a list
RENAMED = 0.8  # of the items
MASKED = 0.12  # of a passage's words, in half of the windows
WORDS = 0.2  # weight of telling them
CHECKPOINT_S = 100.0
GRADE_S = 600.0  # of work
PROBED = 300  # held-out questions that grade on the way
SAID = 50  # steps of which the mean loss is said
_LEARNT_FROM = 4  # parts that tell which words are names


class Parts:
    """The items of the parts, each once as they are written; where none is left, all of them once more."""

    def __init__(self, folder: Path, names: str = "part-*.pickle") -> None:
        self._folder = folder
        self._names = names
        self._given: list[str] = []
        self._waiting: list[Group] = []

    @property
    def place(self) -> dict[str, Any]:
        """Where to go on: what was given, and how much of the last one is waiting."""
        return {"given": list(self._given), "waiting": len(self._waiting)}

    def go_on(self, place: dict[str, Any]) -> None:
        self._given, waiting = list(place["given"]), int(place["waiting"])
        # Less is asked for at once than a part has, so what waits is of the last one.
        self._waiting = self._read(self._folder / self._given[-1])[-waiting:] if waiting else []

    def take(self, count: int) -> list[Group]:
        """At most so many; fewer where no part is written yet."""
        while len(self._waiting) < count and self.written():
            self._waiting.extend(self._next())
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    def written(self) -> list[Path]:
        return sorted(self._folder.glob(self._names))

    def _next(self) -> list[Group]:
        fresh = [path for path in self.written() if path.name not in self._given]
        if not fresh:
            fresh, self._given = self.written(), []
        self._given.append(fresh[0].name)
        return self._read(fresh[0])

    @staticmethod
    def _read(path: Path) -> list[Group]:
        with path.open("rb") as file:
            found: list[Group] = pickle.load(file)  # noqa: S301 - our own file
        return found


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
class OpenText:
    """What is alone, with its neighbour or seldom that only; lists as ever; most with other names."""

    alone: Parts
    lists: Parts
    names: Names

    def round(self, rng: random.Random, spent_s: float) -> list[Taken]:
        del spent_s
        taken = [single(group, rng, 1.0, 0.2) for group in self.alone.take(ITEMS)]
        taken += [draw(group, rng, MOST_WIDE) for group in self.lists.take(LISTED)]
        return [renamed(one, self.names, rng, RENAMED) for one in taken]

    def place(self) -> dict[str, Any]:
        return {"alone": self.alone.place, "lists": self.lists.place}

    def go_on(self, saved: Mapping[str, Any]) -> None:
        self.alone.go_on(saved["alone"])
        self.lists.go_on(saved["lists"])


def single(group: Group, rng: random.Random, beside: float, without: float) -> Taken:
    """The own window, in a share of the cases beside a wrong one, and of those in a share that one only."""
    own, others = group.windows[:1], group.windows[1:5]
    if not others or rng.random() >= beside:
        return Taken(group, own, group.answerable)
    wrong = [rng.choice(others)]
    if rng.random() < without and not group.said:
        return Taken(group, wrong, False)
    return Taken(group, own + wrong, group.answerable)


def renamed(one: Taken, names: Names, rng: random.Random, share: float) -> Taken:
    return replace(one, windows=names.rename(one.windows, rng)) if rng.random() < share else one


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


def steady(step: int, spent_s: float) -> float:
    """The trunk's rate."""
    del spent_s
    return RATE * min(1.0, (step + 1) / WARM_UP)


def fit(
    model: JointReader, material: Material, stage: Stage, run: Run, stop: Stop, grades: Callable[[JointReader, int], None]
) -> JointReader:
    """Trains from the last checkpoint where there is one; -> the averaged model, which is also in the checkpoint.

    Raises:
        FileNotFoundError: there is nothing to read.
    """
    hidden_words = HiddenWords(model)
    parameters = [*model.parameters(), *hidden_words.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.02, betas=(0.9, 0.98), fused=True)
    average = Averaged(model)
    path = run.folder / "checkpoint.pt"
    step, number, spent, positions = 0, 0, 0.0, 0
    if path.is_file():
        saved = torch.load(path, weights_only=True)
        model.load_state_dict(saved["model"])
        hidden_words.load_state_dict(saved["hidden_words"])
        optimiser.load_state_dict(saved["optimiser"])
        average.state, step, number, run.curves = saved["average"], saved["step"], saved["round"] + 1, saved["curves"]
        spent, positions = saved["spent"], saved["positions"]
        material.go_on(saved)
        print(f"[{run.name}] resumed at step {step}, {spent:.0f} s", flush=True)

    def save() -> None:
        state = {"model": model.state_dict(), "hidden_words": hidden_words.state_dict(), "optimiser": optimiser.state_dict()}
        state |= {"average": average.state, "step": step, "round": number, "spent": spent, "positions": positions}
        torch.save({**state, **material.place(), "curves": run.curves}, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def averaged() -> JointReader:
        found = JointReader(model.sizes)
        found.load_state_dict(average.state)
        found.eval()
        return found

    model.train()
    before, began = spent, time.process_time()
    saved_at, graded_at = time.monotonic(), spent
    losses: list[tuple[float, float]] = []
    over = False
    while not over:
        rng = random.Random(SEED * 100_000 + number)
        generator = torch.Generator().manual_seed(SEED + number)
        items = material.round(rng, spent)
        if not items:
            raise FileNotFoundError("no part is written: python -m training.trunk_questions --alone")
        for taken in batches_of(items, rng, POSITIONS):
            spent = before + time.process_time() - began
            over = bool(stop) or spent > stage.seconds or (stage.most_steps is not None and step >= stage.most_steps)
            if over:
                break
            for part in optimiser.param_groups:
                part["lr"] = stage.rate(step, spent)
            batch = collate(taken, "cpu", np.array([rng.random() < 0.25 for _ in taken]))
            hidden = hidden_words.hide(batch, generator if stage.words else None)
            asked = loss_of(model, batch)
            told = hidden_words.loss(model.stems.weight, hidden)
            optimiser.zero_grad()
            (asked + stage.words * told).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            step += 1
            positions += batch["rows"].numel()
            average.update(model, step)
            losses.append((asked.item(), told.item()))
            if step % SAID == 0:
                loss, words = np.mean(losses, axis=0)
                run.log(step, loss=loss, hidden=words)
                pace = positions / max(1e-9, spent)
                text = f"step {step} round {number} loss {loss:.3f} hidden {words:.3f} {pace:.0f} positions/s"
                run.say(spent, stage.seconds, text, every_s=20.0)
                losses.clear()
            if time.monotonic() - saved_at > CHECKPOINT_S:
                save()
                saved_at = time.monotonic()
            if spent - graded_at > GRADE_S:
                grades(averaged(), step)
                graded_at = spent
        number += 1
    save()
    run.finish({"steps": step, "spent_s": spent, "positions": positions} | {k: v[-1][1] for k, v in run.curves.items()})
    print(f"[{run.name}] stopped at step {step}, {spent:.0f} s of work; the same command goes on", flush=True)
    return averaged()


def probed(model: JointReader, probe: dict[str, list[Group]], run: Run, step: int) -> None:
    """How a model does on questions that were never learnt from."""
    for name, known in probe.items():
        found = grade(model, known, "cpu")
        run.log(step, **{f"{name}_{key}": value for key, value in found.items()})
        print(f"[{run.name}] {step} {name} " + " ".join(f"{key} {value:.4f}" for key, value in found.items()), flush=True)


def held_out_questions(data: DataFolder, vocabulary: Vocabulary, run: Run) -> dict[str, list[Group]]:
    """PROBED questions of SQuAD's tuning articles; kept in the run's folder."""
    kept = run.folder / "probe.pickle"
    if not kept.is_file():
        reader = GroupReader(vocabulary, IdfTable.load(ANSWERER / "idf.bin"))
        rows = [one for one in held_examples(data) if half_of(one.title) == 0 and one.source != "selqa"]
        some = random.Random(SEED).sample(rows, min(len(rows), PROBED))
        groups = [group for group in map(reader.group, some) if group is not None]
        with kept.open("wb") as file:
            pickle.dump({"squad": groups}, file, protocol=5)
    with kept.open("rb") as file:
        found: dict[str, list[Group]] = pickle.load(file)  # noqa: S301 - our own file
    return found


def learn(data: DataFolder, minutes: float, stop: Stop, most_steps: int | None = None, name: str = RUN) -> None:
    """From the word vectors to the checkpoint in the run's folder, whose `average` is the trunk."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    gc.disable()  # millions of small objects, none of which can be let go of
    run, folder = Run(name), RUNS / trunk_questions.RUN
    stems, vectors = word_vectors.train(data)
    probe = held_out_questions(data, Vocabulary(stems, TextTokenizer(TOKENIZER)), run)
    alone, lists = Parts(folder, "alone-*.pickle"), Parts(folder)
    learnt_from: dict[str, list[Group]] = {}
    for path in alone.written()[:_LEARNT_FROM] + lists.written()[:_LEARNT_FROM]:
        for group in pickle.loads(path.read_bytes()):  # noqa: S301 - our own file
            learnt_from.setdefault(group.source, []).append(group)
    model = start_model(Sizes(), vectors, learnt_from)
    names = Names(model.stems.weight.detach(), (group for known in learnt_from.values() for group in known))
    del learnt_from
    stage = Stage(60 * minutes, steady, WORDS, most_steps)
    fit(model, OpenText(alone, lists, names), stage, run, stop, lambda averaged, step: probed(averaged, probe, run, step))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--minutes", type=float, default=180.0, help="of the processor, over all starts")
    arguments.add_argument("--until", help="HH:MM of today, at which the run ends whatever it has done")
    arguments.add_argument("--experiment", default=RUN, help="learn under this name")
    arguments.add_argument("--steps", type=int, help="of an experiment")
    parsed = arguments.parse_args()
    stop = Stop()
    if parsed.until:
        clock = datetime.strptime(parsed.until, "%H:%M").time()
        stop.until = datetime.combine(datetime.now().astimezone().date(), clock).astimezone().timestamp()
    signal.signal(signal.SIGTERM, stop.ask)
    learn(DataFolder(parsed.data), parsed.minutes, stop, parsed.steps, parsed.experiment)


if __name__ == "__main__":
    # Through the module's own name, so that what is pickled can be read by others.
    from training import reader_trunk

    reader_trunk.main()
