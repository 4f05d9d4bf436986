"""Trains the joint reader's trunk on: questions about the whole open text between the real ones, names changed.

python -m training.reader_trunk --data DIR --minutes 50

Goes on from the second stage's weights (runs/reader_lists/reader.pt). Half of a round, and a tenth towards the end, are items of
`trunk_questions`, whose parts are taken as they are written and each item once; the others are the second stage's lists, of
which most have other names each time (`reader_names`). Rate by a cosine of the time to zero, averaged weights, a checkpoint every
two minutes from which the same command goes on. The figures on the way are of the averaged weights.
"""

from __future__ import annotations

import argparse
import gc
import pickle
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from ragmesh_models.lexical import IdfTable
from ragmesh_models.reading_text import RESERVED, Vocabulary
from ragmesh_models.tokens import TextTokenizer
from torch import Tensor

from training import ANSWERER, RUNS, TOKENIZER, reader_lists, reader_listwise
from training.progress import Run
from training.reader_batches import Taken, batches_of, collate, draw
from training.reader_data import Group, GroupReader, half_of, held_examples
from training.reader_fit import POSITIONS, Averaged, loss_of, save_checkpoint
from training.reader_listwise import DevList, rate_at
from training.reader_model import JointReader, Sizes
from training.reader_names import Names
from training.sources import DataFolder
from training.trunk_questions import RUN

SEED = 20261123
PEAK = 5e-4
WARM_UP_S = 60.0
CHECKPOINT_S = 100.0
GRADE_S = 720.0
ITEMS = 2_000  # of a round
SETTLES = 0.76  # of the time: then come nearly only questions that people asked, at a rate of their own
WIDE = (0.5, 0.1)  # of a round's items, before and after
SETTLE_PEAK = 2e-4
MOST_WIDE = 3  # wrong passages beside one of those
RENAMED = 0.5  # of the real lists
TUNED = 300  # questions that grade on the way, of each source
LISTED = 60  # lists that do
# Of a round that is half real, the lists of each source.
TAKEN = {
    "squad20_wiki32": 300, "squad11_wiki32": 130, "squad2_train_subset1": 50, "selqa": 90, "boolq": 110, "changed": 60,
    "sentqa": 170, "synthetic": 40, "fairytaleqa": 40, "medquad": 40, "covidqa": 10,
}  # fmt: skip


class Parts:
    """The items of the parts, each once as they are written; where none is left, all of them once more."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._given: list[str] = []
        self._waiting: list[Group] = []

    def skip(self, items: int) -> None:
        """A run that was stopped does not begin with what it has seen."""
        while items > 0 and len(self._given) < len(self._written()):
            items -= len(self._next())

    def take(self, count: int) -> list[Group]:
        """At most so many; fewer where no part is written yet."""
        while len(self._waiting) < count and self._written():
            self._waiting.extend(self._next())
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    def _written(self) -> list[Path]:
        return sorted(self._folder.glob("part-*.pickle"))

    def _next(self) -> list[Group]:
        fresh = [path for path in self._written() if path.name not in self._given]
        if not fresh:
            fresh, self._given = self._written(), []
        self._given.append(fresh[0].name)
        with fresh[0].open("rb") as file:
            found: list[Group] = pickle.load(file)  # noqa: S301 - our own file
        return found


def rate_of(spent_s: float, of_s: float, peak: float = PEAK) -> float:
    """A cosine of all the time, left where the run settles for another of the rest."""
    first = SETTLES * of_s
    if spent_s < first:
        return rate_at(spent_s, of_s, WARM_UP_S, peak)
    return rate_at(spent_s - first, of_s - first, WARM_UP_S / 4, min(peak, SETTLE_PEAK))


def round_of(
    groups: dict[str, list[Group]], wide: Sequence[Group], names: Names, rng: random.Random, scale: float = 1.0
) -> list[Taken]:
    """Real lists and wide items as one round takes them; `scale`: of the numbers of TAKEN."""
    taken = [draw(group, rng, MOST_WIDE) for group in wide]
    for source, known in groups.items():
        for group in rng.sample(known, min(len(known), round(scale * TAKEN.get(source, 0)))):
            one = draw(group, rng)
            taken.append(replace(one, windows=names.rename(one.windows, rng)) if rng.random() < RENAMED else one)
    return taken


def tuning(data: DataFolder, reader: GroupReader) -> dict[str, list[Group]]:
    """The tuning articles' questions, in random order."""
    found: dict[str, list[Group]] = {"squad": [], "selqa": []}
    for example in held_examples(data):
        if half_of(example.title) == 0:
            group = reader.group(example)
            if group is not None:
                found["selqa" if example.source == "selqa" else "squad"].append(group)
    for known in found.values():
        random.Random(SEED).shuffle(known)
    return found


def fit(
    model: JointReader,
    groups: dict[str, list[Group]],
    parts: Parts,
    names: Names,
    tune: dict[str, list[Group]],
    dev: dict[str, list[DevList]],
    run: Run,
    minutes: float,
    most_steps: int | None = None,
    peak: float = PEAK,
) -> JointReader:
    """Trains for so many minutes, from the last checkpoint where there is one; -> the averaged model."""
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.02, betas=(0.9, 0.98), fused=True)
    average = Averaged(model)
    path = run.folder / "checkpoint.pt"
    step, number, spent = 0, 0, 0.0
    if path.is_file():
        saved = torch.load(path, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        average.state, step, number, run.curves = saved["average"], saved["step"], saved["epoch"] + 1, saved["curves"]
        spent = float(saved["spent"])
        parts.skip(int(number * WIDE[0] * ITEMS))
        print(f"[{run.name}] resumed at step {step}, {spent:.0f} s", flush=True)
    before, began = spent, time.monotonic()
    saved_at = graded_at = began
    over = False
    while not over:
        rng = random.Random(SEED * 1_000 + number)
        settles = spent > SETTLES * 60 * minutes
        share = WIDE[settles]
        # Short answers that rules cut out end elsewhere than those that people give.
        wide = [replace(one, spans=one.spans and not settles) for one in parts.take(int(share * ITEMS))]
        items = round_of(groups, wide, names, rng, 2 * (1 - share))
        for taken in batches_of(items, rng, POSITIONS):
            spent = before + time.monotonic() - began
            over = spent > 60 * minutes or (most_steps is not None and step >= most_steps)
            if over:
                break
            for part in optimiser.param_groups:
                part["lr"] = rate_of(spent, 60 * minutes, peak)
            dropped = np.array([rng.random() < 0.25 for _ in taken])
            loss = loss_of(model, collate(taken, "cpu", dropped))
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            step += 1
            average.update(model, step)
            if step % 20 == 0:
                run.log(step, loss=loss.item())
            run.say(spent, 60 * minutes, f"step {step} round {number} loss {loss.item():.3f}", every_s=20.0)
            now = time.monotonic()
            if now - saved_at > CHECKPOINT_S:
                save_checkpoint(path, model, optimiser, average, step, number, run, spent=spent)
                saved_at = now
            if now - graded_at > GRADE_S:
                candidate = JointReader(model.sizes)
                candidate.load_state_dict(average.state)
                some = {name: known[:TUNED] for name, known in tune.items()}
                reader_listwise.graded(candidate, some, {name: known[:LISTED] for name, known in dev.items()}, run, step)
                graded_at = time.monotonic()
        number += 1
    save_checkpoint(path, model, optimiser, average, step, number, run, spent=spent)
    model.load_state_dict(average.state)
    model.eval()
    return model


def learn(data: DataFolder, minutes: float, most_steps: int | None = None, name: str = RUN) -> JointReader:
    """From the second stage's weights to the averaged ones, which are `last.pt` in the run's folder."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    run = Run(name)
    vocabulary = Vocabulary.load(ANSWERER / "stems.txt", TextTokenizer(TOKENIZER))
    # Millions of small objects, none of which can be let go of: looking for those takes longer than reading them.
    gc.disable()
    groups = reader_lists.groups(data, vocabulary, Run(reader_lists.RUN))
    gc.freeze()
    print(f"[{name}] " + ", ".join(f"{source} {len(known)}" for source, known in groups.items()), flush=True)
    reader = GroupReader(vocabulary, IdfTable.load(ANSWERER / "idf.bin"))
    tune = tuning(data, reader)
    dev = reader_listwise.dev_lists(data, reader, Run(reader_lists.RUN))
    state: dict[str, Tensor] = torch.load(RUNS / reader_lists.RUN / "reader.pt", weights_only=True)
    model = JointReader(Sizes(stems=state["stems.weight"].shape[0] - RESERVED))
    model.load_state_dict(state)
    names = Names(state["stems.weight"], (group for known in groups.values() for group in known[:3_000]))
    model = fit(model, groups, Parts(Run(RUN).folder), names, tune, dev, run, minutes, most_steps)
    torch.save(model.state_dict(), run.folder / "last.pt")
    run.finish({key: points[-1][1] for key, points in run.curves.items()})
    return model


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--minutes", type=float, default=50.0)
    arguments.add_argument("--experiment", default=RUN, help="learn under this name")
    arguments.add_argument("--steps", type=int, help="of an experiment")
    parsed = arguments.parse_args()
    learn(DataFolder(parsed.data), parsed.minutes, parsed.steps, parsed.experiment)


if __name__ == "__main__":
    # Through the module's own name, so that what is pickled can be read by others.
    from training import reader_trunk

    reader_trunk.main()
