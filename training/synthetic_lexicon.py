"""Counts, in open text, which words behave as verbs and which as first names; what the rules of synthetic.py look words up in.

A word is a verb as often as it follows a modal or a subject pronoun and a noun as often as it follows a determiner. A first name is
a capitalised word that opens the title of an article whose subject was born. The counts become training/synthetic_lexicon.json,
which holds words and nothing of any sentence. This module does not know questions.

python -m training.synthetic_lexicon --data DIR
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from functools import lru_cache
from pathlib import Path

from training import reading_sets
from training.open_text import documents
from training.sources import DataFolder
from training.splits import held_out

FILE = Path(__file__).with_name("synthetic_lexicon.json")
_MODALS = (
    "can|could|will|would|may|might|must|should|shall|cannot|(?:do|does|did|can|could|will|would|should) not|didn't|don't|doesn't"
)
_BASE = re.compile(rf"\b(?:{_MODALS}) ([a-z]{{2,}})\b")
_FINITE = re.compile(r"\b(?:he|she|it|who|they|we|I|He|She|It|They|We|which) ([a-z]{3,})\b")
_NOUN = re.compile(
    r"\b(?:the|a|an|this|these|those|its|his|her|their|my|our|your|of|each|every|some|no|two|three|many|several|"
    r"The|A|An|This|These|Its|His|Their) ([a-z]{2,})\b"
)
_BORN = re.compile(r"\b(?:born|died|\d{4}\s*[–-]\s*\d{4})\b")


def listed(text: str) -> frozenset[str]:
    """The words of a text; a list reads better as prose."""
    return frozenset(text.split())


_NOT_NAMES = listed(
    """
    the a an king queen prince princess lord lady saint st sir pope emperor duke count list house battle
    """
)


@lru_cache(maxsize=1)
def read_lexicon() -> dict[str, frozenset[str]]:
    """`bases`, `presents` (third person), `pasts`: verb forms by class; `names`: first names."""
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    return {key: frozenset(value.split()) for key, value in stored.items() if key != "about"}


def _verbs(base: Counter[str], finite: Counter[str], noun: Counter[str]) -> dict[str, list[str]]:
    def share(word: str, seen: int) -> float:
        return seen / (seen + 0.15 * noun[word])

    closed = listed(
        """
    and be have do not also all it he she they we you in to at so as or if then there use
    """
    ) - {"use"}
    bases = {
        w
        for w, c in base.items()
        if c >= 3 and share(w, c) >= 0.3 and w not in closed and not w.endswith(("ly", "ed", "ing", "ss"))
    }
    bases |= {
        w
        for w, c in base.items()
        if c >= 3 and share(w, c) >= 0.3 and w.endswith(("apply", "ply", "rely", "ess", "iss", "oss", "ass", "eed"))
    }
    third = {w: w + ("es" if w.endswith(("s", "sh", "ch", "x", "z", "o")) else "s") for w in bases}
    third |= {w: w[:-1] + "ies" for w in bases if w.endswith("y") and w[-2] not in "aeiou"}
    presents = {s for s in third.values() if (finite[s] or not noun[s]) and share(s, max(1, finite[s])) >= 0.3}
    pasts = {w for w, c in finite.items() if c >= 2 and w.endswith("ed")}
    return {"bases": sorted(bases), "presents": sorted(presents), "pasts": sorted(pasts)}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    data = DataFolder(arguments.parse_args().data)
    base: Counter[str] = Counter()
    finite: Counter[str] = Counter()
    noun: Counter[str] = Counter()
    names: Counter[str] = Counter()

    def count(text: str) -> None:
        base.update(_BASE.findall(text))
        finite.update(_FINITE.findall(text))
        noun.update(_NOUN.findall(text))

    for document in documents(data):
        if not held_out(document.title):
            for _, text in document.sections[::2]:
                count(text)
    for title, text in reading_sets.wiki_paragraphs(data):
        if held_out(title):
            continue
        count(text)
        words = title.split()
        if 2 <= len(words) <= 4 and words[0].isalpha() and words[0].lower() not in _NOT_NAMES and _BORN.search(text[:160]):
            names[words[0]] += 1
    for name in data.under("qa/text/gap_"):
        for line in data.text(name).splitlines()[1:]:
            cells = line.split("\t")
            # The two persons that a pronoun may mean.
            names.update(cell.split()[0] for cell in (cells[4], cells[7]) if len(cell.split()) >= 2 and cell.split()[0].isalpha())
    lexicon = _verbs(base, finite, noun)
    lexicon["names"] = sorted(name for name in names if name[0].isupper() and len(name) > 1 and name.lower() not in _NOT_NAMES)
    rows = {
        "about": "Made by training/synthetic_lexicon.py: word lists counted in the open text.",
        **{k: " ".join(v) for k, v in lexicon.items()},
    }
    FILE.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print({key: len(value) for key, value in lexicon.items()})


if __name__ == "__main__":
    main()
