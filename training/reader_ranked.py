"""The third stage of the joint reader: lists of what the feature scorer really ranks highest, learnt as an addition to its scores.

python -m training.reader_ranked --data DIR --minutes 30 [--mine MINUTES]

The reader's odds are added to the scorer's score when passages are ranked, so half of the listwise loss is taken of that sum: what
the scorer knows already teaches nothing, what it gets wrong teaches most. The search of the training lists is BM25's alone, because
the embedder knows the training questions by heart. Lists of the second stage stand between them, so that spans
and sentences are not forgotten; low rate, cosine of the time to zero, averaged weights; `between` goes back part of the way.
"""

from __future__ import annotations

import argparse
import gc
import pickle
import random
import time
from pathlib import Path

import torch
from ragmesh_models.lexical import IdfTable
from ragmesh_models.ranking import Ranker
from ragmesh_models.reading_text import RESERVED, Vocabulary
from ragmesh_models.tokens import TextTokenizer
from torch import Tensor

from training import ANSWERER, MODEL_REPOSITORY, ROOT, RUNS, TOKENIZER, reader_lists, reader_listwise
from training.answerer_data import chunks
from training.bm25 import Bm25
from training.passage_data import TITLE_WEIGHT, fused, in_other_words, retrieval_scores
from training.progress import Run
from training.reader_data import Example, Group, GroupReader, RankedGroup, half_of, held_examples
from training.reader_listwise import Learning, between_report
from training.reader_model import JointReader, Sizes
from training.sources import DataFolder
from training.splits import evaluation_grams, refuse_contamination, title_key

SEED = 20261122
RUN = "reader_ranked"
CANDIDATES = 50  # as the reranker gets them
HARDEST = 7  # of the scorer's best wrong ones
SHARE_OF_BOOLQ = 0.2  # of the questions that are mined
# Of one pass, how many lists of the stage before.
TAKEN = {
    "ranked": 6_000, "sentqa": 1_500, "synthetic": 800, "boolq": 300, "selqa": 300, "changed": 400, "squad20_wiki32": 800,
    "squad11_wiki32": 500, "squad2_train_subset1": 200,
}  # fmt: skip
LISTS = ("articles", "sentqa", "changed", "synthetic")
SHARES = (0.0, 0.5, 1.0)  # of the way, of which 0 ships nothing
PEAK = 3e-4

Ranked = tuple[tuple[str, str, str], float]  # title, part of a passage, the whole of it; the scorer's score


def _wanted(examples: list[Example], rng: random.Random) -> list[Example]:
    """Answerable questions in random order; yes and no questions, which are typed into a search box, are a fifth."""
    spans = [one for one in examples if one.answers]
    typed = [one for one in examples if one.said]
    rng.shuffle(spans)
    rng.shuffle(typed)
    typed = typed[: int(len(spans) * SHARE_OF_BOOLQ)]
    found = spans + typed
    rng.shuffle(found)
    return found


def mine(data: DataFolder, vocabulary: Vocabulary, run: Run, minutes: float) -> list[RankedGroup]:
    """As many lists as the minutes allow; kept in the run's folder.

    A list is the question's own passage, then the wrong ones that the scorer ranks highest, each with the scorer's score.
    """
    kept = run.folder / "ranked.pickle"
    if kept.is_file():
        with kept.open("rb") as file:
            known: list[RankedGroup] = pickle.load(file)  # noqa: S301 - our own file
        return known
    rng = random.Random(SEED)
    examples, pool = reader_lists.articles(data)
    cut = list(dict.fromkeys((title, text[a:b], text) for title, text in pool.passages for a, b in chunks(text)))
    index = Bm25([f"{title}\n" * TITLE_WEIGHT + text for title, text, _ in cut])
    print(f"[{run.name}] {len(examples)} questions, {len(cut)} passages", flush=True)
    ranker = Ranker(MODEL_REPOSITORY / "reranker" / "1")
    reader = GroupReader(vocabulary, IdfTable.load(ANSWERER / "idf.bin"))
    grams = evaluation_grams(data, ROOT)
    wanted = _wanted(examples, rng)
    found: list[RankedGroup] = []
    began = time.monotonic()
    for number, example in enumerate(wanted):
        if time.monotonic() - began > 60 * minutes:
            break
        question = in_other_words(example.question, rng) if rng.random() < 0.5 else example.question
        scores = index.scores(question)
        best = index.top(question, CANDIDATES)
        marks = fused({}, {int(i): float(scores[i]) for i in best if scores[i] > 0})
        chosen = list(marks)
        if len(chosen) < HARDEST:
            continue
        titles, texts = [cut[i][0] for i in chosen], [cut[i][1] for i in chosen]
        lexical = ranker.lexical(
            question, texts, titles, retrieval_scores(chosen, {}, {i: float(scores[i]) for i in chosen}, marks)
        )
        listed = list_of(example, question, [(cut[i], float(score)) for i, score in zip(chosen, lexical, strict=True)])
        if listed is None:
            continue
        group = reader.group(listed[0])
        if group is not None and len(group.windows) == 1 + HARDEST:
            refuse_contamination((text for _, text in listed[0].negatives), grams, "ranked lists")
            found.append(
                RankedGroup("ranked", group.kind, group.windows, group.answerable, group.spans, group.said, lexical=listed[1])
            )
        run.say(number + 1, len(wanted), f"questions searched, {len(found)} lists", every_s=15.0)
    with kept.with_suffix(".part").open("wb") as file:
        pickle.dump(found, file, protocol=5)
    kept.with_suffix(".part").replace(kept)
    return found


def list_of(example: Example, question: str, ranked: list[Ranked]) -> tuple[Example, tuple[float, ...]] | None:
    """The example over its own part of its passage with the scorer's best wrong ones; and the scores of all. None: too few."""
    own = [(a, b) for a, b in chunks(example.passage) if not example.answers or a <= example.answers[0][0] < b]
    if not own:
        return None
    begin, end = own[0]
    text = example.passage[begin:end]
    answers = tuple((a - begin, min(b, end) - begin) for a, b in example.answers if begin <= a < end)
    strings = tuple({example.passage[a:b] for a, b in example.answers}) if example.spans else ()
    key = title_key(example.title)
    score = min(mark for _, mark in ranked)
    wrong: list[tuple[tuple[str, str], float]] = []
    for (title, part, whole), mark in sorted(ranked, key=lambda one: -one[1]):
        if whole == example.passage:
            if part == text:
                score = mark
            continue
        # Without short answers nobody knows what else of the same article answers.
        if (not strings and title_key(title) == key) or reader_lists.answers_in(part, strings):
            continue
        wrong.append(((title, part), mark))
    if len(wrong) < HARDEST:
        return None
    negatives = tuple(passage for passage, _ in wrong[:HARDEST])
    listed = Example("ranked", example.title, question, text, answers, example.spans, example.said, negatives)
    return listed, (score, *(mark for _, mark in wrong[:HARDEST]))


def learn(data: DataFolder, minutes: float, mining: float, seed: int = SEED) -> JointReader:
    """From the second stage's weights to the averaged ones of this one; its weights in the run's folder."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    run = Run(RUN)
    vocabulary = Vocabulary.load(ANSWERER / "stems.txt", TextTokenizer(TOKENIZER))
    groups: dict[str, list[Group]] = {"ranked": [*mine(data, vocabulary, run, mining)]}
    # Millions of small objects, none of which can be let go of: looking for those takes longer than reading them.
    gc.disable()
    groups |= reader_lists.groups(data, vocabulary, Run(reader_lists.RUN), LISTS)
    gc.enable()
    gc.freeze()
    print(f"[{RUN}] " + ", ".join(f"{source} {len(known)}" for source, known in groups.items()), flush=True)
    reader = GroupReader(vocabulary, IdfTable.load(ANSWERER / "idf.bin"))
    tune: dict[str, list[Group]] = {"squad": [], "selqa": []}
    for example in held_examples(data):
        if half_of(example.title) == 0:
            group = reader.group(example)
            if group is not None:
                tune["selqa" if example.source == "selqa" else "squad"].append(group)
    dev = reader_listwise.dev_lists(data, reader, Run(reader_lists.RUN))
    state: dict[str, Tensor] = torch.load(RUNS / reader_lists.RUN / "reader.pt", weights_only=True)
    model = JointReader(Sizes(stems=state["stems.weight"].shape[0] - RESERVED))
    model.load_state_dict(state)
    chosen = Learning(peak=PEAK, warm_up_s=60.0, taken=TAKEN, grades=False, seed=seed)
    model = reader_listwise.fit(model, groups, tune, dev, run, minutes, learning=chosen)
    torch.save(model.state_dict(), run.folder / "last.pt")
    share, weights = between_report(state, model, tune, dev, RUN, SHARES)
    model.load_state_dict(weights)
    torch.save(model.state_dict(), run.folder / "reader.pt")
    run.finish({key: points[-1][1] for key, points in run.curves.items()} | {"share": share})
    return model


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--minutes", type=float, default=30.0)
    arguments.add_argument("--mine", type=float, default=8.0, help="minutes for making the lists")
    arguments.add_argument("--seed", type=int, default=SEED)
    parsed = arguments.parse_args()
    learn(DataFolder(parsed.data), parsed.minutes, parsed.mine, parsed.seed)


if __name__ == "__main__":
    # Through the module's own name, so that what is pickled can be read by others.
    from training import reader_ranked

    reader_ranked.main()
