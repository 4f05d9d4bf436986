"""Writes MODEL_CARD.md beside each model's weights: what it is, what it was trained on, how well it does, what it cannot do.

The words are here, the numbers come from the run that made the weights. This module does not train anything.
"""

from __future__ import annotations

import json
from typing import Any

from training import MODEL_REPOSITORY
from training.sources import Source
from training.splits import GRAM, HELD_OUT_PERCENT

_SPLIT = (
    f"An article is held out by the hash of its title ({HELD_OUT_PERCENT} %), in every file alike, and so is every article that a "
    f"real users' question of the evaluation files is about. Rows that share {GRAM} words in a row with evaluation text (goldens, "
    "evaluation-only files, passages and questions of held-out articles) are dropped, and a run stops where one is left. `corpus/` "
    "and `goldens/` are never trained on."
)
_INTRO = {
    "tokenizer": (
        "Byte-level BPE over case-folded text (a capital is a marker token before the word). Every byte has a token: any "
        "text comes back exactly. Returns ids and half-open UTF-8 byte offsets; tokens that are parts of one character "
        "share its range, case markers are zero wide."
    ),
    "embedder": (
        "Text to a 256-dimensional unit vector: the weighted sum of learned rows, one a BPE token and one a hashed word "
        "stem (40,960 in all, int8, one scale each), with one weight a row for queries and one for passages. No position, "
        "no attention."
    ),
    "reranker": (
        "Scores candidate passages for a question. A small listwise network reads lexical features of every candidate "
        "(`ragmesh_models/passage_features.py`: overlaps weighted by rarity, runs, windows, the best sentence, title, what the "
        "question's kind asks for, which aspect of its subject the passage is about, the BM25 leg's score) in sight of all others; "
        "the order of the search (BM25 and cosines, fused) is added with one tuned weight. Where the joint reader is installed "
        "beside it, it reads the best `depth` of them and both are blended."
    ),
    "answerer": (
        "Chooses the sentences of the given passages that answer a question and says how likely the passages hold the "
        "answer. Two engines. `lexical`: a small listwise network reads lexical features of every sentence "
        "(`ragmesh_models/features.py`) in sight of all others, a second small head proposes short answers. `reader`: a joint "
        "encoder of question and passage (9.0 M parameters, 7.0 M of them word rows; int8) with heads for passage, sentence, span, "
        "nowhere, yes or no, trained on single passages, then on lists of the right one beside BM25's best wrong ones; its "
        "scores are weighed against the feature scorer's, and the reranker's opinion of the passages "
        "(`rerank_scores`) joins both. Where passages come with those, the answerability is the probability that the best sentence "
        "is right, by that opinion and the reader's; it goes with a threshold of its own. Both copy ranges and never write a word. "
        "`retrieval_scores` are checked for shape and not used; the order of the passages is, by `lexical`."
    ),
    "intent": (
        "Tells small talk (greeting, thanks, goodbye, identity, capabilities, wellbeing) from questions, in English and German: "
        "calibrated probabilities and the threshold on 1 - p(question). A small network over hashed features: runs of up to three "
        "words, letters in runs of three to five, and how many words no small talk has. What is answered to small talk are the "
        "assistant's reviewed texts."
    ),
    "verifier": (
        "Says of each claim whether its evidence supports it, contradicts it or leaves it open: three "
        "calibrated probabilities. Every "
        "word of the claim is laid beside the best sentence of the evidence (`ragmesh_models/alignment.py`: same stem, order, what "
        "stands in its place, negation, opposites, cosine of word vectors made here from open text); a small convolutional network "
        "reads that. Above it a hard layer (`claim_facts.py`): a claim with a number, date, unit or name "
        "that the evidence does not "
        "give is `missing`, and `supported` stays below 0.5, whatever the network says."
    ),
}
_LIMITS = {
    "tokenizer": "English first: other Latin scripts cost about twice the tokens a word, other scripts up to one token a byte.",
    "embedder": (
        "English. It knows words, their stems and what tends to stand near them, not word order or negation. Beside BM25 "
        "it adds a little; alone it is weaker. Text after 4,096 characters is not read."
    ),
    "reranker": (
        "English. The features match words, their stems and their first letters: where passage and question share none, only the "
        "cosine speaks. Scores of one request compare with each other and with nothing else. Of a passage, 2,048 words are read."
    ),
    "answerer": (
        "English. A passage about the same words that does not answer is often believed (SQuAD 2.0's unanswerable questions, "
        "`answered_impossible` below): both models match words first. What needs two passages or arithmetic is beyond it. "
        "Short answers are shown seldom, at a threshold where nine of ten of the tuning half's were right word for word; how many "
        "of the test half's were, and how often one is shown, says `short_answers`. The yes or no head is not shown."
    ),
    "intent": (
        "English and German; in other languages the guard's phrases decide. It reads one utterance and no history. Utterances over "
        "160 characters or 24 words are questions, unread. Small talk about other things (jokes, weather) is a question to it."
    ),
    "verifier": (
        "English. It aligns words: a paraphrase that shares few words with its evidence is often left open, "
        "a conclusion that takes "
        "two steps or arithmetic (a list that must be counted, an age from two dates) is beyond it. Evidence "
        "that names its subject "
        "by a pronoun only is given the benefit where it opens with one. Knowledge of the world (Bonn is in "
        "Germany) is not evidence "
        "to it, by intent. FEVER's claims give away much by their wording: see claim_only_accuracy, and `symmetric`, where they do "
        "not. Of a claim 64 words are read, of the evidence 640, by the network; the hard layer reads all."
    ),
}


def _rows(value: Any, depth: int = 0) -> list[str]:
    if isinstance(value, dict):
        lines: list[str] = []
        for key, inner in value.items():
            if isinstance(inner, dict) and any(isinstance(deeper, dict) for deeper in inner.values()):
                lines += [f"{'#' * (3 + depth)} {key}", "", *_rows(inner, depth + 1)]
            elif isinstance(inner, dict):
                lines.append(f"- {key}: " + ", ".join(f"{name} {figure}" for name, figure in inner.items()))
            else:
                lines.append(f"- {key}: {inner}")
        return [*lines, ""]
    return [str(value), ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")[:160]


def _told(name: str, metrics: dict[str, Any], extra: str = "") -> list[str]:
    lines = [
        f"# {name}",
        "",
        _INTRO[name],
        "",
        "Trained from scratch by this project; no pre-trained weights.",
        "",
        "## Figures",
        "",
    ]
    return [
        *lines,
        *_rows({**metrics, **_definitions(name)}),
        extra,
        "## Splits",
        "",
        _SPLIT,
        "",
        "## Limits",
        "",
        _LIMITS[name],
        "",
        "## Training data",
        "",
    ]


def _definitions(name: str) -> dict[str, Any]:
    """What `training.definition_recipe` found, right candidates on held-out articles; empty for a model without such weights."""
    path = MODEL_REPOSITORY / name / "1" / "definitions.json"
    if not path.is_file():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    return {"definitions": {"fitted on questions": found["questions"], **found["held_out"]}}


def retell(name: str, metrics: dict[str, Any]) -> None:
    """New figures in a card that is there, whose training data stay as they are."""
    path = MODEL_REPOSITORY / name / "MODEL_CARD.md"
    _, mark, data = path.read_text(encoding="utf-8").partition("## Training data\n")
    text = "\n".join(_told(name, metrics)).replace("\n\n\n", "\n\n").rstrip()
    path.write_text(f"{text}\n{data}" if mark else f"{text}\n", encoding="utf-8")


def write(name: str, metrics: dict[str, Any], used: dict[str, Source], extra: str = "") -> None:
    """The card of one model."""
    lines = [
        *_told(name, metrics, extra),
        "Text under CC BY and CC BY-SA is used with attribution to the origins below; see `training/manifest.json` for digests.",
        "",
    ]
    lines += ["| file | origin | commit | licence |", "|---|---|---|---|"]
    lines += [
        f"| {row.path} | {_cell(row.origin)} | {_cell(row.commit)[:48]} | {_cell(row.licence)} |" for _, row in sorted(used.items())
    ]
    lines += [
        "",
        "## Reproduce",
        "",
        "`make train DATA=<data folder>`, which runs `python -m training.train_all --data <data folder>`.",
        "",
    ]
    text = "\n".join(lines).replace("\n\n\n", "\n\n")
    (MODEL_REPOSITORY / name / "MODEL_CARD.md").write_text(text, encoding="utf-8")
