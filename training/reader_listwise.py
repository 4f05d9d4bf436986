"""The second stage of the joint reader: lists of a right passage and BM25's best wrong ones, one loss over all of them.

python -m training.reader_listwise --data DIR --minutes 60 [--experiment NAME --steps N]

Goes on from the weights of `reader_recipe` (runs/reader/reader.pt) with a short warm-up; the rate falls as a cosine of the time
that was given, so that a run ends when it should on any machine. It resumes from its checkpoint; `reader_recipe` runs it last.
"""

from __future__ import annotations

import argparse
import math
import pickle
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ragmesh_models.lexical import IdfTable
from ragmesh_models.reading_text import RESERVED, Vocabulary
from ragmesh_models.tokens import TextTokenizer
from torch import Tensor

from training import ANSWERER, RUNS, TOKENIZER, dev_sets, passage_eval, reader_lists
from training.adapt_weights import mixed
from training.answerer_data import chunks
from training.bm25 import Bm25
from training.passage_data import TITLE_WEIGHT
from training.progress import Run
from training.reader_batches import LISTS_TAKEN, Taken, batches_of, collate, list_epoch
from training.reader_data import Example, Group, GroupReader, half_of, held_examples
from training.reader_fit import POSITIONS, Averaged, grade, list_scores, loss_of, run_model, save_checkpoint
from training.reader_model import JointReader, Sizes
from training.sources import DataFolder

SEED = 20261121
RATE = 6e-4
WARM_UP_S = 90.0
CHECKPOINT_S = 180.0
EVALUATE_S = 480.0
DEV_QUESTIONS = 160  # of each kind
DEV_DEPTH = 10
LEAST = 0.01  # of the rate
SHARES = (0.5, 0.65, 0.8, 1.0)  # of the way from the first stage's weights
CHOSEN_BY = ("squad_exact", "squad_sentence", "squad_auroc", "selqa_sentence", "squad_r1", "users_r1")


@dataclass(frozen=True)
class DevList:
    """A held-out question over the 20,000 paragraphs: the windows of BM25's best, and which of them is right."""

    group: Group
    right: frozenset[int]


def dev_lists(data: DataFolder, reader: GroupReader, run: Run) -> dict[str, list[DevList]]:
    """Lists of questions whose passage is among BM25's best; kept in the run's folder."""
    kept = run.folder / "dev.pickle"
    if kept.is_file():
        with kept.open("rb") as file:
            known: dict[str, list[DevList]] = pickle.load(file)  # noqa: S301 - our own file
        return known
    apart = data.apart()
    rows = dev_sets.mixed_corpus(apart)
    cut = [(row["id"], row["title"], row["text"][a:b]) for row in rows for a, b in chunks(row["text"])]
    index = Bm25([f"{title}\n" * TITLE_WEIGHT + text for _, title, text in cut])
    titles = {row["id"]: row["title"] for row in rows}
    squad = dev_sets.as_queries(dev_sets.squad_questions(dev_sets.squad_articles(apart, "squad11_wiki32"), rows))
    users = dev_sets.as_queries(dev_sets.nq_questions(dev_sets.natural_questions(apart), rows))
    asked = {"squad": [q for q in squad if passage_eval.tuning(titles[q["relevant"][0]])], "users": users}
    found: dict[str, list[DevList]] = {}
    for name, queries in asked.items():
        found[name] = []
        for query in random.Random(SEED).sample(queries, min(len(queries), 2 * DEV_QUESTIONS)):
            best = index.top(query["text"], DEV_DEPTH)
            right = {n for n, i in enumerate(best) if cut[i][0] in query["relevant"]}
            if right and len(found[name]) < DEV_QUESTIONS:
                first, *others = [cut[i][1:] for i in best]
                group = reader.group(Example(name, first[0], query["text"], first[1], (), False, negatives=tuple(others)))
                if group is not None and len(group.windows) == len(best):
                    found[name].append(DevList(group, frozenset(right)))
    with kept.open("wb") as file:
        pickle.dump(found, file, protocol=5)
    return found


def first_right(model: JointReader, lists: list[DevList]) -> dict[str, float]:
    """Share of lists whose best passage is right by the joint score, and by BM25 (which stands first)."""
    model.eval()
    right = 0
    with torch.no_grad():
        for one in lists:
            batch = collate([Taken(one.group, one.group.windows, True)], "cpu")
            _, _, sentence, passage, _ = run_model(model, batch)
            right += int(list_scores(sentence, passage).argmax()) in one.right
    model.train()
    return {"r1": right / max(1, len(lists)), "bm25": float(np.mean([0 in one.right for one in lists]))}


def graded(
    model: JointReader, tune: dict[str, list[Group]], dev: dict[str, list[DevList]], run: Run, step: float
) -> dict[str, float]:
    """Figures of the tuning articles and of the dev lists, said and drawn."""
    figures: dict[str, float] = {}
    for name, known in tune.items():
        found = grade(model, known, "cpu")
        figures |= {f"{name}_{key}": value for key, value in found.items()}
        print(f"[{run.name}] {step} {name} " + " ".join(f"{k} {v:.4f}" for k, v in found.items()), flush=True)
    for name, lists in dev.items():
        found = first_right(model, lists)
        figures |= {f"{name}_{key}": value for key, value in found.items()}
        print(f"[{run.name}] {step} {name} n {len(lists)} " + " ".join(f"{k} {v:.4f}" for k, v in found.items()), flush=True)
    run.log(step, **figures)
    return figures


def between(
    before: dict[str, Tensor],
    after: dict[str, Tensor],
    grade_of: Callable[[dict[str, Tensor]], dict[str, float]],
    shares: Sequence[float] = SHARES,
) -> tuple[float, dict[str, Tensor]]:
    """The weights on the way from the first stage to the second with the best mean of what is graded; and how far that is.

    What the second stage forgot of reading one passage comes back part of the way (Wortsman et al., "Robust fine-tuning of
    zero-shot models", 2022).
    """
    scores: dict[float, float] = {}
    for share in shares:
        found = grade_of(mixed(before, after, share))
        scores[share] = float(np.mean([found[name] for name in CHOSEN_BY]))
    best = max(scores, key=lambda share: scores[share])
    return best, mixed(before, after, best)


def between_report(
    state: dict[str, Tensor],
    model: JointReader,
    tune: dict[str, list[Group]],
    dev: dict[str, list[DevList]],
    name: str,
    shares: Sequence[float] = SHARES,
) -> tuple[float, dict[str, Tensor]]:
    """`between` the weights before and those of the model, graded on the tuning articles and the dev lists."""

    def grade_of(weights: dict[str, Tensor]) -> dict[str, float]:
        candidate = JointReader(model.sizes)
        candidate.load_state_dict(weights)
        return graded(candidate, tune, dev, Run(f"{name}_between"), 0)

    return between(state, model.state_dict(), grade_of, shares)


@dataclass(frozen=True)
class Learning:
    """What differs between the stages that learn from lists."""

    peak: float = RATE
    warm_up_s: float = WARM_UP_S
    taken: Mapping[str, int] = field(default_factory=lambda: LISTS_TAKEN)
    grades: bool = True  # on the way and at the end: each takes half a minute of a core
    seed: int = SEED


def rate_at(spent_s: float, of_s: float, warm_up_s: float = WARM_UP_S, peak: float = RATE) -> float:
    """Linear warm-up, then a cosine of the time that is left."""
    if spent_s < warm_up_s:
        return peak * (0.05 + 0.95 * spent_s / warm_up_s)
    share = min(1.0, (spent_s - warm_up_s) / max(1.0, of_s - warm_up_s))
    return peak * (LEAST + (1 - LEAST) * 0.5 * (1 + math.cos(math.pi * share)))


def fit(
    model: JointReader,
    groups: dict[str, list[Group]],
    tune: dict[str, list[Group]],
    dev: dict[str, list[DevList]],
    run: Run,
    minutes: float,
    most_steps: int | None = None,
    learning: Learning | None = None,
) -> JointReader:
    """Trains for so many minutes of work, checkpoints not counted twice; -> the averaged model."""
    learning = learning or Learning()
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning.peak, weight_decay=0.02, betas=(0.9, 0.98), fused=True)
    average = Averaged(model)
    path = run.folder / "checkpoint.pt"
    step, epoch, spent = 0, 0, 0.0
    if path.is_file():
        saved = torch.load(path, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        average.state, step, epoch, run.curves = saved["average"], saved["step"], saved["epoch"] + 1, saved["curves"]
        spent = float(saved["spent"])
        print(f"[{run.name}] resumed at step {step}, {spent:.0f} s", flush=True)
    before, began = spent, time.monotonic()
    saved_at = graded_at = began
    over = False
    while not over:
        rng = random.Random(learning.seed * 1_000 + epoch)
        for taken in batches_of(list_epoch(groups, rng, learning.taken), rng, POSITIONS):
            spent = before + time.monotonic() - began
            over = spent > 60 * minutes or (most_steps is not None and step >= most_steps)
            if over:
                break
            for part in optimiser.param_groups:
                part["lr"] = rate_at(spent, 60 * minutes, learning.warm_up_s, learning.peak)
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
            run.say(spent, 60 * minutes, f"step {step} epoch {epoch} loss {loss.item():.3f}", every_s=20.0)
            now = time.monotonic()
            if now - saved_at > CHECKPOINT_S:
                save_checkpoint(path, model, optimiser, average, step, epoch, run, spent=spent)
                saved_at = now
            if learning.grades and now - graded_at > EVALUATE_S:
                candidate = JointReader(model.sizes)
                candidate.load_state_dict(average.state)
                graded(candidate, tune, dev, run, step)
                graded_at = time.monotonic()
        epoch += 1
    save_checkpoint(path, model, optimiser, average, step, epoch, run, spent=spent)
    model.load_state_dict(average.state)
    model.eval()
    if learning.grades:
        graded(model, tune, dev, run, step)
    return model


def learn(
    data: DataFolder,
    minutes: float,
    name: str = reader_lists.RUN,
    most_steps: int | None = None,
    seed: int = SEED,
    sources: Sequence[str] = reader_lists.SOURCES,
) -> JointReader:
    """From the first stage's weights to the averaged model; its weights in the run's folder."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    lists, run = Run(reader_lists.RUN), Run(name)
    vocabulary = Vocabulary.load(ANSWERER / "stems.txt", TextTokenizer(TOKENIZER))
    reader = GroupReader(vocabulary, IdfTable.load(ANSWERER / "idf.bin"))
    groups = reader_lists.groups(data, vocabulary, lists, sources)
    with (RUNS / "reader" / "groups.pickle").open("rb") as file:
        single: dict[str, list[Group]] = pickle.load(file)  # noqa: S301 - our own file
    for source in ("qamr", "synthetic", "covidqa"):
        groups[f"{source}_single" if source in groups else source] = single[source]
    del single
    print(f"[{name}] " + ", ".join(f"{source} {len(known)}" for source, known in groups.items()), flush=True)
    tune: dict[str, list[Group]] = {"squad": [], "selqa": []}
    for example in held_examples(data):
        if half_of(example.title) == 0:
            group = reader.group(example)
            if group is not None:
                tune["selqa" if example.source == "selqa" else "squad"].append(group)
    dev = dev_lists(data, reader, lists)
    state: dict[str, Tensor] = torch.load(RUNS / "reader" / "reader.pt", weights_only=True)
    model = JointReader(Sizes(stems=state["stems.weight"].shape[0] - RESERVED))
    model.load_state_dict(state)
    if not (run.folder / "checkpoint.pt").is_file():
        graded(model, tune, dev, run, 0)
    model = fit(model, groups, tune, dev, run, minutes, most_steps, Learning(seed=seed))
    last: dict[str, Any] = {key: points[-1][1] for key, points in run.curves.items()}
    torch.save(model.state_dict(), run.folder / "last.pt")
    share, weights = between_report(state, model, tune, dev, name)
    model.load_state_dict(weights)
    torch.save(model.state_dict(), run.folder / "reader.pt")
    run.finish(last | {"share": share})
    return model


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--minutes", type=float, default=60.0)
    arguments.add_argument("--experiment", default=reader_lists.RUN, help="learn under this name")
    arguments.add_argument("--steps", type=int, help="of an experiment")
    arguments.add_argument("--seed", type=int, default=SEED)
    arguments.add_argument("--sources", nargs="*", default=reader_lists.SOURCES, choices=reader_lists.SOURCES)
    parsed = arguments.parse_args()
    learn(DataFolder(parsed.data), parsed.minutes, parsed.experiment, parsed.steps, parsed.seed, parsed.sources)


if __name__ == "__main__":
    # Through the module's own name, so that what is pickled can be read by others.
    from training import reader_listwise

    reader_listwise.main()
