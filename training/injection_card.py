"""Writes MODEL_CARD.md beside the injection classifier's weights. Knows words, trains nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from training.sources import Source

_WHAT = """# injection

Says how likely a question attacks the assistant, and how likely a sentence of a document speaks to the assistant that reads it.
Runs in the guard's process, NumPy alone. Logistic regression over hashed features: a token is 15 rows of a table of 262,400 (word,
beginnings, ends, pairs and triples with the words before it, the same of their first four letters, place, shape) and four of a
table of concepts: 92 of them (to ignore, rules, a secret ...) are told by 4,500 forms of eleven languages, alone, in pairs and in
triples, so that a wording that is learnt in one language is known in the others. One int8 weight a row and kind; fifteen numbers
of a stretch (signs, capitals, surprise of the letters, rare pairs, runs of signs, words and pairs of words that honest text has
...) in twelve steps each, and six pairs of them together. What tokens weigh is added up over a stretch and divided by the root of
its length. A question is judged as a whole and in windows of 24 and 64 tokens, a document sentence by sentence; the most
suspicious stretch is the score, in training as in use, so that neither length nor place hides an attack.

What ends a question is looked at once more, for optimised suffixes (`suffix.py`): logistic regression over the last 8 to 64 tokens,
and those before the last 8, by 2,304 rows that know shapes, signs, white space, the surprise of letters and whether honest text has
a word, and has it there, but not which word it is. It says so above the same threshold and nothing below.

Trained from scratch by this project; no pre-trained weights.

## Splits

- Real attacks are clustered by 13 words in a row that they share; a third of the clusters (by hash) validates and was never
  trained on.
- Everything that shares 13 words in a row with evaluation-only text is dropped (`training.splits.clean`); a run stops where
  one is left.
- Passages are held out by document, questions by their text (a fifth), PUD by sentence number (a half, the same in all
  languages).
- Drawn attacks come from `training/injection_text`. Of our own attack set (`tests/data/guard/attacks`) the last line of each
  language and family is held out, with whatever fills it; the others are trained on. Figures of "own" are of held-out lines. The
  families are the same on both sides, the wordings are not; who wrote both is the same, and held-out lines of some languages
  (the natural ones of English, German and French among them) had been seen when the patterns of `training/injection_text` were
  written. The forms of concepts (`training/injection_concepts.yaml`) were written without looking at them.
- Where the log odds reach the one threshold was chosen on the honest texts of the tuning half of the validation rows
  (`python -m training.guard_rows`); figures are of the other half.

## Limits

- An injection that is an ordinary task behind an application's text (PromptShield's StruQ forms) is mostly not seen: without the
  application's own instruction nothing tells it from what a user wants.
- Languages: en, de, fr, es, it, pt, nl, pl, ru, tr, cs. In others only what is written like these is seen.
- A request to play a harmless part that drops the assistant's task looks like an attack and may be one: what is honest chat
  elsewhere can be flagged here.
- An optimised suffix is drawn, by us, in training as in validation; none was searched for on a model. One of random letters and
  digits alone looks like a key or encoded bytes, and mostly passes; in the middle of a long text one is found more seldom.
- It judges wording. An attack told without any of an attack's words passes; what limits it is that answers are copied from
  the evidence.

Figures by source and language: `bench/RESULTS.md`.
"""


def write_card(target: Path, metrics: dict[str, Any], used: dict[str, Source]) -> None:
    """Beside the weights in `target`, which are there already: the card names their digest."""
    digest = hashlib.sha256((target / "injection.npz").read_bytes()).hexdigest()
    lines = [_WHAT, "## Run", "", f"- `injection.npz`: SHA-256 {digest}"]
    lines += [*(f"- {name}: {value}" for name, value in metrics.items()), "", "## Training data", ""]
    lines += [
        "Text under CC BY and CC BY-SA is used with attribution to the origins below; `training/manifest.json` has the digests.",
        "",
    ]
    lines += ["| file | origin | commit | licence |", "|---|---|---|---|"]
    lines += [
        f"| {row.path} | {_cell(row.origin)} | {_cell(row.commit)[:48]} | {_cell(row.licence)} |" for _, row in sorted(used.items())
    ]
    lines += ["| `training/injection_text`, `training/injection_*.yaml` | written for this project | | as this repository |", ""]
    (target / "MODEL_CARD.md").write_text("\n".join(lines), encoding="utf-8")


def _cell(value: str) -> str:
    return value.replace("|", "/").replace("\n", " ")
