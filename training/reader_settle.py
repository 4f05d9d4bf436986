"""Settles the joint reader on questions that people asked: from a trunk (`reader_trunk`), or from the word vectors to compare.

python -m training.reader_settle --data DIR --minutes 15 --experiment settle_trunk
python -m training.reader_settle --data DIR --minutes 15 --experiment settle_vectors --begin vectors

First single passages, some beside a wrong one, then the second stage's lists, in both of which half of the items have other names
(`reader_names`); a few lists of the open text go on between them. The rate is a cosine of the processor's time to zero. The
averaged weights are `last.pt` in the run's folder; stops and goes on as the trunk's run does.
"""

from __future__ import annotations

import argparse
import gc
import pickle
import random
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from ragmesh_models.lexical import IdfTable
from ragmesh_models.reading_text import Vocabulary
from ragmesh_models.tokens import TextTokenizer

from training import ANSWERER, RUNS, TOKENIZER, reader_lists, reader_listwise, trunk_questions, word_vectors
from training.progress import Run
from training.reader_batches import Taken, draw
from training.reader_data import Group, GroupReader, half_of, held_examples
from training.reader_listwise import rate_at
from training.reader_model import JointReader, Sizes
from training.reader_names import Names
from training.reader_recipe import start_model
from training.reader_stage import Stage, Stop, fit
from training.reader_trunk import RUN as TRUNK
from training.reader_trunk import Parts, renamed, single
from training.sources import DataFolder

SEED = 20261125
RUN = "reader_settled"
PEAK = 8e-4
WARM_UP_S = 30.0
SINGLE = 0.5  # of the time, single passages
BESIDE, WITHOUT = 0.45, 0.15  # of those have a wrong one beside them, and of these that one only
RENAMED = 0.5
WIDE = 100  # lists of the open text in a round
MOST_WIDE = 3  # wrong passages beside one of those
TUNED = 300  # questions that grade on the way, of each source
LISTED = 60  # lists that do
# Of a round, the questions of each source.
TAKEN = {
    "squad20_wiki32": 500, "squad11_wiki32": 220, "squad2_train_subset1": 90, "selqa": 130, "boolq": 150, "changed": 110,
    "qamr": 400, "sentqa": 400, "synthetic": 100, "fairytaleqa": 80, "medquad": 60, "covidqa": 20,
}  # fmt: skip


@dataclass
class RealQuestions:
    """Rounds of all sources and of a few wide lists."""

    groups: dict[str, list[Group]]
    wide: Parts
    names: Names
    seconds: float
    single: float = SINGLE

    def round(self, rng: random.Random, spent_s: float) -> list[Taken]:
        singly = spent_s < self.single * self.seconds
        # Short answers that rules cut out end elsewhere than those that people give.
        some = [replace(group, spans=False) for group in self.wide.take(WIDE)]
        taken = [draw(group, rng, MOST_WIDE) for group in some]
        for source, known in self.groups.items():
            for group in rng.sample(known, min(len(known), TAKEN.get(source, 0))):
                one = single(group, rng, BESIDE, WITHOUT) if singly else draw(group, rng)
                taken.append(renamed(one, self.names, rng, RENAMED))
        return taken

    def place(self) -> dict[str, Any]:
        return {"wide": self.wide.place}

    def go_on(self, saved: Mapping[str, Any]) -> None:
        self.wide.go_on(saved["wide"])


def real_groups(data: DataFolder, vocabulary: Vocabulary) -> dict[str, list[Group]]:
    """The second stage's lists, and of the first one's questions those that have none."""
    groups = reader_lists.groups(data, vocabulary, Run(reader_lists.RUN))
    with (RUNS / "reader" / "groups.pickle").open("rb") as file:
        first: dict[str, list[Group]] = pickle.load(file)  # noqa: S301 - our own file
    return groups | {source: first[source] for source in ("qamr", "covidqa")}


def tuning(data: DataFolder, reader: GroupReader) -> dict[str, list[Group]]:
    """TUNED of the tuning articles' questions of each source."""
    found: dict[str, list[Group]] = {"squad": [], "selqa": []}
    rows = [one for one in held_examples(data) if half_of(one.title) == 0]
    random.Random(SEED).shuffle(rows)
    for example in rows:
        known = found["selqa" if example.source == "selqa" else "squad"]
        group = reader.group(example) if len(known) < TUNED else None
        if group is not None:
            known.append(group)
    return found


def learn(
    data: DataFolder,
    minutes: float,
    begin: str,
    stop: Stop,
    name: str = RUN,
    seed: int = SEED,
    most_steps: int | None = None,
    alone: float = SINGLE,
) -> JointReader:
    """From the weights `begin` (a checkpoint whose average counts, or `vectors`) to the averaged ones."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    run = Run(name)
    stems, vectors = word_vectors.train(data)
    vocabulary = Vocabulary(stems, TextTokenizer(TOKENIZER))
    # Millions of small objects, none of which can be let go of: looking for those takes longer than reading them.
    gc.disable()
    groups = real_groups(data, vocabulary)
    gc.freeze()
    print(f"[{name}] " + ", ".join(f"{source} {len(known)}" for source, known in groups.items()), flush=True)
    reader = GroupReader(vocabulary, IdfTable.load(ANSWERER / "idf.bin"))
    tune = tuning(data, reader)
    dev = {key: known[:LISTED] for key, known in reader_listwise.dev_lists(data, reader, Run(reader_lists.RUN)).items()}
    model = start_model(Sizes(), vectors, groups)
    # What is alike is what the word vectors say, whatever is begun with.
    names = Names(model.stems.weight.detach(), (group for known in groups.values() for group in known[:3_000]))
    if begin != "vectors":
        model.load_state_dict(torch.load(begin, weights_only=True)["average"])
    seconds = 60 * minutes
    stage = Stage(seconds, lambda _, spent: rate_at(spent, seconds, WARM_UP_S, PEAK), most_steps=most_steps)
    material = RealQuestions(groups, Parts(RUNS / trunk_questions.RUN), names, seconds, alone)
    model = fit(model, material, stage, run, stop, lambda one, step: _graded(one, tune, dev, run, step))
    torch.save(model.state_dict(), run.folder / "last.pt")
    if not stop:
        _graded(model, tune, dev, run, -1)
    return model


def _graded(
    model: JointReader, tune: dict[str, list[Group]], dev: dict[str, list[reader_listwise.DevList]], run: Run, step: int
) -> None:
    reader_listwise.graded(model, tune, dev, run, step)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--minutes", type=float, default=60.0, help="of the processor, over all starts")
    arguments.add_argument("--begin", default=str(RUNS / TRUNK / "checkpoint.pt"), help="a trunk's checkpoint, or `vectors`")
    arguments.add_argument("--experiment", default=RUN, help="learn under this name")
    arguments.add_argument("--seed", type=int, default=SEED)
    arguments.add_argument("--steps", type=int, help="of an experiment")
    arguments.add_argument("--single", type=float, default=SINGLE, help="of the time, single passages")
    parsed = arguments.parse_args()
    stop = Stop()
    signal.signal(signal.SIGTERM, stop.ask)
    learn(DataFolder(parsed.data), parsed.minutes, parsed.begin, stop, parsed.experiment, parsed.seed, parsed.steps, parsed.single)


if __name__ == "__main__":
    # Through the module's own name, so that what is pickled can be read by others.
    from training import reader_settle

    reader_settle.main()
