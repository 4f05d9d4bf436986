"""Writes our own evaluation files, in the formats that `ragmesh eval` reads: held-out articles, claims and questions only.

python -m training.dev_sets --data DIR --out build/dev

The same data gives the same bytes. What is held out is said by `splits.held_out`, of a SQuAD article by its title, of MedQuAD by
its focus, of a claim by the claim. NQ-oracle's tune half is every question whose hash is even; the other half is for the last
figures. The files are for tuning and comparing, and are not committed. This module does not know any model.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from training import reading_sets
from training.bm25 import Bm25
from training.claim_sets import fever_pairs, fool_me_twice, swapped_pairs
from training.open_text import documents
from training.sources import DataFolder
from training.splits import held_out

SEED = 20261121
CORPUS_ROWS = 20_000
MAX_PARAGRAPH = 2_000  # characters: about one chunk
Row = dict[str, Any]


def is_tune(question: str) -> bool:
    """Whether a question of real users belongs to the half that may be looked at."""
    return hashlib.sha256(f"ragmesh-nq-tune {question}".encode()).digest()[0] % 2 == 0


def _words(text: str) -> str:
    return " ".join(text.replace("_", " ").split())


def short_id(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def squad_articles(data: DataFolder, name: str) -> list[Row]:
    """The held-out articles of one SQuAD file, as they are."""
    document = json.loads(data.text(f"qa/reading/{name}.json"))
    return [article for article in document["data"] if held_out(_words(article["title"]))]


def occurrences(text: str, answers: Iterable[str]) -> list[Row]:
    """Every place where one of the answers stands in a text as whole words, in any case, in SQuAD's form."""
    found: dict[tuple[int, str], None] = {}
    for answer in answers:
        body = re.escape(answer.strip())
        left, right = (r"\b" if answer.strip()[:1].isalnum() else ""), (r"\b" if answer.strip()[-1:].isalnum() else "")
        if body:
            for match in re.finditer(f"{left}{body}{right}", text, re.IGNORECASE):
                found[match.start(), match.group()] = None
    return [{"text": said, "answer_start": start} for start, said in sorted(found)]


def natural_questions(data: DataFolder) -> list[Row]:
    """The tune half of NQ-oracle whose gold paragraph holds an answer literally: question, answers, title, text, places."""
    rows = []
    for row in data.rows("qa/reading/nq_open_oracle_2655.jsonl", "evaluate"):
        question, contexts, answers = str(row["question"]), row["ctxs"], row["answers"]
        assert isinstance(contexts, list)
        assert isinstance(answers, list)
        title, text = contexts[0]["title"], contexts[0]["text"]
        places = occurrences(text, answers)
        if is_tune(question) and places:
            rows.append({"question": question, "answers": answers, "title": title, "text": text, "places": places})
    return rows


def nq_as_squad(rows: list[Row]) -> Row:
    articles: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        asked = {"id": short_id("nq", row["question"]), "question": row["question"], "answers": row["places"]}
        articles.setdefault(row["title"], {}).setdefault(row["text"], []).append(asked)
    return {
        "version": "1.1",
        "data": [
            {"title": title, "paragraphs": [{"context": text, "qas": qas} for text, qas in paragraphs.items()]}
            for title, paragraphs in articles.items()
        ],
    }


def off_corpus(articles: list[Row], questions: list[str]) -> Row:
    """SQuAD 2.0 rows that can be answered, and users' questions about the paragraph that BM25 finds for them: impossible ones."""
    paragraphs = [(article, paragraph) for article in articles for paragraph in article["paragraphs"]]
    index = Bm25([paragraph["context"] for _, paragraph in paragraphs])
    kept: dict[int, list[Row]] = {n: [qa for qa in p["qas"] if not qa.get("is_impossible")] for n, (_, p) in enumerate(paragraphs)}
    for question in questions[: sum(map(len, kept.values()))]:
        best = (index.top(question, 1) or [0])[0]
        asked = {"id": short_id("off", question), "question": question, "answers": [], "is_impossible": True}
        kept[best].append(asked)
    found: dict[str, list[Row]] = {}
    for n, (article, paragraph) in enumerate(paragraphs):
        found.setdefault(article["title"], []).append({"context": paragraph["context"], "qas": kept[n]})
    return {"version": "v2.0", "data": [{"title": title, "paragraphs": parts} for title, parts in found.items()]}


def mixed_corpus(data: DataFolder) -> list[Row]:
    """20,000 paragraphs {id, title, text}: SQuAD's, NQ-oracle's (both halves), 2WikiMultihop's, then open text to fill up."""
    rows: dict[str, Row] = {}

    def add(source: str, title: str, text: str) -> None:
        body = text.strip()
        if body and body not in rows:
            rows[body] = {"id": f"{source}-{short_id(body)}", "title": _words(title), "text": body}

    for name in ("squad20_wiki32", "squad11_wiki32", "squad2_train_subset1"):
        for article in json.loads(data.text(f"qa/reading/{name}.json"))["data"]:
            for paragraph in article["paragraphs"]:
                add("squad", article["title"], paragraph["context"])
    for row in data.rows("qa/reading/nq_open_oracle_2655.jsonl", "evaluate"):
        contexts = row["ctxs"]
        assert isinstance(contexts, list)
        add("nq", contexts[0]["title"], contexts[0]["text"])
    for title, text in reading_sets.wiki_paragraphs(data):
        add("wiki", title, text)
    others = [
        (document.source, document.title, text)
        for document in documents(data)
        if document.source.startswith(("openstax", "cia", "craft", "digitalgov"))
        for _, text in document.sections
        if 200 < len(text) < MAX_PARAGRAPH
    ]
    random.Random(SEED).shuffle(others)
    for source, title, text in others:
        if len(rows) >= CORPUS_ROWS:
            break
        add(source.split("_")[0], title, text)
    return list(rows.values())


def squad_questions(articles: list[Row], corpus: list[Row]) -> list[Row]:
    """Answerable questions {id, question, answers, relevant, answerable} over the mixed corpus; each question text once."""
    ids = {row["text"]: row["id"] for row in corpus}
    rows: dict[str, Row] = {}
    for article in articles:
        for paragraph in article["paragraphs"]:
            where = ids[paragraph["context"].strip()]
            for qa in paragraph["qas"]:
                text = qa["question"].strip()
                if not qa["answers"] or qa.get("is_impossible"):
                    continue
                answers = list(dict.fromkeys(answer["text"] for answer in qa["answers"]))
                row = rows.setdefault(
                    text, {"id": str(qa["id"]), "question": text, "answers": [], "relevant": [], "answerable": True}
                )
                row["answers"] = list(dict.fromkeys(row["answers"] + answers))
                row["relevant"] = list(dict.fromkeys([*row["relevant"], where]))
    return list(rows.values())


def nq_questions(rows: list[Row], corpus: list[Row]) -> list[Row]:
    ids = {row["text"]: row["id"] for row in corpus}
    return [
        {
            "id": short_id("nq", row["question"]),
            "question": row["question"],
            "answers": row["answers"],
            "relevant": [ids[row["text"].strip()]],
            "answerable": True,
        }
        for row in rows
    ]


def unanswerable(data: DataFolder, count: int) -> list[Row]:
    """Users' questions about things that the corpus is not about, as far as anyone knows: none of its NQ paragraphs was theirs."""
    rows = data.rows("qa/questions/NQ-open.efficientqa.dev.1.1.jsonl", "evaluate")
    texts = sorted({str(row["question"]) for row in rows}, key=lambda text: short_id("off", text))[:count]
    return [{"id": short_id("none", text), "question": text, "answers": [], "relevant": [], "answerable": False} for text in texts]


def as_queries(questions: list[Row]) -> list[Row]:
    return [{"id": row["id"], "text": row["question"], "relevant": row["relevant"]} for row in questions if row["relevant"]]


def med_quad(data: DataFolder) -> tuple[list[Row], list[Row], list[Row]]:
    """Corpus with the focus as title, corpus of answers alone, queries about held-out focuses; graded by the question's text."""
    corpus: dict[tuple[str, str], Row] = {}
    relevant: dict[str, list[str]] = {}
    for row in reading_sets.med_quad(data):
        key = (row.title, row.passage)
        entry = corpus.setdefault(key, {"id": f"med-{short_id(*key)}", "title": row.title, "text": row.passage})
        if held_out(row.title):
            found = relevant.setdefault(row.question, [])
            found += [entry["id"]] if entry["id"] not in found else []
    same: dict[str, list[str]] = {}
    for (_, text), entry in corpus.items():
        same.setdefault(text, []).append(entry["id"])
    twins = {name: ids for ids in same.values() for name in ids}
    rows = list(corpus.values())
    queries = [
        # A duplicate of the right answer is right.
        {"id": short_id("med", text), "text": text, "relevant": sorted({twin for name in ids for twin in twins[name]})}
        for text, ids in relevant.items()
    ]
    return rows, [{**row, "title": ""} for row in rows], queries


def _sample(rows: list[Row], most: int) -> list[Row]:
    """The same ones every time, in the order of their file."""
    kept = {id(row) for row in sorted(rows, key=lambda row: short_id("sample", row["id"]))[:most]}
    return [row for row in rows if id(row) in kept]


def dev_sets(data: DataFolder) -> dict[str, Any]:
    """File name -> what is in it: a document, or a list of rows for JSON lines."""
    first, second = squad_articles(data, "squad11_wiki32"), squad_articles(data, "squad20_wiki32")
    users = natural_questions(data)
    corpus = mixed_corpus(data)
    asked, asked_users = squad_questions(first, corpus), nq_questions(users, corpus)
    nowhere = unanswerable(data, 300)
    med, med_untitled, med_queries = med_quad(data)
    return {
        "squad11.json": {"version": "1.1", "data": first},
        "squad20.json": {"version": "v2.0", "data": second},
        "squad20_offcorpus.json": off_corpus(second, [row["question"] for row in users]),
        "nq.json": nq_as_squad(users),
        "corpus20k.jsonl": corpus,
        "queries_squad.jsonl": as_queries(asked),
        "queries_nq.jsonl": as_queries(asked_users),
        "questions_squad.jsonl": [*_sample(asked, 500), *nowhere[:150]],
        "questions_nq.jsonl": [*_sample(asked_users, 500), *nowhere[150:]],
        "medquad_corpus.jsonl": med,
        "medquad_corpus_untitled.jsonl": med_untitled,
        "medquad_queries.jsonl": _sample(med_queries, 1_000),
        "fever.jsonl": fever_pairs(data),
        "swaps.jsonl": swapped_pairs(data, random.Random(SEED)),
        "foolmetwice.jsonl": fool_me_twice(data),
    }


def write(sets: dict[str, Any], out: Path) -> dict[str, int]:
    """File name -> number of questions or rows."""
    out.mkdir(parents=True, exist_ok=True)
    counts = {}
    for name, content in sets.items():
        if isinstance(content, list):
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content)
            counts[name] = len(content)
        else:
            text = json.dumps(content, ensure_ascii=False) + "\n"
            counts[name] = sum(len(p["qas"]) for article in content["data"] for p in article["paragraphs"])
        (out / name).write_text(text, encoding="utf-8")
    return counts


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    parsed = arguments.parse_args()
    for name, count in write(dev_sets(DataFolder(parsed.data)), parsed.out).items():
        print(f"{count:7,} {name}", flush=True)
