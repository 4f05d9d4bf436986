"""Writes `pairs.jsonl`: answers that their evidence carries, and the same with one thing changed that it does not carry.

    python tests/data/guard/output/make_pairs.py [--texts FILE.jsonl ... --out FILE]

The evidence is sections of corpus/ (or the `text` of the rows of other files, which are not committed). A row is {text, label,
kind, evidence, group, half}; `group` is the document and `half` splits by it: thresholds are chosen on `tune`, figures are of
`test`.
Same seed, same file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[3]
SEED = 20261121

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"“])")
_NAME = re.compile(r"\b[A-Z][a-z]{2,}(?:(?: of| de| van| von| the)? [A-Z][a-z]{2,})*\b")
_NUMBER = re.compile(r"(?<![\w.,-])\d{1,3}(?:,\d{3})+|(?<![\w.,-])\d+(?:\.\d+)?(?![\w,-]|\.\d)")
_YEAR = re.compile(r"\b(?:1[5-9]|20)\d\d\b")
_MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]
_MONTH = re.compile(rf"\b(?:{'|'.join(_MONTHS)})\b")
_UNITS = {
    "mg": "g", "g": "mg", "kg": "g", "ml": "litres", "%": " mg", "percent": "people", "hours": "days", "days": "weeks",
    "weeks": "months", "months": "years", "years": "months", "minutes": "hours", "hour": "week",
    "day": "month", "week": "day", "year": "day",
    "km": "miles", "metres": "kilometres", "meters": "miles", "miles": "feet", "feet": "miles", "dollars": "cents", "°C": "°F",
}  # fmt: skip
_UNIT = re.compile(r"(?<=\d)(?P<gap>\s?)(?P<unit>" + "|".join(map(re.escape, sorted(_UNITS, key=len, reverse=True))) + r")(?!\w)")
_AUXILIARY = re.compile(r"\b(is|are|was|were|has|have|had|can|could|will|would|did|does|do|should|may|must) (?!not\b|n't|been not)")
_DENIED = re.compile(r"\b(is|are|was|were|has|have|had|can|could|will|would|did|does|do|should|may|must) not ")
_OPPOSITES = [
    ("lower", "higher"), ("increase", "decrease"), ("increased", "decreased"), ("increases", "decreases"), ("raises", "lowers"),
    ("more", "less"), ("before", "after"), ("legal", "illegal"), ("safe", "dangerous"), ("always", "never"), ("first", "last"),
    ("largest", "smallest"), ("weak", "strong"), ("allowed", "forbidden"), ("approved", "rejected"), ("improved", "worsened"),
    ("reduced", "raised"), ("reduces", "raises"), ("soluble", "insoluble"), ("positive", "negative"), ("early", "late"),
]  # fmt: skip
_TURNED = {a: b for pair in _OPPOSITES for a, b in (pair, pair[::-1])}
_BY = re.compile(r"^(?P<a>[^,.;]{3,60}?) (?P<verb>(?:is|are|was|were) (?:\w+ly )?\w+ed by) (?P<b>[^,.;]{3,60})(?P<rest>.*)$")
_SYNONYMS = {
    "about": "around", "show": "demonstrate", "shows": "demonstrates", "people": "persons", "began": "started", "used": "employed",
    "often": "frequently", "usually": "generally", "because": "since", "large": "big", "main": "principal", "also": "in addition",
    "several": "a number of", "found": "discovered", "many": "numerous", "given": "administered", "received": "were given",
    "needed": "required", "near": "close to", "however": "yet", "made": "produced", "small": "little", "doctor": "physician",
}  # fmt: skip
_ADDED = [
    " according to the manufacturer in Geneva", " at a cost of 4,700 dollars", " in all 31 countries of the study",
    " for patients of Doctor Kellerman", " since the summer of 1987", " as Professor Alvarado has shown",
]  # fmt: skip


def _sections(texts: list[Path]) -> Iterator[tuple[str, str]]:
    if not texts:
        for path in sorted((ROOT / "corpus").rglob("*.md")):
            if path.name == "README.md":
                continue
            body = path.read_text(encoding="utf-8").split("---", 2)[-1]
            for section in re.split(r"\n(?=#)", body):
                text = re.sub(r"^#+ .*$", "", section, flags=re.M).strip()
                if len(text) > 200 and "|" not in text:
                    yield path.relative_to(ROOT).as_posix(), text
        return
    for path in texts:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
            text = json.loads(line)["text"]
            yield f"{path.stem}/{number}", text[:1500]


def _sentences(text: str) -> list[str]:
    flat = re.sub(r"\s+", " ", text)
    return [one for one in _SENTENCE.split(flat) if 6 <= len(one.split()) <= 40 and one[0].isupper() and one.endswith(".")]


def _put(text: str, match: re.Match[str], other: str) -> str:
    return text[: match.start()] + other + text[match.end() :]


def _entity(text: str, evidence: str, names: list[str], rng: random.Random) -> str | None:
    places = [m for m in _NAME.finditer(text) if m.start() > 0]
    if not places:
        return None
    place = rng.choice(places)
    fitting = [n for n in names if n not in evidence and n.count(" ") == place.group().count(" ")]
    return _put(text, place, rng.choice(fitting)) if fitting else None


def _number(text: str, evidence: str, rng: random.Random) -> str | None:
    places = [m for m in _NUMBER.finditer(text) if not _YEAR.fullmatch(m.group())]
    if not places:
        return None
    place = rng.choice(places)
    plain = place.group().replace(",", "")
    value = float(plain) * rng.choice([2, 3, 10, 0.5]) if rng.random() < 0.5 else float(plain) + rng.choice([1, 2, 7, 15])
    made = f"{value:.1f}" if "." in plain else f"{int(value):,}" if "," in place.group() else str(int(value))
    return None if made in evidence else _put(text, place, made)


def _date(text: str, evidence: str, rng: random.Random) -> str | None:
    month, year = _MONTH.search(text), _YEAR.search(text)
    if month and (not year or rng.random() < 0.5):
        return _put(text, month, rng.choice([name for name in _MONTHS if name not in evidence]))
    if year:
        made = str(int(year.group()) + rng.choice([-20, -7, -3, -1, 1, 2, 4, 11]))
        return None if made in evidence else _put(text, year, made)
    return None


def _unit(text: str, rng: random.Random) -> str | None:
    places = list(_UNIT.finditer(text))
    if not places:
        return None
    place = rng.choice(places)
    return _put(text, place, place["gap"] + _UNITS[place["unit"]])


def _negation(text: str, rng: random.Random) -> str | None:
    if _DENIED.search(text):
        return _DENIED.sub(r"\1 ", text, count=1)
    places = list(_AUXILIARY.finditer(text))
    turned = [m for m in re.finditer(r"\b[a-z]+\b", text) if m.group() in _TURNED]
    if turned and (not places or rng.random() < 0.4):
        place = rng.choice(turned)
        return _put(text, place, _TURNED[place.group()])
    if places:
        place = rng.choice(places[:2])
        return text[: place.start()] + f"{place[1]} {rng.choice(['not', 'not', 'never'])} " + text[place.end() :]
    return None


def _roles(text: str, rng: random.Random) -> str | None:
    by = _BY.match(text)
    if by:
        return f"{by['b'][:1].upper()}{by['b'][1:]} {by['verb']} {by['a'][:1].lower()}{by['a'][1:]}{by['rest']}"
    names = list(_NAME.finditer(text))
    if len(names) < 2:
        return None
    one, other = sorted(rng.sample(names, 2), key=lambda m: m.start())
    between = text[one.end() : other.start()]
    if one.group() == other.group() or len(between.split()) < 3 or "," in between:
        return None
    return text[: one.start()] + other.group() + between + one.group() + text[other.end() :]


def _added(text: str, rng: random.Random) -> str:
    return text.rstrip(".") + rng.choice(_ADDED) + "."


def _reworded(text: str, rng: random.Random) -> tuple[str, str]:
    places = [m for m in re.finditer(r"\b[a-z]+\b", text) if m.group() in _SYNONYMS]
    for match in sorted(rng.sample(places, min(2, len(places))), key=lambda m: -m.start()):
        text = _put(text, match, _SYNONYMS[match.group()])
    bare = re.sub(r" ?\([^()]{1,80}\)", "", text)
    cut = re.match(r"^(.{40,}?),? (?:which|who|while|although|because|but|such as|including)\b.*$", bare)
    if cut and rng.random() < 0.5:
        return cut[1].rstrip(",") + ".", "shortened"
    front = re.match(r"^((?:In|On|By|During|After|Before) [^,]{3,40}), (.{20,})\.$", bare)
    if front:
        return f"{front[2][:1].upper()}{front[2][1:]} {front[1][:1].lower()}{front[1][1:]}.", "moved"
    return bare, "reworded"


def rows(texts: list[Path], most: int) -> Iterator[dict[str, str]]:
    """The rows, in the order of the documents."""
    rng = random.Random(SEED)
    sections = list(_sections(texts))
    names = sorted({m.group() for _, text in sections for one in _sentences(text) for m in _NAME.finditer(one) if m.start() > 0})
    rng.shuffle(sections)
    others = [one for _, text in sections for one in _sentences(text)]
    count = 0
    for group, evidence in sections:
        half = "tune" if hashlib.sha256(group.encode()).digest()[0] % 2 else "test"
        base = {"evidence": evidence, "group": group, "half": half}
        for sentence in rng.sample(found := _sentences(evidence), min(2, len(found))):
            reworded, how = _reworded(sentence, rng)
            made = [(sentence, "faithful", "copy")]
            if reworded != sentence:
                made.append((reworded, "faithful", how))
            wrong = {
                "entity": _entity(reworded, evidence, names, rng),
                "number": _number(reworded, evidence, rng),
                "date": _date(reworded, evidence, rng),
                "unit": _unit(reworded, rng),
                "negation": _negation(reworded, rng),
                "role": _roles(reworded, rng),
                "added": _added(reworded, rng) if rng.random() < 0.3 else None,
                "other": next(o for o in rng.sample(others, 9) if o not in evidence) if rng.random() < 0.2 else None,
            }
            kinds = [kind for kind, text in wrong.items() if text and text not in evidence]
            made += [(str(wrong[kind]), "corrupted", kind) for kind in rng.sample(kinds, min(2, len(kinds)))]
            for text, label, kind in made:
                yield {"text": text, "label": label, "kind": kind, **base}
                count += 1
                if count >= most:
                    return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--texts", type=Path, nargs="*", default=[])
    parser.add_argument("--out", type=Path, default=HERE / "pairs.jsonl")
    parser.add_argument("--most", type=int, default=900)
    given = parser.parse_args()
    made = [json.dumps(row, ensure_ascii=False) for row in rows(given.texts, given.most)]
    given.out.write_text("\n".join(made) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
