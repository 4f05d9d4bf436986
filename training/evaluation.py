"""Reads every text that a model is graded on: the goldens, the manifest's `evaluate` files, held-out articles of the reading sets.

`splits.evaluation_grams` and `splits.evaluation_titles` are the way in. This module does not know what is trained, or how.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training import RUNS, reading_sets, splits
from training.sources import DataFolder
from training.splits import Grams, gram_set, grams, held_out, title_key

# A gram that so many articles of one set have is that set's template ("The Human Phenotype Ontology provides the following list of
# ..."), not text of any of them; as contamination it would take four in ten of MedQuAD's rows out of training.
TEMPLATE_ARTICLES = 4
CACHE = RUNS / "splits"
READABLE = (".jsonl", ".json", ".csv", ".tsv", ".txt", ".toks", ".1400", ".input0", ".input1")
READING = (
    "qa/reading/squad20_wiki32.json",
    "qa/reading/squad11_wiki32.json",
    "qa/reading/squad2_train_subset1.json",
    "qa/reading/covidqa_squadfmt_200423.json",
    "qa/reading/selqa_ass_dev.json",
    "qa/reading/selqa_ass_test.json",
    "qa/reading/fairytaleqa.jsonl",
    "qa/reading/qamr_filtered_dev.tsv",
    "qa/reading/qamr_filtered_test.tsv",
    "qa/reading/qamr_wiki_sentences.tsv",
    "qa/reading/boolq_train_olora.json",
    "qa/reading/boolq_test_olora.json",
    "qa/reading/2wikimultihop_corpus.json",
    "qa/retrieval/medquad.jsonl",
    "qa/biomed/pubmedqa_pqal.json",
)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def strings_of(name: str, text: str) -> Iterator[str]:
    """Every string of a file: of JSON the values, of JSON lines each row's, of anything else each cell of each line."""
    if name.endswith(".json"):
        yield from _strings(json.loads(text))
    elif name.endswith(".jsonl"):
        for line in text.split("\n"):
            if line.strip():
                yield from _strings(json.loads(line))
    elif name.endswith(".csv"):
        for row in csv.reader(io.StringIO(text, newline="")):
            yield from row
    elif name.endswith(".1400"):
        # Cranfield: one long text whose lines break inside sentences.
        yield from text.split("\n.I ")
    else:
        for line in text.splitlines():
            yield from line.split("\t")


def golden_files(root: Path) -> list[Path]:
    found = sorted((root / "goldens").glob("*.jsonl"))
    if not found:
        raise splits.ContaminationError(f"{root / 'goldens'} holds no golden questions to check against")
    return found


def _reading(data: DataFolder) -> Iterator[Iterable[tuple[str, tuple[str, ...]]]]:
    """Each reading set as rows of (title, texts)."""
    yield ((row.title, (row.question, row.passage)) for row in reading_sets.squad(data))
    yield ((row.title, (row.question, row.passage)) for row in reading_sets.covid_qa(data))
    yield ((row.title, (row.question, row.passage)) for row in reading_sets.sel_qa(data))
    stories = data.rows("qa/reading/fairytaleqa.jsonl")
    yield ((str(row["story"]), (str(row["question"]), str(row["context"]))) for row in stories)
    yield ((row.title, (row.question, row.passage)) for row in reading_sets.med_quad(data))
    # The data has page ids of QAMR's articles, no titles: split by the id, and by the text like every other set.
    yield ((page, (question, sentence)) for page, question, sentence in reading_sets.qamr(data))
    yield ((title, (question, passage)) for title, question, passage in reading_sets.bool_q(data))
    yield ((title, (text,)) for title, text in reading_sets.wiki_paragraphs(data))
    yield ((question, (question, context)) for question, context in reading_sets.pub_med_qa(data))
    # LFRQA and the questions without an article: the question is its own title.
    yield ((question, (question, answer)) for _, question, answer in reading_sets.long_answers(data))


def held_out_grams(rows: Iterable[tuple[str, tuple[str, ...]]]) -> NDArray[np.uint64]:
    """Grams of the held-out articles of one set, sorted, without those that are the set's template."""
    texts: dict[str, dict[str, None]] = {}
    for title, found in rows:
        texts.setdefault(title_key(title), {}).update(dict.fromkeys(found))
    known = gram_set(text for title, article in texts.items() if held_out(title) for text in article)
    if not len(known):
        return known.values
    counts = np.zeros(len(known), dtype=np.int32)
    for article in texts.values():
        own = gram_set(article).values
        at = np.minimum(np.searchsorted(known.values, own), len(known) - 1)
        counts[at[known.values[at] == own]] += 1
    return known.values[counts < TEMPLATE_ARTICLES]


def _key(data: DataFolder, root: Path) -> str:
    digest = hashlib.sha256()
    for module in (Path(__file__), Path(splits.__file__), Path(reading_sets.__file__)):
        digest.update(module.read_bytes())
    for path in golden_files(root):
        digest.update(path.read_bytes())
    for name in [*data.under("", "evaluate"), *READING, *data.under("qa/retrieval/lfrqa_")]:
        digest.update(f"{name} {data.source(name).sha256}\n".encode())
    return digest.hexdigest()[:16]


def grams_of(data: DataFolder, root: Path) -> Grams:
    """The grams of every evaluation text. About 20 s and 200 MB the first time, a moment from the cache."""
    kept = CACHE / f"evaluation-{_key(data, root)}.npy"
    if kept.is_file():
        return Grams(np.load(kept))
    parts: list[NDArray[np.uint64]] = []
    for path in golden_files(root):
        parts += [grams(text) for text in strings_of(path.name, path.read_text(encoding="utf-8"))]
    for name in data.under("", "evaluate"):
        if not name.endswith(READABLE):
            raise splits.ContaminationError(f"{name} is evaluation data of a kind that cannot be read here: teach strings_of")
        parts += [grams(text) for text in dict.fromkeys(strings_of(name, data.text(name, "evaluate")))]
    parts += [held_out_grams(rows) for rows in _reading(data)]
    found = Grams.of(parts)
    CACHE.mkdir(parents=True, exist_ok=True)
    draft = kept.with_suffix(f".{os.getpid()}.npy")
    np.save(draft, found.values)
    draft.replace(kept)
    return found


def titles_of(data: DataFolder) -> frozenset[str]:
    """Keys of the articles that real users' questions are about. (climate-FEVER cites single sentences of all of Wikipedia:
    there the text decides, not the title.)"""
    titles: set[str] = set()
    for row in data.rows("qa/reading/nq_open_oracle_2655.jsonl", "evaluate"):
        contexts = row["ctxs"]
        assert isinstance(contexts, list)
        titles.update(str(context["title"]) for context in contexts)
    titles.update(str(row["title_text"]) for row in data.rows("qa/reading/qed_dev.jsonl", "evaluate"))
    return frozenset(title_key(title) for title in titles if title_key(title))
