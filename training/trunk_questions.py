"""Questions about the whole open text, for the reader's trunk: asked by rules, and spans that recur.

A recurring span (Ram et al., "Few-shot question answering by pretraining span selection", 2021) is a name or a number that two
sentences of a document share: one of them, without it, is the question, the paragraph of the other is where it is found. Beside
them stand questions in which a name or a number was changed, which nothing answers. All come as lists with BM25's best wrong
passages, of the same document and of others. Each part is another draw of documents, so that no passage is learnt by heart.

With `--alone` all that can be asked of a draw comes without lists, in short passages, some of them beside a neighbour that does not
answer: a tenth of the time of a list for each question, to write and to learn from.

python -m training.trunk_questions --data DIR --parts 24     writes training/runs/trunk/part-*.pickle
python -m training.trunk_questions --data DIR --parts 40 --alone     writes training/runs/trunk/alone-*.pickle
"""

from __future__ import annotations

import argparse
import pickle
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ragmesh_models import sentences
from ragmesh_models.lexical import IdfTable, words_of
from ragmesh_models.reading_text import Vocabulary
from ragmesh_models.sentences import SentenceKind
from ragmesh_models.tokens import TextTokenizer

from training import ANSWERER, ROOT, TOKENIZER, reader_lists
from training.answerer_data import chunks
from training.open_text import documents
from training.progress import Run
from training.reader_data import Example, Group, GroupReader
from training.sources import DataFolder
from training.splits import Grams, clean, evaluation_grams, evaluation_titles, refuse_contamination, trainable
from training.synthetic import Text, triples
from training.synthetic_sources import wiki_documents

SEED = 20261123
RUN = "trunk"
PARAGRAPHS = 6_000  # of one part
ITEMS = 1_000  # of one part
WIKI = 0.45  # of a part's paragraphs, and of textbooks; the rest are manuals, reports and books
TEXTBOOKS = 0.3
RULES, CHANGED = 0.6, 0.14  # of a part's items; the rest recur
ALONE_CHARS = 700  # of one passage that comes without a list
BESIDE = 0.4  # of those have a neighbour that does not answer
LEAST_CHARS = 150
MOST_OF_DOCUMENT = 40  # paragraphs, from a place drawn anew
_CARELESS = ("standardebooks", "rust_rfcs", "peps", "swift_evolution", "ethereum_eips")
_LESS = 0.25  # of the documents of those come: little of them can be asked about
_SPAN = re.compile(r"(?<=[a-z,;(] )(?:[A-Z][\w'’-]+)(?: (?:of |the |de |von )?[A-Z][\w'’-]+){0,4}|(?<![\w.,])\d[\d,.]*\d(?![\w])")
_OWN = 80  # characters by which a passage is known
_WIDE = 26  # words of a sentence that is asked, around the span
_NOTES = re.compile(r"https?:|www\.|doi|[Aa]ccessed|[Rr]etrieved|\bpp?\.")  # of footnotes, which have names and no sense
_MOST_PLACES = 6  # of a span that recurs
_MOST_SHARED = 0.8
_LEAST_SHARED = 2  # stems of both sentences beside the span


@dataclass(frozen=True)
class Place:
    """A sentence of a paragraph."""

    paragraph: int
    begin: int
    end: int


def wide_documents(data: DataFolder) -> dict[str, list[Text]]:
    """`wiki`, `textbooks` and `rest`: what may be trained on, in paragraphs of at most a passage."""
    evaluated = evaluation_titles(data)
    found: dict[str, list[Text]] = {"wiki": list(wiki_documents(data)), "textbooks": [], "rest": []}
    rng = random.Random(SEED)
    for document in documents(data):
        if not trainable(document.title, evaluated) or (document.source in _CARELESS and rng.random() > _LESS):
            continue
        sections = [(heading, text[a:b]) for heading, text in document.sections for a, b in chunks(text)]
        kind = "textbooks" if document.source.startswith("openstax") else "rest"
        found[kind].append(Text(document.source, document.title, sections))
    return found


def drawn(known: dict[str, list[Text]], rng: random.Random) -> list[Text]:
    """The documents of one part: PARAGRAPHS in all, of long documents a run of paragraphs."""
    found: list[Text] = []
    for kind, share in (("wiki", WIKI), ("textbooks", TEXTBOOKS), ("rest", 1 - WIKI - TEXTBOOKS)):
        room = int(PARAGRAPHS * share)
        for document in rng.sample(known[kind], len(known[kind])):
            if room <= 0:
                break
            at = rng.randrange(max(1, len(document.sections) - MOST_OF_DOCUMENT + 1))
            part = document.sections[at : at + MOST_OF_DOCUMENT]
            found.append(replace(document, sections=part))
            room -= len(part)
    return found


def _title(document: Text, heading: str, rng: random.Random) -> str:
    return f"{document.title} > {heading}" if heading and document.title and rng.random() < 0.5 else document.title


def _asked(sentence: str, begin: int, end: int, rng: random.Random) -> str:
    """The sentence around the span [begin, end), with a question word in its place; or some of its words behind one."""
    number = sentence[begin].isdigit()
    before, after = sentence[:begin].rstrip(), sentence[end:].lstrip()
    word = "what" if not number else "when" if re.search(r"\b(?:in|since|by|until|from|of)$", before) else "how many"
    before_words, after_words = before.split(), after.split()
    room = _WIDE - min(len(after_words), _WIDE // 2)
    before_words, after_words = before_words[-room:], after_words[: _WIDE - min(len(before_words), room)]
    if rng.random() < 0.65:
        text = " ".join([*before_words, word, *after_words])
    else:
        # Some of the words only: a question seldom has all of those of the sentence that answers it.
        rest = before_words + after_words
        kept = [one for one in rest if rng.random() < 0.7] or rest
        text = " ".join([word if number or rng.random() < 0.7 else rng.choice(("who", "which", "where")), *kept])
    text = text.strip(" .,;:")
    return text.lower() if rng.random() < 0.3 else text[:1].upper() + text[1:] + rng.choice(("?", ""))


def recurring(document: Text, rng: random.Random) -> Iterator[Example]:
    """Questions of the spans that recur in a document, each span once."""
    paragraphs = [text for _, text in document.sections]
    places: dict[str, list[Place]] = {}
    for number, text in enumerate(paragraphs):
        for cut in sentences.split(text):
            if cut.kind is SentenceKind.PROSE and 40 <= cut.end - cut.start <= 400 and not _NOTES.search(text, cut.start, cut.end):
                for span in {match.group().rstrip(".,") for match in _SPAN.finditer(text, cut.start, cut.end)}:
                    places.setdefault(span, []).append(Place(number, cut.start, cut.end))
    titled = set(words_of(document.title).stems)
    for span, known in places.items():
        of_span = set(words_of(span).stems)
        if not 2 <= len(known) <= _MOST_PLACES or not of_span or of_span <= titled:
            continue
        stems = [_content(paragraphs[p.paragraph][p.begin : p.end]) - of_span - titled for p in known]
        pairs = [(len(stems[a] & stems[b]), a, b) for a in range(len(known)) for b in range(len(known)) if a != b]
        shared, a, b = max(pairs, key=lambda one: (one[0], rng.random()))
        # The same sentence twice teaches nothing.
        if shared < _LEAST_SHARED or shared > _MOST_SHARED * len(stems[a]):
            continue
        asked, answering = known[a], known[b]
        sentence = paragraphs[asked.paragraph][asked.begin : asked.end]
        at = sentence.find(span)
        question = _asked(sentence, at, at + len(span), rng)
        passage, begin = paragraphs[answering.paragraph], answering.begin
        if asked.paragraph == answering.paragraph:
            # The sentence that is asked leaves its paragraph.
            passage = passage[: asked.begin] + passage[asked.end :].lstrip()
            begin = passage.find(paragraphs[asked.paragraph][answering.begin : answering.end])
        place = re.search(rf"(?<!\w){re.escape(span)}(?!\w)", passage[max(0, begin) :])
        if place is None or begin < 0 or len(passage) < LEAST_CHARS // 2:
            continue
        title = _title(document, document.sections[answering.paragraph][0], rng)
        yield Example("recurring", title, question, passage, ((begin + place.start(), begin + place.end()),), True)


def _content(text: str) -> set[str]:
    words = words_of(text)
    return {stemmed for stemmed, stop in zip(words.stems, words.stops, strict=True) if not stop and len(stemmed) > 2}


def _askable(drawn_documents: Sequence[Text], rng: random.Random) -> tuple[list[Example], list[Example], list[Example]]:
    """Asked by rule, one a passage; such with a change; spans that recur."""
    by_rule = [
        Example("wide", row.title, row.question, row.passage, row.answers, True)
        for row in triples(drawn_documents, rng.randrange(2**31), copies=1)
    ]
    # One question of a passage, so that as many passages as can be are asked about.
    rng.shuffle(by_rule)
    by_rule = list({row.passage: row for row in by_rule}.values())
    unanswerable = [replace(row, source="wide_changed") for row in reader_lists.changed(by_rule, rng)]
    found = [row for document in drawn_documents for row in recurring(document, rng)]
    rng.shuffle(found)
    return by_rule, unanswerable, found


def asked(drawn_documents: Sequence[Text], rng: random.Random) -> list[Example]:
    """About ITEMS of the three kinds, in random order."""
    by_rule, unanswerable, found = _askable(drawn_documents, rng)
    wanted = int(ITEMS * RULES), int(ITEMS * CHANGED)
    chosen = by_rule[: wanted[0]] + unanswerable[: wanted[1]] + found[: ITEMS - sum(wanted)]
    rng.shuffle(chosen)
    return chosen


def lists(drawn_documents: Sequence[Text], known: Grams, rng: random.Random) -> list[Example]:
    """The items of one part with their negatives; what shares text with evaluation files is left out."""
    rows = clean(asked(drawn_documents, rng), lambda row: (row.question, row.passage), known)
    passages = [(d.title, text) for d in drawn_documents for _, text in d.sections if len(text) >= LEAST_CHARS]
    pool = reader_lists.Pool(passages)
    found = [reader_lists.with_negatives(row, pool, rng, _elsewhere(row)) for row in rows]
    kept = clean(found, lambda one: tuple(text for _, text in one.negatives), known)
    refuse_contamination((text for one in kept for text in (one.question, one.passage)), known, "the trunk's questions")
    return kept


def alone(drawn_documents: Sequence[Text], known: Grams, rng: random.Random) -> list[Example]:
    """All that can be asked of the documents, in passages of at most ALONE_CHARS; never what shares text with evaluation files."""
    by_rule, unanswerable, found = _askable(drawn_documents, rng)
    rows = by_rule + found + unanswerable[: int(CHANGED * (len(by_rule) + len(found)))]
    rng.shuffle(rows)
    neighbours: dict[str, list[str]] = {}
    for document in drawn_documents:
        neighbours.setdefault(document.title, []).extend(text for _, text in document.sections if len(text) >= LEAST_CHARS)
    kept: list[Example] = []
    for row in clean(rows, lambda row: (row.question, row.passage), known):
        one = reader_lists.shortened(row, rng, ALONE_CHARS)
        if rng.random() < BESIDE:
            one = replace(one, negatives=_neighbour(one, neighbours.get(row.title, ()), _elsewhere(row), rng))
        kept.append(
            replace(one, title="", negatives=tuple(("", text) for _, text in one.negatives)) if rng.random() < 0.25 else one
        )
    kept = clean(kept, lambda one: tuple(text for _, text in one.negatives), known)
    refuse_contamination((text for one in kept for text in (one.question, one.passage)), known, "the trunk's questions")
    return kept


def _neighbour(
    row: Example, texts: Sequence[str], wrong: Callable[[reader_lists.Passage], bool], rng: random.Random
) -> tuple[reader_lists.Passage, ...]:
    """Of a few passages of the same document the one that shares most with the question and has no answer."""
    answers = tuple({row.passage[a:b] for a, b in row.answers})
    some = [text for text in rng.sample(texts, min(len(texts), 6)) if wrong((row.title, text))]
    some = [text for text in some if not reader_lists.answers_in(text, answers)]
    if not some:
        return ()
    wanted = _content(row.question)
    best = max(some, key=lambda text: len(wanted & _content(text)))
    return ((row.title, reader_lists.crop(best, None, row.question, rng, ALONE_CHARS)[0]),)


def _elsewhere(row: Example) -> Callable[[reader_lists.Passage], bool]:
    """Whether a passage is not the row's own, which is cut out of a longer one."""
    own = row.passage[:_OWN]
    return lambda passage: own not in passage[1]


def write_part(
    number: int, known: dict[str, list[Text]], refused: Grams, vocabulary: Vocabulary, run: Run, listed: bool = True
) -> int:
    """One part as a file of groups; -> how many. A part that is there is left."""
    kept = run.folder / f"{'part' if listed else 'alone'}-{number:03d}.pickle"
    if kept.is_file():
        return 0
    rng = random.Random(SEED * 1_000 + number + (0 if listed else 500))
    reader = GroupReader(vocabulary, IdfTable.load(ANSWERER / "idf.bin"))
    groups: list[Group] = []
    for example in (lists if listed else alone)(drawn(known, rng), refused, rng):
        group = reader.group(example)
        if group is not None:
            groups.append(group)
    with kept.with_suffix(".writing").open("wb") as file:
        pickle.dump(groups, file, protocol=5)
    kept.with_suffix(".writing").replace(kept)
    return len(groups)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--parts", type=int, default=24)
    arguments.add_argument("--first", type=int, default=0)
    arguments.add_argument("--alone", action="store_true", help="short passages without lists")
    arguments.add_argument("--show", type=int, default=0, help="items of a first part to look at; nothing is written")
    parsed = arguments.parse_args()
    data = DataFolder(parsed.data)
    known = wide_documents(data)
    if parsed.show:
        rng = random.Random(SEED)
        for row in (alone if parsed.alone else lists)(drawn(known, rng), evaluation_grams(data, ROOT), rng)[: parsed.show]:
            answers = "; ".join(row.passage[a:b] for a, b in row.answers)
            print(" | ".join((row.source, row.title, row.question, answers, row.passage[:300])))
        return
    refused, run = evaluation_grams(data, ROOT), Run(RUN)
    vocabulary = Vocabulary.load(ANSWERER / "stems.txt", TextTokenizer(TOKENIZER))
    for number in range(parsed.first, parsed.first + parsed.parts):
        count = write_part(number, known, refused, vocabulary, run, not parsed.alone)
        run.say(number + 1 - parsed.first, parsed.parts, f"part {number}: {count} groups", every_s=0.0)


if __name__ == "__main__":
    # Through the module's own name, so that what is pickled can be read by others.
    from training import trunk_questions

    trunk_questions.main()
