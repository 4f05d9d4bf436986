"""Question answering sets as one type: a question, its passage, where the answer stands, or that it does not.

Ranges are in characters of the passage. This module does not know splits, features or models.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from training.sources import DataFolder

_BRACKETS = {"-lrb-": "(", "-rrb-": ")", "-lsb-": "[", "-rsb-": "]", "-lcb-": "{", "-rcb-": "}", "``": '"', "''": '"'}


@dataclass(frozen=True)
class Reading:
    """One question about one passage."""

    source: str
    title: str
    question: str
    passage: str
    answers: tuple[tuple[int, int], ...]
    """Where an annotator marked the answer; empty when the passage does not hold it."""
    spans: bool
    """Whether `answers` are short answers (else whole sentences)."""


def detokenise(text: str) -> str:
    """Undoes Penn Treebank spacing, well enough for word features."""
    words = [_BRACKETS.get(word.lower(), word) for word in text.split()]
    joined = re.sub(r" ([.,;:!?%)\]}]|n't|'(?:s|re|ve|ll|d|m)\b)", r"\1", " ".join(words))
    return re.sub(r"([(\[{$]) ", r"\1", joined)


def _squad_file(document: Any, source: str, seen: set[str]) -> Iterator[Reading]:
    for article in document["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                if str(question["id"]) in seen:
                    continue
                seen.add(str(question["id"]))
                answers = {(a["answer_start"], a["answer_start"] + len(a["text"])) for a in question["answers"] if a["text"]}
                title = article.get("title") or paragraph["context"][:80]
                yield Reading(
                    source,
                    title.replace("_", " "),
                    question["question"].strip(),
                    paragraph["context"],
                    tuple(sorted(answers)),
                    True,
                )


def squad(data: DataFolder) -> list[Reading]:
    """SQuAD 2.0 first: where a question stands in both files, it is the same row."""
    seen: set[str] = set()
    rows: list[Reading] = []
    for name in ("squad20_wiki32", "squad11_wiki32", "squad2_train_subset1"):
        rows.extend(_squad_file(json.loads(data.text(f"qa/reading/{name}.json")), name, seen))
    return rows


def covid_qa(data: DataFolder) -> list[Reading]:
    return list(_squad_file(json.loads(data.text("qa/reading/covidqa_squadfmt_200423.json")), "covidqa", set()))


def sel_qa(data: DataFolder) -> list[Reading]:
    """Sections of Wikipedia articles; the answer is one or more whole sentences."""
    rows: list[Reading] = []
    for name in ("selqa_ass_dev", "selqa_ass_test"):
        for row in json.loads(data.text(f"qa/reading/{name}.json")):
            starts: list[int] = []
            at = 0
            for candidate in row["candidates"]:
                starts.append(at)
                at += len(candidate) + 1
            answers = tuple((starts[i], starts[i] + len(row["candidates"][i])) for i in row["answers"])
            rows.append(Reading("selqa", row["article"], row["question"], " ".join(row["candidates"]), answers, False))
    return rows


def fairy_tales(data: DataFolder) -> list[Reading]:
    """Explicit questions whose answer stands in the section literally."""
    rows: list[Reading] = []
    for row in data.rows("qa/reading/fairytaleqa.jsonl"):
        passage = str(row["context"])
        if row["ex_or_im"] != "explicit":
            continue
        answers = row["answers"]
        assert isinstance(answers, list)
        ranges: set[tuple[int, int]] = set()
        for answer in answers:
            pattern = re.sub(r"\\? +", r"\\s+", re.escape(str(answer).strip().rstrip(".")))
            match = re.search(pattern, passage, re.IGNORECASE) if pattern else None
            if match:
                ranges.add(match.span())
        if ranges:
            rows.append(Reading("fairytaleqa", str(row["story"]), str(row["question"]), passage, tuple(sorted(ranges)), True))
    return rows


def med_quad(data: DataFolder) -> list[Reading]:
    """Health questions; the answers are whole documents, whose opening sentences answer the question."""
    rows: list[Reading] = []
    for row in data.rows("qa/retrieval/medquad.jsonl"):
        answer = str(row["answer"]).strip()
        if answer:
            rows.append(Reading("medquad", str(row["focus"]), str(row["question"]), answer, ((0, min(len(answer), 200)),), False))
    return rows


def sentence_qa(data: DataFolder) -> list[tuple[str, str]]:
    """(question, sentence) pairs without titles, lower-cased at the source."""
    return [
        (detokenise(str(row["question"])), detokenise(str(row["sentence"])))
        for row in data.rows("qa/reading/squad_train_sentqa_11k.jsonl")
    ]


def qamr(data: DataFolder) -> list[tuple[str, str, str]]:
    """(article id, question, sentence) of QAMR."""
    sentences = dict(line.split("\t", 1) for line in data.text("qa/reading/qamr_wiki_sentences.tsv").splitlines())
    rows: dict[tuple[str, str], tuple[str, str, str]] = {}
    for name in ("dev", "test"):
        for line in data.text(f"qa/reading/qamr_filtered_{name}.tsv").splitlines():
            cells = line.split("\t")
            if cells[0] in sentences and "something" not in cells[5].lower():
                article = ":".join(cells[0].split(":")[1:3])
                rows[cells[0], cells[5]] = (article, detokenise(cells[5]), detokenise(sentences[cells[0]]))
    return list(rows.values())


def sentence_answers(data: DataFolder) -> list[tuple[str, str, str]]:
    """(question, sentence, short answer), lower-cased at the source."""
    return [
        (detokenise(str(row["question"])), detokenise(str(row["sentence"])), detokenise(str(row["answer"])))
        for row in data.rows("qa/reading/squad_train_sentqa_11k.jsonl")
    ]


def qamr_answers(data: DataFolder) -> list[tuple[str, str, str, str]]:
    """(article id, question, sentence, short answer) of QAMR; the answer as the first annotator marked its words."""
    sentences = dict(line.split("\t", 1) for line in data.text("qa/reading/qamr_wiki_sentences.tsv").splitlines())
    rows: dict[tuple[str, str], tuple[str, str, str, str]] = {}
    for name in ("dev", "test"):
        for line in data.text(f"qa/reading/qamr_filtered_{name}.tsv").splitlines():
            cells = line.split("\t")
            if cells[0] not in sentences or "something" in cells[5].lower():
                continue
            words = sentences[cells[0]].split()
            places = [int(n) for n in cells[6].split()]
            # Answers with a gap are not a span.
            if not places or max(places) >= len(words) or places != list(range(places[0], places[-1] + 1)):
                continue
            answer = detokenise(" ".join(words[places[0] : places[-1] + 1]))
            article = ":".join(cells[0].split(":")[1:3])
            rows[cells[0], cells[5]] = (article, detokenise(cells[5]), detokenise(sentences[cells[0]]), answer)
    return list(rows.values())


def bool_q(data: DataFolder) -> list[tuple[str, str, str]]:
    """(title, question, passage) of BoolQ."""
    return [(title, question, passage) for title, question, passage, _ in bool_answers(data)]


def bool_answers(data: DataFolder) -> list[tuple[str, str, str, bool]]:
    """(title, question, passage, whether the answer is yes) of BoolQ."""
    rows: list[tuple[str, str, str, bool]] = []
    for name in ("train", "test"):
        for row in json.loads(data.text(f"qa/reading/boolq_{name}_olora.json")):
            head, _, passage = row["sentence"].partition("\npassage: ")
            title, dash, body = passage.partition(" -- ")
            if dash:
                rows.append((title, head.removeprefix("question: ") + "?", body, row["label"] == "True"))
    return rows


def long_answers(data: DataFolder) -> list[tuple[str, str, str]]:
    """(domain, question, human long answer) of LFRQA."""
    rows: list[tuple[str, str, str]] = []
    for name in data.under("qa/retrieval/lfrqa_"):
        for row in data.rows(name):
            rows.append((name, str(row["question"]), re.sub(r"\s+", " ", str(row["answer"]))))
    return rows


def pub_med_qa(data: DataFolder) -> list[tuple[str, str]]:
    rows = json.loads(data.text("qa/biomed/pubmedqa_pqal.json"))
    return [(row["QUESTION"], " ".join(row["CONTEXTS"])) for row in rows.values()]


def wiki_paragraphs(data: DataFolder) -> list[tuple[str, str]]:
    return [(row["title"], row["text"]) for row in json.loads(data.text("qa/reading/2wikimultihop_corpus.json"))]
