"""Trains the joint reader's trunk before any question that somebody asked: on the whole open text, names changed.

python -m training.reader_trunk --data DIR --minutes 180 [--until 22:30]

Begins with the word vectors, as `reader_recipe` does. What is read are the parts of `trunk_questions --alone`, as they are written
and each item once, with some of its lists; most names, numbers and rare words are others each time (`reader_names`). Beside the
reader's own loss some words of the passages are hidden (`reader_stage`). The rate stays the same after a warm-up: it falls when
the reader settles on real questions (`reader_settle`), so that a trunk can be used at any step and go on after. A run that is asked
to stop (SIGTERM) goes on by the same command.
"""

from __future__ import annotations

import argparse
import gc
import pickle
import random
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from ragmesh_models.lexical import IdfTable
from ragmesh_models.reading_text import Vocabulary
from ragmesh_models.tokens import TextTokenizer

from training import ANSWERER, RUNS, TOKENIZER, trunk_questions, word_vectors
from training.progress import Run
from training.reader_batches import Taken, draw
from training.reader_data import Group, GroupReader, half_of, held_examples
from training.reader_fit import grade
from training.reader_model import JointReader, Sizes
from training.reader_names import Names
from training.reader_recipe import start_model
from training.reader_stage import RATE, SEED, Stage, Stop, fit
from training.sources import DataFolder

RUN = "trunk_first"
WARM_UP = 200  # steps
ITEMS = 1_500  # of a round, alone
LISTED = 80  # of a round, lists
MOST_WIDE = 3  # wrong passages of a list
RENAMED = 0.8  # of the items
WORDS = 0.2  # weight of telling them
PROBED = 300  # held-out questions that grade on the way
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


def steady(step: int, spent_s: float) -> float:
    """The trunk's rate."""
    del spent_s
    return RATE * min(1.0, (step + 1) / WARM_UP)


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
