"""Claims beside evidence with a label, for training the verifier: FEVER's pairs, MNLI, and claims made from question-answer pairs.

What is held out is never here: FEVER's claims by the group of all rows that share evidence (`claim_sets.groups`), articles by their
title. Evaluation rows come from `claim_sets`. This module does not know features.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ragmesh_models import sentences
from ragmesh_models.lexical import words_of

from training import reading_sets
from training.claim_sets import fever_pairs, fever_rows, fool_me_twice, fool_me_twice_rows
from training.reading_sets import Reading
from training.sources import DataFolder
from training.splits import Grams, clean, gram_set, held_out, title_key, trainable
from training.verifier_swaps import CONTRADICTED, SUPPORTED, UNKNOWN, claim_of, other_answer, paraphrases, wrong_claims

SEED = 20261121
_MOST_SENTENCES = 2  # of one paragraph that claims are made from
_LOWERED_SHARE = 0.06  # so that case does not become a cue
_MOST_QUESTIONS = 3
_SENTQA_SHARE = 0.1
_WINDOW_SHARE = 0.5  # evidence cut down to the sentence and its neighbours
MNLI = {"entailment": SUPPORTED, "contradiction": CONTRADICTED, "neutral": UNKNOWN}


@dataclass(frozen=True)
class Pair:
    claim: str
    evidence: str
    label: int
    source: str
    kind: str
    weight: float = 1.0


def fever(data: DataFolder) -> list[Pair]:
    """Claims of the groups that are not held out."""
    labels = {"supported": SUPPORTED, "contradicted": CONTRADICTED}
    return [Pair(row["claim"], row["evidence"], labels[row["label"]], "fever", row["label"], 2.0) for row in fever_rows(data)[0]]


def fooling(data: DataFolder) -> list[Pair]:
    """FoolMeTwice's pages that are not held out."""
    labels = {"supported": SUPPORTED, "contradicted": CONTRADICTED}
    return [
        Pair(row["claim"], row["evidence"], labels[row["label"]], "foolmetwice", row["label"])
        for row in fool_me_twice_rows(data)[0]
    ]


def unrelated(pairs: list[Pair], rng: random.Random) -> list[Pair]:
    """Claims beside the evidence of another claim that shares a rare word with them: unknown."""
    by_stem: dict[str, list[int]] = defaultdict(list)
    contents = []
    for n, pair in enumerate(pairs):
        words = words_of(pair.claim)
        contents.append([stem for stem, stop in zip(words.stems, words.stops, strict=True) if not stop])
        for stem in contents[-1]:
            by_stem[stem].append(n)
    found = []
    for n in rng.sample(range(len(pairs)), len(pairs) // 4):
        stems = [stem for stem in contents[n] if 1 < len(by_stem[stem]) < 200]
        other = pairs[rng.choice(by_stem[rng.choice(stems)])] if stems else pairs[rng.randrange(len(pairs))]
        if other.evidence != pairs[n].evidence and title_key(other.claim) != title_key(pairs[n].claim):
            found.append(Pair(pairs[n].claim, other.evidence, UNKNOWN, "fever", "unrelated"))
    return found


def mnli(data: DataFolder) -> list[Pair]:
    found = []
    for name in ("train", "test"):
        for row in json.loads(data.text(f"qa/nli_verify/mnli_{name}_olora.json")):
            first, _, second = row["sentence"].partition("\nsentence 2: ")
            premise = first.removeprefix("sentence 1: ").strip()
            if row["label"] in MNLI and premise and second.strip() and not held_out(premise):
                found.append(Pair(second.strip(), premise, MNLI[row["label"]], "mnli", row["label"]))
    return found


@dataclass(frozen=True)
class _Paragraph:
    source: str
    title: str
    text: str
    asked: tuple[tuple[str, str, int], ...]
    """(question, short answer or empty, where it starts)"""


def _paragraphs(data: DataFolder, wanted: Callable[[str], bool]) -> list[_Paragraph]:
    grouped: dict[tuple[str, str, str], list[tuple[str, str, int]]] = {}
    rows: list[Reading] = [*reading_sets.squad(data), *reading_sets.sel_qa(data)]
    for row in rows:
        if not wanted(row.title):
            continue
        asked = grouped.setdefault((row.source.split("_")[0], row.title, row.passage), [])
        for start, end in row.answers[:3]:
            asked.append((row.question, row.passage[start:end] if row.spans else "", start))
    for page, question, sentence, answer in reading_sets.qamr_answers(data):
        if wanted(page):
            grouped.setdefault(("qamr", page, sentence), []).append((question, answer, max(0, sentence.find(answer))))
    for question, sentence, answer in reading_sets.sentence_answers(data):
        if wanted(question):
            grouped.setdefault(("sentqa", sentence, sentence), []).append((question, answer, 0))
    return [_Paragraph(*key, tuple(asked)) for key, asked in grouped.items()]


def _window(text: str, cuts: list[tuple[int, int]], at: int, rng: random.Random) -> str:
    """The whole paragraph, or the sentence with a neighbour or two."""
    if rng.random() > _WINDOW_SHARE or len(cuts) == 1:
        return text
    low, high = max(0, at - rng.randint(0, 1)), min(len(cuts) - 1, at + rng.randint(0, 1))
    return text[cuts[low][0] : cuts[high][1]]


def _of_sentence(row: _Paragraph, cuts: list[tuple[int, int]], at: int, far: str, rng: random.Random) -> Iterator[Pair]:
    sentence = row.text[cuts[at][0] : cuts[at][1]]
    evidence = _window(row.text, cuts, at, rng)
    right = paraphrases(sentence, rng)
    chosen = (
        [right[0], *rng.sample(right[1:], min(2, len(right) - 1))] if rng.random() < 0.5 else rng.sample(right, min(2, len(right)))
    )
    for claim in chosen:
        yield Pair(claim, evidence, SUPPORTED, row.source, "paraphrase")
    wrong = wrong_claims(rng.choice(right), evidence, far, rng)
    for made in rng.sample(wrong, min(3, len(wrong))):
        yield Pair(made.text, evidence, CONTRADICTED, row.source, made.kind)


def _of_questions(row: _Paragraph, others: list[str], rng: random.Random) -> Iterator[Pair]:
    answers = [answer for _, answer, _ in row.asked if answer]
    for question, answer, _ in row.asked[:_MOST_QUESTIONS]:
        claim = claim_of(question, answer) if answer else None
        if claim is None:
            continue
        yield Pair(claim, row.text, SUPPORTED, row.source, "answer")
        other = other_answer(answer, answers if rng.random() < 0.6 else others, rng)
        wrong = claim_of(question, other) if other else None
        if wrong and wrong != claim:
            yield Pair(wrong, row.text, CONTRADICTED, row.source, "other answer")


def made_of_questions(data: DataFolder, wanted: Callable[[str], bool], rng: random.Random) -> list[Pair]:
    """Supported, contradicted and unknown claims from every question-answer pair of the wanted articles (by title, page or, without
    one, question)."""
    rows = _paragraphs(data, wanted)
    by_title: dict[str, list[_Paragraph]] = defaultdict(list)
    for row in rows:
        by_title[row.title].append(row)
    found: list[Pair] = []
    for row in rows:
        # Lower-cased single sentences in great number: some are enough.
        if row.source == "sentqa" and rng.random() > _SENTQA_SHARE:
            continue
        cuts = [(cut.start, cut.end) for cut in sentences.split(row.text)]
        far = rng.choice(by_title[row.title]).text
        if far == row.text:
            far = rng.choice(rows).text
        long_enough = [n for n, (start, end) in enumerate(cuts) if 5 <= len(row.text[start:end].split()) <= 60]
        most = 1 if row.source == "selqa" else _MOST_SENTENCES
        for at in rng.sample(long_enough, min(most, len(long_enough))):
            found += _of_sentence(row, cuts, at, far, rng)
        if row.source != "selqa":
            found += _of_questions(row, [answer for _, answer, _ in rng.choice(rows).asked if answer], rng)
        elsewhere = [(cut.start, cut.end) for cut in sentences.split(far) if 5 <= len(far[cut.start : cut.end].split()) <= 60]
        if elsewhere:
            start, end = rng.choice(elsewhere)
            found.append(Pair(rng.choice(paraphrases(far[start:end], rng)), row.text, UNKNOWN, row.source, "neighbour"))
    return found


def _lowered(pair: Pair, rng: random.Random) -> Pair:
    if rng.random() >= _LOWERED_SHARE:
        return pair
    both = rng.random() < 0.5
    return Pair(
        pair.claim.lower(), pair.evidence.lower() if both else pair.evidence, pair.label, pair.source, pair.kind, pair.weight
    )


def training_pairs(data: DataFolder, known: Grams, evaluated: frozenset[str]) -> list[Pair]:
    """Everything that is trained on, without a row that shares 13 words with evaluation text."""
    rng = random.Random(SEED)
    checked = fever(data)
    made = made_of_questions(data, lambda title: trainable(title, evaluated), rng)
    pairs = [*checked, *unrelated(checked, rng), *fooling(data), *mnli(data), *made]
    apart = known | gram_set(text for row in [*fever_pairs(data), *fool_me_twice(data)] for text in (row["evidence"], row["claim"]))
    return [_lowered(pair, rng) for pair in clean(pairs, lambda pair: (pair.claim, pair.evidence), apart)]
