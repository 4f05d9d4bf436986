"""Makes misspelt.jsonl and two_part.jsonl of the golden questions: `python tests/data/search/generate.py`. Seeded.

A misspelt question has one or two of its longer words with a letter doubled, left out, exchanged with the next, or hit beside its
key. A two-part question joins two questions that different documents answer.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).parent
MISSPELT, TWO_PART = 60, 48
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_BESIDE = {key: row[max(0, at - 1) : at] + row[at + 1 : at + 2] for row in _KEYS for at, key in enumerate(row)}
_WORD = re.compile(r"[a-z]{6,}")
_ASKS = re.compile(r"^(what|how|why|when|where|who|which|is|are|does|do|did|can|could|should|will)\b", re.IGNORECASE)


def goldens() -> list[dict]:
    rows = [json.loads(line) for path in sorted((ROOT / "goldens").glob("*.jsonl")) for line in path.read_text().splitlines()]
    return [row for row in rows if row["kind"] == "answerable"]


def slip(word: str, chance: random.Random) -> str:
    """One typing slip behind the first letter."""
    at = chance.randrange(1, len(word) - 1)
    kind = chance.choice(("double", "leave", "swap", "beside"))
    if kind == "double":
        return word[:at] + word[at] + word[at:]
    if kind == "leave":
        return word[:at] + word[at + 1 :]
    if kind == "swap":
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + chance.choice(_BESIDE.get(word[at], word[at])) + word[at + 1 :]


def misspelt(rows: list[dict], chance: random.Random) -> list[dict]:
    made = []
    for row in chance.sample(rows, len(rows)):
        words = sorted(set(_WORD.findall(row["question"])), key=len, reverse=True)[:4]
        if len(words) < 2:
            continue
        question = row["question"]
        for word in chance.sample(words, 2):
            question = re.sub(rf"\b{word}\b", slip(word, chance), question)
        made.append({"id": f"misspelt-{row['id']}", "query": question, "relevant": [row["document"]]})
    return made[:MISSPELT]


def two_part(rows: list[dict], chance: random.Random) -> list[dict]:
    asks = [row for row in rows if _ASKS.match(row["question"]) and len(row["question"]) < 90]
    chance.shuffle(asks)
    made = []
    for one, other in zip(asks[::2], asks[1::2], strict=False):
        if one["document"] == other["document"]:
            continue
        first, second = one["question"].rstrip("?"), other["question"]
        second = second[0].lower() + second[1:]
        joint = chance.choice((" and ", ", and ", "? And ", "? Also, "))
        row = {"id": f"two-{one['id']}-{other['id']}", "query": f"{first}{joint}{second}", "every": True}
        made.append({**row, "relevant": [one["document"], other["document"]]})
    return made[:TWO_PART]


def main() -> None:
    chance = random.Random(20261121)
    rows = goldens()
    for name, made in (("misspelt", misspelt(rows, chance)), ("two_part", two_part(rows, chance))):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made)
        (HERE / f"{name}.jsonl").write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main()
