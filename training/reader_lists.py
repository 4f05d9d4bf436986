"""Lists for the joint reader: a question's own passage beside the passages that a search would have put before it.

Negatives are BM25's best that do not hold an answer, of the same article and of others, and one picked blindly. Long passages are
cut to a run of sentences, right ones and wrong ones alike, so that length tells nothing. Beside them stand questions that nothing
answers: SQuAD 2.0's own, and questions in which a name or a number was changed.

python -m training.reader_lists --data DIR [--sources NAME ...]     reads sources into training/runs/reader_lists
"""

from __future__ import annotations

import argparse
import pickle
import random
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ragmesh_models import sentences
from ragmesh_models.lexical import IdfTable, words_of
from ragmesh_models.reading_text import Vocabulary
from ragmesh_models.tokens import TextTokenizer

from training import ANSWERER, ROOT, TOKENIZER, reading_sets
from training.bm25 import Bm25
from training.passage_data import TITLE_WEIGHT, holds, in_other_words
from training.progress import Run
from training.reader_data import NO, YES, Example, Group, GroupReader, asked_by_rule
from training.reading_sets import Reading
from training.sources import DataFolder
from training.splits import clean, evaluation_grams, evaluation_titles, refuse_contamination, title_key, trainable

SEED = 20261121
RUN = "reader_lists"
MOST_CHARS = 1_000  # of one passage
DEPTH = 40  # of BM25's best, those that may answer among them
UNTITLED = 0.25  # of all lists have no titles
BY_RULE = 9_000
CHANGED = 4_000
_HARDEST = 4
_FARTHER = 2  # of BM25's 5th and later
_BLOCK = 4  # sentences of a passage made of single sentences
_NAME = re.compile(r"(?<=[a-z,] )(?:[A-Z][\w'-]+)(?: (?:of |the )?[A-Z][\w'-]+)*|\b\d[\d,.]*\d\b")

Passage = tuple[str, str]  # title, text


def crop(text: str, keep: tuple[int, int] | None, question: str, rng: random.Random, most: int = MOST_CHARS) -> tuple[str, int]:
    """A run of whole sentences of at most `most` around `keep`, or what is most like the question; and where it begins."""
    if len(text) <= most:
        return text, 0
    cuts = sentences.split(text)
    if not cuts:
        return text[:most], 0
    if keep is None:
        wanted = set(words_of(question).stems)
        best = max(range(len(cuts)), key=lambda n: len(wanted & set(words_of(text[cuts[n].start : cuts[n].end]).stems)))
        low = high = best
    else:
        inside = [n for n, cut in enumerate(cuts) if cut.start < keep[1] and keep[0] < cut.end] or [0]
        low, high = inside[0], inside[-1]
    while True:
        room = most - (cuts[high].end - cuts[low].start)
        sides = []
        if low > 0 and cuts[low].start - cuts[low - 1].start <= room:
            sides.append(-1)
        if high + 1 < len(cuts) and cuts[high + 1].end - cuts[high].end <= room:
            sides.append(1)
        if not sides:
            return text[cuts[low].start : cuts[high].end], cuts[low].start
        if rng.choice(sides) < 0:
            low -= 1
        else:
            high += 1


class Pool:
    """Passages that are searched as one."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self.passages = list(dict.fromkeys(passages))
        self._index = Bm25([f"{title}\n" * TITLE_WEIGHT + text for title, text in self.passages])

    def negatives(self, example: Example, wrong: Callable[[Passage], bool], rng: random.Random) -> tuple[Passage, ...]:
        """Up to six of BM25's best that do not answer, hardest first, then one picked blindly; each cut."""
        answers = tuple({example.passage[a:b] for a, b in example.answers}) if example.spans else ()
        ranked = [self.passages[i] for i in self._index.top(example.question, DEPTH)]
        known = [one for one in ranked if one[1] != example.passage and wrong(one) and not answers_in(one[1], answers)]
        hard = known[:_HARDEST] + rng.sample(known[_HARDEST:], min(_FARTHER, len(known[_HARDEST:])))
        for _ in range(10):
            blind = rng.choice(self.passages)
            if blind[1] != example.passage and wrong(blind) and blind not in hard and not answers_in(blind[1], answers):
                hard.append(blind)
                break
        return tuple((title, crop(text, None, example.question, rng)[0]) for title, text in hard)


def answers_in(text: str, answers: tuple[str, ...]) -> bool:
    return holds(text.casefold(), tuple(answer.casefold() for answer in answers))


def with_negatives(example: Example, pool: Pool, rng: random.Random, wrong: Callable[[Passage], bool] = lambda _: True) -> Example:
    """The example with its negatives, cut, sometimes as people type, sometimes without titles."""
    negatives = pool.negatives(example, wrong, rng)
    example = shortened(example, rng)
    title = example.title
    if rng.random() < UNTITLED:
        title, negatives = "", tuple(("", text) for _, text in negatives)
    question = in_other_words(example.question, rng) if rng.random() < 0.5 else example.question
    return replace(example, title=title, question=question, negatives=negatives)


def shortened(example: Example, rng: random.Random, most: int = MOST_CHARS) -> Example:
    """The example with its passage cut to at most so many characters around its answer."""
    keep = example.answers[0] if example.answers else None
    text, begin = crop(example.passage, keep, example.question, rng, most)
    inside = tuple((a - begin, b - begin) for a, b in example.answers if begin <= a and b <= begin + len(text))
    if example.answers and not inside:
        # A long answer may run over the cut.
        inside = ((max(0, example.answers[0][0] - begin), min(len(text), example.answers[0][1] - begin)),)
    return replace(example, passage=text, answers=inside)


def _kept(data: DataFolder, rows: list[Reading]) -> list[Reading]:
    evaluated = evaluation_titles(data)
    known = evaluation_grams(data, ROOT)
    return clean((row for row in rows if trainable(row.title, evaluated)), lambda row: (row.question, row.passage), known)


def _wiki(data: DataFolder) -> list[Passage]:
    evaluated, known = evaluation_titles(data), evaluation_grams(data, ROOT)
    return clean((p for p in reading_sets.wiki_paragraphs(data) if trainable(p[0], evaluated)), lambda pair: pair[1], known)


def _yes_or_no(data: DataFolder) -> list[Example]:
    rows = reading_sets.bool_answers(data)
    said = {(title, question): yes for title, question, _, yes in rows}
    kept = _kept(data, [Reading("boolq", title, question, text, (), False) for title, question, text, _ in rows])
    return [Example("boolq", r.title, r.question, r.passage, (), False, YES if said[r.title, r.question] else NO) for r in kept]


def _example(row: Reading) -> Example:
    return Example(row.source, row.title, row.question, row.passage, row.answers, row.spans)


def articles(data: DataFolder) -> tuple[list[Example], Pool]:
    """SQuAD, SelQA and BoolQ, and the one pool that they are asked over."""
    rows = _kept(data, reading_sets.squad(data) + reading_sets.sel_qa(data))
    found = [_example(row) for row in rows] + _yes_or_no(data)
    return found, Pool([(one.title, one.passage) for one in found] + _wiki(data))


def changed(rows: Sequence[Example], rng: random.Random) -> list[Example]:
    """Questions in which a name or a number is one of another question about the same article that their passage does not have."""
    names: dict[str, list[str]] = {}
    for row in rows:
        names.setdefault(row.title, []).extend(_NAME.findall(row.question))
    found = []
    for row in rows:
        places = list(_NAME.finditer(row.question))
        if not row.answers or not places:
            continue
        place = rng.choice(places)
        number = place.group()[0].isdigit()
        others = [
            name
            for name in dict.fromkeys(names[row.title])
            if name[0].isdigit() == number and name.casefold() not in row.passage.casefold() and name not in row.question
        ]
        if others:
            question = row.question[: place.start()] + rng.choice(others) + row.question[place.end() :]
            found.append(replace(row, source="changed", question=question, answers=()))
    rng.shuffle(found)
    return found[:CHANGED]


def _sentence_blocks(data: DataFolder) -> tuple[list[Example], Pool]:
    """Single sentences, in the order of their file, joined to passages: neighbours there are of one article."""
    known = evaluation_grams(data, ROOT)
    rows = clean(reading_sets.sentence_answers(data), lambda row: row[:2], known)
    single = list(dict.fromkeys(sentence for _, sentence, _ in rows))
    blocks = [single[at : at + _BLOCK] for at in range(0, len(single), _BLOCK)]
    # The source is lower-cased: a capital keeps the sentences apart.
    texts = [[text[0].upper() + text[1:] for text in block] for block in blocks]
    place = {sentence: (n, i) for n, block in enumerate(blocks) for i, sentence in enumerate(block)}
    found = []
    for question, sentence, answer in rows:
        match = re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", sentence, re.IGNORECASE) if answer else None
        if match is not None:
            n, i = place[sentence]
            begin = sum(len(text) + 1 for text in texts[n][:i])
            answers = ((match.start() + begin, match.end() + begin),)
            found.append(Example("sentqa", "", question, " ".join(texts[n]), answers, True))
    return found, Pool([("", " ".join(block)) for block in texts])


def _wrong(example: Example, answering: dict[str, set[str]]) -> Callable[[Passage], bool]:
    """Which passages may stand as wrong, where that cannot be told by a short answer.

    A passage of the same title may answer a question that people typed; to a health question, passages about the same subject are
    the hard ones, but those that the same question was asked of are right.
    """
    own, right = title_key(example.title), answering[example.question]
    if example.source == "boolq":
        return lambda passage: title_key(passage[0]) != own
    return lambda passage: passage[1] not in right


def listed(data: DataFolder, source: str) -> list[Example]:
    """All examples of one of SOURCES, with their negatives."""
    rng = random.Random(SEED + zlib.crc32(source.encode()))
    if source in ("articles", "changed"):
        found, pool = articles(data)
        if source == "changed":
            found = changed([one for one in found if one.spans], rng)
    elif source == "sentqa":
        found, pool = _sentence_blocks(data)
    elif source == "synthetic":
        rows = asked_by_rule(data)
        found, pool = rows[:BY_RULE], Pool([(row.title, row.passage) for row in rows])
    elif source == "stories":
        found = [_example(row) for row in _kept(data, reading_sets.fairy_tales(data))]
        pool = Pool([(one.title, one.passage) for one in found])
    else:
        found = [_example(row) for row in _kept(data, reading_sets.med_quad(data))]
        pool = Pool([(one.title, one.passage) for one in found])
        rng.shuffle(found)
        found = found[:4_000]
    answering: dict[str, set[str]] = {}
    for one in found:
        answering.setdefault(one.question, set()).add(one.passage)
    lists = [with_negatives(one, pool, rng, _wrong(one, answering)) for one in found]
    known = evaluation_grams(data, ROOT)
    kept = clean(lists, lambda one: (one.question, one.passage, *(text for _, text in one.negatives)), known)
    refuse_contamination((text for one in kept for text in (one.question, one.passage)), known, f"reader lists of {source}")
    print(f"[{RUN}] {source}: {len(lists) - len(kept)} of {len(lists)} lists share text with evaluation files", flush=True)
    return kept


SOURCES = ("articles", "sentqa", "changed", "synthetic", "medquad", "stories")


def groups(data: DataFolder, vocabulary: Vocabulary, run: Run, wanted: Sequence[str] = SOURCES) -> dict[str, list[Group]]:
    """Source -> its groups; each of SOURCES is kept as a file in the run's folder, since reading them takes minutes."""
    read: dict[str, list[Group]] = {}
    for source in wanted:
        kept = run.folder / f"{source}.pickle"
        if not kept.is_file():
            reader = GroupReader(vocabulary, IdfTable.load(ANSWERER / "idf.bin"))
            examples = listed(data, source)
            found: list[Group] = []
            for number, example in enumerate(examples):
                group = reader.group(example)
                if group is not None:
                    found.append(group)
                run.say(number + 1, len(examples), f"lists of {source} read", every_s=15.0)
            with kept.with_suffix(".part").open("wb") as file:
                pickle.dump(found, file, protocol=5)
            kept.with_suffix(".part").replace(kept)
        with kept.open("rb") as file:
            for group in pickle.load(file):  # noqa: S301 - our own file
                read.setdefault(group.source, []).append(group)
    return read


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--sources", nargs="*", default=SOURCES, choices=SOURCES)
    parsed = arguments.parse_args()
    stems = Vocabulary.load(ANSWERER / "stems.txt", TextTokenizer(TOKENIZER))
    done = groups(DataFolder(parsed.data), stems, Run(RUN), parsed.sources)
    print({source: len(known) for source, known in done.items()}, flush=True)
