"""Writes MODEL_CARD.md beside the injection classifier's weights. Knows words, trains nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.sources import Source

_WHAT = """# injection

Says how likely a question attacks the assistant, and how likely a sentence of a document speaks to the assistant that reads it.
Runs in the guard's process, NumPy alone. A token is ten hashed rows of one table (word, beginnings, ends, pair with the word
before, shape, place; 65,792 rows of 32, int8); two convolutions see seven tokens; the strongest and the mean of a stretch, the
mean of the whole and ten numbers (signs, capitals, surprise of the letters) go to one small head a kind. A long question is
also judged in windows, a document sentence by sentence, so that neither length nor place hides an attack.

Trained from scratch by this project; no pre-trained weights.

## Splits

- Real attacks are clustered by 13 words in a row that they share; a third of the clusters (by hash) validates and was never
  trained on.
- Everything that shares 13 words in a row with evaluation-only text is dropped (`training.splits.clean`); a run stops where
  one is left.
- Passages are held out by document, questions by their text (a fifth), PUD by sentence number (a half, the same in all
  languages).
- Drawn attacks come from `training/injection_text`; our own sets (`tests/data/guard/attacks`) were written apart from it and
  are never trained on.
- The judge's threshold was chosen on the tuning half of the validation rows (`python -m training.guard_rows`).

## Limits

- Markdown headings are rare in training and look like orders to the document head: its log odds are halved, so that passages are
  held back by it only where it is very sure. What it misses there for that reason is most of BIPIA.

- Languages: en, de, fr, es, it, pt, nl, pl, ru, tr, cs. In others only what is written like these is seen.
- A request to play a harmless part that drops the assistant's task looks like an attack and may be one: what is honest chat
  elsewhere can be flagged here.
- It judges wording. An attack told without any of an attack's words passes; what limits it is that answers are copied from
  the evidence.

Figures by source and language: `bench/RESULTS.md`.
"""


def write_card(target: Path, metrics: dict[str, Any], used: dict[str, Source]) -> None:
    lines = [_WHAT, "## Run", "", *(f"- {name}: {value}" for name, value in metrics.items()), "", "## Training data", ""]
    lines += [
        "Text under CC BY and CC BY-SA is used with attribution to the origins below; `training/manifest.json` has the digests.",
        "",
    ]
    lines += ["| file | origin | commit | licence |", "|---|---|---|---|"]
    lines += [
        f"| {row.path} | {_cell(row.origin)} | {_cell(row.commit)[:48]} | {_cell(row.licence)} |" for _, row in sorted(used.items())
    ]
    lines += ["| `training/injection_text` | written for this project | | as this repository |", ""]
    (target / "MODEL_CARD.md").write_text("\n".join(lines), encoding="utf-8")


def _cell(value: str) -> str:
    return value.replace("|", "/").replace("\n", " ")
