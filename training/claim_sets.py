"""Claims beside evidence, for the verifier's evaluation: FEVER's pairs, FoolMeTwice, and claims that one swap made wrong.

Rows are {id, claim, evidence, label}. Which part of a set is held out is asked by claim (`splits.held_out`), of swaps by article.
The swaps here are not those that the verifier learns from: they are made by other rules, so that learning a generator's habits does
not look like understanding.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from typing import Any

from ragmesh_models import sentences
from ragmesh_models.lexical import STOP_WORDS

from training.reading_sets import detokenise
from training.sources import DataFolder
from training.splits import held_out, title_key

Row = dict[str, Any]
_NAME = re.compile(r"(?<![.!?] )(?<!^)\b[A-ZÀ-Þ][\w'’-]+(?: [A-ZÀ-Þ][\w'’-]+)*")
_NUMBER = re.compile(r"\b\d[\d,]*(?:\.\d+)?\b")
_AUXILIARY = re.compile(r"\b(is|are|was|were|has|have|had|can|could|will|would|did)\b(?! not\b)")
_NOT = re.compile(r"\b(is|are|was|were|has|have|had|can|could|will|would|did) not\b")
_SUBJECT_BY = re.compile(r"^(?P<a>[A-ZÀ-Þ][\w'’ -]+?) (?P<verb>(?:was|were) \w+ed by) (?P<b>[A-ZÀ-Þ][\w'’ -]+?)(?P<rest>[,.;].*)$")


def _id(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _pair(claim: str, evidence: str, label: str, kind: str) -> Row:
    return {"id": _id(evidence, claim, kind), "claim": claim, "evidence": evidence, "label": label, "kind": kind}


def _sentence_keys(evidence: str) -> list[str]:
    return [title_key(part) for part in evidence.split(" . ") if len(part.split()) > 3]


def groups(texts: list[tuple[str, str]]) -> list[str]:
    """Of each (evidence, claim) the key of its group: rows that share a sentence of evidence or a claim are one group."""
    parents: dict[str, str] = {}

    def root(key: str) -> str:
        while parents.setdefault(key, key) != key:
            parents[key] = parents[parents[key]]
            key = parents[key]
        return key

    keys = [[f"claim {title_key(claim)}", *_sentence_keys(evidence)] for evidence, claim in texts]
    for own in keys:
        for key in own[1:]:
            # The smaller key leads, so that the order of the rows does not matter.
            low, high = sorted((root(own[0]), root(key)))
            parents[high] = low
    return [root(own[0]) for own in keys]


def first_half(group: str) -> bool:
    """Whether a held-out group is one to choose by; what is shown as a result comes from the others."""
    return hashlib.sha256(f"ragmesh-verifier-tune {group}".encode()).digest()[0] % 2 == 0


def fever_rows(data: DataFolder) -> tuple[list[Row], list[Row]]:
    """All two-way pairs of FEVER: those to train on, and those held out, group by group (1,454 of them: about one a page).

    `not_entailment` is labelled `contradicted`: what was left of FEVER here is supported or refuted.
    """
    folder = "qa/nli_verify/fever_rte_dev"
    evidence = data.text(f"{folder}.raw.input0").split("\n")
    claims = data.text(f"{folder}.raw.input1").split("\n")
    labels = data.text(f"{folder}.label").split("\n")
    given = [row for row in zip(evidence, claims, labels, strict=False) if row[0].strip() and row[1].strip()]
    sides: tuple[dict[str, Row], dict[str, Row]] = ({}, {})
    for (said, claim, label), group in zip(given, groups([(said, claim) for said, claim, _ in given]), strict=True):
        verdict = "supported" if label == "entailment" else "contradicted"
        row = {"id": _id(said, claim), "claim": claim.strip(), "evidence": detokenise(said), "label": verdict}
        sides[held_out(group)][row["id"]] = row
    return list(sides[0].values()), list(sides[1].values())


def fever_pairs(data: DataFolder) -> list[Row]:
    """Two-way pairs of held-out groups."""
    return fever_rows(data)[1]


def fool_me_twice_rows(data: DataFolder) -> tuple[list[Row], list[Row]]:
    """Claims that people wrote to fool people, with the sentences that settle them: to train on, and held out.

    By page, and half of the pages: the set is small, and its figure would be within 7 points of anything otherwise.
    """
    sides: tuple[list[Row], list[Row]] = ([], [])
    for row in data.rows("qa/nli_verify/foolmetwice_dev.jsonl"):
        claim, gold = str(row["text"]).strip(), row["gold_evidence"]
        assert isinstance(gold, list)
        verdict = {"SUPPORTS": "supported", "REFUTES": "contradicted"}[str(row["label"])]
        evidence = " ".join(str(part["text"]).strip() for part in gold)
        page = title_key(str(row["wikipedia_page"]))
        if claim and evidence:
            is_held = held_out(page) or hashlib.sha256(f"ragmesh-page {page}".encode()).digest()[0] % 5 < 2
            sides[is_held].append({"id": str(row["id"]), "claim": claim, "evidence": evidence, "label": verdict})
    return sides


def fool_me_twice(data: DataFolder) -> list[Row]:
    """The held-out pages."""
    return fool_me_twice_rows(data)[1]


def _swap(claim: str, pattern: re.Pattern[str], others: list[str], rng: random.Random) -> str | None:
    """The claim with one match put in the place of another text of its sort."""
    places = [match for match in pattern.finditer(claim) if match.group().lower() not in STOP_WORDS]
    if not places:
        return None
    place = rng.choice(places)
    fitting = [text for text in others if text not in claim and text not in place.group() and place.group() not in text]
    return claim[: place.start()] + rng.choice(fitting) + claim[place.end() :] if fitting else None


def _negated(claim: str) -> str | None:
    """The claim with its first `not` taken away, or one put in."""
    if _NOT.search(claim):
        return _NOT.sub(r"\1", claim, count=1)
    return _AUXILIARY.sub(r"\1 not", claim, count=1) if _AUXILIARY.search(claim) else None


def _reversed(claim: str) -> str | None:
    """Who did and to whom it was done, exchanged."""
    match = _SUBJECT_BY.match(claim)
    return f"{match['b']} {match['verb']} {match['a']}{match['rest']}" if match else None


def swapped_pairs(data: DataFolder, rng: random.Random) -> list[Row]:
    """Of each sentence that holds an answer in a held-out SQuAD article: itself, shortened where it can be, and one swap of it.

    The evidence is the whole paragraph. What is swapped in comes from the same paragraph half of the time, so that about half of
    the wrong claims hold no word that the evidence lacks.
    """
    rows: list[Row] = []
    for article in json.loads(data.text("qa/reading/squad11_wiki32.json"))["data"]:
        if not held_out(article["title"].replace("_", " ")):
            continue
        contexts = [paragraph["context"] for paragraph in article["paragraphs"]]
        for paragraph in article["paragraphs"]:
            text = paragraph["context"]
            starts = {answer["answer_start"] for qa in paragraph["qas"] for answer in qa["answers"]}
            for cut in sentences.split(text):
                if not any(cut.start <= start < cut.end for start in starts):
                    continue
                claim = text[cut.start : cut.end]
                elsewhere = rng.choice(contexts)
                source = text if rng.random() < 0.5 else elsewhere
                made = {
                    "number": _swap(claim, _NUMBER, _NUMBER.findall(source), rng),
                    "name": _swap(claim, _NAME, _NAME.findall(source), rng),
                    "negation": _negated(claim),
                    "role": _reversed(claim),
                }
                kinds = sorted(kind for kind, wrong in made.items() if wrong)
                if not kinds:
                    continue
                kind = "role" if "role" in kinds else rng.choice(kinds)
                right = _shortened(claim)
                rows.append({"id": _id(text, right, "s"), "claim": right, "evidence": text, "label": "supported", "kind": "copy"})
                wrong = _shortened(str(made[kind])) if kind != "role" else made[kind]
                if wrong != right and wrong not in text:
                    rows.append(
                        {"id": _id(text, str(wrong), kind), "claim": wrong, "evidence": text, "label": "contradicted", "kind": kind}
                    )
    return list({row["id"]: row for row in rows}.values())


def _shortened(claim: str) -> str:
    """Without a parenthesis, so that a supported claim is not simply a copy where it need not be."""
    return re.sub(r" \([^)]*\)", "", claim)
