"""Claims made from sentences and from question-answer pairs: what stays true under an edit, and what one swap makes wrong.

Each maker takes a sentence or a question with its answer and gives claims with a label. `claim_sets` makes the evaluation's swaps
by other rules, on held-out articles. This module does not know features.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ragmesh_models.lexical import STOP_WORDS, stem
from ragmesh_models.opposites import OPPOSITES

SUPPORTED, CONTRADICTED, UNKNOWN = 0, 1, 2
NAME = re.compile(r"\b[A-ZÀ-Þ][\w'’-]*(?:(?: (?:of|de|van|von|the))? [A-ZÀ-Þ][\w'’-]*)*")
NUMBER = re.compile(r"(?<![\w.,])\d[\d,]*(?:\.\d+)?(?![\w]|[.,]\d)")
_MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]
_MONTH = re.compile(rf"\b(?:{'|'.join(_MONTHS)})\b")
_AUXILIARY = re.compile(r"\b(is|are|was|were|has|have|had|can|could|will|would|did|does|do|should|may|must) (?!not\b|n't)")
_NOT = re.compile(r"\b(is|are|was|were|has|have|had|can|could|will|would|did|does|do|should|may|must)(?: not|n't) ")
_PAST = re.compile(r"\b([a-z]{3,}ed)\b(?! by\b)")
_FRONTED = re.compile(r"^((?:In|On|By|During|After|Before|At|Since|From) [^,]{3,40}), (.{20,})([.])$")
_PARENTHESIS = re.compile(r" ?\([^()]{1,80}\)")
_LAST_CLAUSE = re.compile(
    r"^(.{30,}?),? (?:which|who|where|when|while|although|because|but|and then|such as|including|with|after|before|"
    r"in order to)\b.*$"
)
_OPENING = re.compile(r"^(?:However|Moreover|Furthermore|Also|In addition|Additionally|For example|For instance|Thus|Therefore|"
                      r"Consequently|As a result|Indeed|"
                      r"In fact|Finally|Later|Today|Currently|Meanwhile|Nevertheless|Similarly),? ", re.I)  # fmt: skip
_BY = re.compile(
    r"^(?P<a>.{3,60}?) (?P<verb>(?:is|are|was|were|been|being) (?:\w+ly )?\w+(?:ed|wn|en|ne|lt|de|nt|t) by) "
    r"(?P<b>[^,.;]{3,60})(?P<rest>.*)$"
)
_TRAILING = re.compile(
    r"^(.{20,}?) ((?:in|on|during|since|until) (?:[A-Z][a-z]+ |the |early |late |\d{1,2} [A-Z][a-z]+ )?\d{3,4}s?)\.$"
)
_SYNONYMS = {
    "began": "started", "begin": "start", "large": "big", "big": "large", "movie": "film", "film": "movie",
    "located": "situated", "known": "called", "created": "made", "built": "constructed", "constructed": "built",
    "approximately": "about", "about": "around", "purchased": "bought", "bought": "purchased", "ended": "finished",
    "finished": "ended", "people": "individuals", "many": "numerous", "also": "as well", "often": "frequently",
    "usually": "generally", "however": "but", "children": "kids", "received": "got", "obtained": "got", "employed": "used",
    "used": "utilized", "near": "close to", "because": "since", "important": "significant", "main": "principal",
    "primarily": "mainly", "several": "a number of", "helped": "assisted", "shows": "demonstrates", "found": "discovered",
    "discovered": "found", "wrote": "authored", "died": "passed away", "biggest": "largest", "largest": "biggest",
    "famous": "well-known", "quickly": "rapidly", "rapidly": "quickly", "allowed": "permitted", "needed": "required",
    "required": "needed", "requires": "needs", "includes": "contains", "contains": "includes", "country": "nation",
    "nation": "country", "second-largest": "second largest", "university": "college", "company": "firm", "released": "issued",
    "doctor": "physician", "car": "automobile",
}  # fmt: skip
_SMALL = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


@dataclass(frozen=True)
class Claim:
    text: str
    label: int
    kind: str


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _spell(text: str) -> str:
    """Digits as words and back where they are small, months shortened: what a hard layer must not mind."""
    text = re.sub(
        r"(?<![\w.,$])(\d{1,2})(?![\w.,%]|[-–]\d)", lambda m: _SMALL[int(m.group())] if int(m.group()) <= 12 else m.group(), text
    )
    return re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)


def _synonyms(text: str, rng: random.Random) -> str:
    places = [m for m in re.finditer(r"[a-z-]+", text) if m.group() in _SYNONYMS]
    for match in sorted(rng.sample(places, min(len(places), rng.randint(1, 2))), key=lambda m: -m.start()):
        text = text[: match.start()] + _SYNONYMS[match.group()] + text[match.end() :]
    return text


def paraphrases(sentence: str, rng: random.Random) -> list[str]:
    """The sentence made shorter or otherwise put without changing what it says; itself first."""
    found = [sentence]
    bare = _PARENTHESIS.sub("", sentence)
    if bare != sentence:
        found.append(bare)
    opened = _OPENING.sub("", bare)
    if opened != bare:
        found.append(_capital(opened))
    front = _FRONTED.match(bare)
    if front:
        found.append(f"{_capital(front[2])} {front[1][0].lower()}{front[1][1:]}.")
        found.append(_capital(front[2]) + ".")
    trailing = _TRAILING.match(opened)
    if trailing:
        lowered = re.match(r"(?:The|A|An|It|He|She|They|This|These|His|Her|Its|Their)\b", trailing[1])
        found.append(f"{_capital(trailing[2])}, {trailing[1][0].lower() if lowered else trailing[1][0]}{trailing[1][1:]}.")
    cut = _LAST_CLAUSE.match(bare)
    if cut and len(cut[1].split()) >= 5:
        found.append(cut[1].rstrip(",") + ".")
    parts = re.split(r", (?:and|but) |; ", bare)
    if len(parts) > 1 and len(parts[0].split()) >= 6:
        found.append(parts[0].rstrip(".") + ".")
    if rng.random() < 0.5:
        found.append(_spell(rng.choice(found)))
    if rng.random() < 0.5:
        found.append(_synonyms(rng.choice(found), rng))
    return list(dict.fromkeys(text for text in found if len(text.split()) >= 4))


def _names(text: str, opening: bool = False) -> list[re.Match[str]]:
    return [
        m for m in NAME.finditer(text) if m.group().lower() not in STOP_WORDS and (opening or m.start() > 0) and len(m.group()) > 2
    ]


def _put(text: str, match: re.Match[str], other: str) -> str:
    return text[: match.start()] + other + text[match.end() :]


def swap_name(claim: str, near: str, far: str, rng: random.Random) -> str | None:
    places = [m for m in _names(claim, opening=True) if m.start() > 0 or " " in m.group()]
    if not places:
        return None
    place = rng.choice(places)
    source = near if rng.random() < 0.55 else far
    others = [
        m.group()
        for m in _names(source)
        if m.group() not in claim and place.group() not in m.group() and m.group() not in place.group()
    ]
    alike = [name for name in others if name.count(" ") == place.group().count(" ")] or others
    if not alike:
        return None
    other = rng.choice(alike)
    if " " in place.group() and " " in other and rng.random() < 0.25:
        # Only the first or the last part of a name.
        mine, yours = place.group().split(" "), other.split(" ")
        other = " ".join([yours[0], *mine[1:]]) if rng.random() < 0.5 else " ".join([*mine[:-1], yours[-1]])
    return _put(claim, place, other)


def swap_number(claim: str, near: str, far: str, rng: random.Random) -> str | None:
    month = _MONTH.search(claim)
    if month and rng.random() < 0.3:
        return _put(claim, month, rng.choice([name for name in _MONTHS if name != month.group()]))
    places = list(NUMBER.finditer(claim))
    words = list(re.finditer(r"\b(?:two|three|four|five|six|seven|eight|nine|ten|second|third|fourth|half|double)\b", claim))
    if words and (not places or rng.random() < 0.3):
        word = rng.choice(words)
        pool = ["second", "third", "fourth", "fifth"] if word.group() in ("second", "third", "fourth") else _SMALL[2:]
        return _put(claim, word, rng.choice([other for other in pool if other != word.group()]))
    if not places:
        return None
    place = rng.choice(places)
    draw = rng.random()
    if draw < 0.75:
        source = near if draw < 0.45 else far
        others = [n for n in NUMBER.findall(source) if n not in claim]
        alike = [n for n in others if len(n) == len(place.group())] or others
        if alike:
            return _put(claim, place, rng.choice(alike))
    digits = place.group().replace(",", "")
    if "." in digits or len(digits) > 12:
        return None
    value = int(digits)
    changed = value + rng.choice([-10, -3, -2, -1, 1, 2, 3, 10]) if rng.random() < 0.7 else value * rng.choice([2, 3, 10])
    if changed <= 0 or changed == value:
        return None
    return _put(claim, place, f"{changed:,}" if "," in place.group() else str(changed))


def negate(claim: str, rng: random.Random) -> str | None:
    if _NOT.search(claim):
        return _NOT.sub(r"\1 ", claim, count=1)
    draw = rng.random()
    places = list(_AUXILIARY.finditer(claim))
    if places and draw < 0.75:
        place = rng.choice(places[:2])
        word = rng.choice(("not", "not", "not", "never", "no longer"))
        return claim[: place.start()] + f"{place[1]} {word} " + claim[place.end() :]
    past = _PAST.search(claim)
    if past and past.start() > 4:
        return _put(claim, past, f"never {past[1]}")
    return None


def turn_round(claim: str, rng: random.Random) -> str | None:
    """One word put in the place of its opposite."""
    places = [m for m in re.finditer(r"\b[a-z]{3,}\b", claim) if stem(m.group()) in OPPOSITES and m.group() not in STOP_WORDS]
    if not places:
        return None
    place = rng.choice(places)
    word = place.group()
    options = sorted(_WHOLE.get(word, ()))
    return _put(claim, place, rng.choice(options)) if options else None


def _whole() -> dict[str, set[str]]:
    from ragmesh_models.opposites import PAIRS

    found: dict[str, set[str]] = {}
    for pair in PAIRS.split("|"):
        one, other = pair.split()
        found.setdefault(one, set()).add(other)
        found.setdefault(other, set()).add(one)
    return found


_WHOLE = _whole()


def swap_roles(claim: str, rng: random.Random) -> str | None:
    """Who did it and to whom it was done, exchanged; or two names of the sentence."""
    match = _BY.match(claim)
    if match and rng.random() < 0.8:
        return f"{_capital(match['b'])} {match['verb']} {match['a']}{match['rest']}"
    names = _names(claim, opening=True)
    if len(names) < 2:
        return None
    one, other = sorted(rng.sample(names, 2), key=lambda m: m.start())
    between = claim[one.end() : other.start()]
    # Two items of one list, or one name in apposition to the other, may change places and stay true.
    if one.group() == other.group() or len(between.split()) < 2 or "," in between or re.fullmatch(r"\W*(?:and|or|&)\W*", between):
        return None
    return claim[: one.start()] + other.group() + between + one.group() + claim[other.end() :]


SWAPS = {"name": swap_name, "number": swap_number}


def wrong_claims(claim: str, near: str, far: str, rng: random.Random) -> list[Claim]:
    """At most one claim of each kind of swap."""
    made = {
        "name": swap_name(claim, near, far, rng),
        "number": swap_number(claim, near, far, rng),
        "negation": negate(claim, rng),
        "opposite": turn_round(claim, rng),
        "role": swap_roles(claim, rng),
    }
    return [Claim(text, CONTRADICTED, kind) for kind, text in made.items() if text and text != claim and text not in near]


_WHO = re.compile(
    r"^(?:Who|What|Which [\w ]{2,30}?|What [a-z ]{3,30}?|How many [\w ]{2,30}?) "
    r"(?P<verb>(?:is|are|was|were|has|had|can|will|would|could)\b|[a-z]+(?:ed|s|te|ve|de|ught|ew|ook|an|un|id)\b) (?P<rest>.+?)\?$"
)
_BE = re.compile(r"^(?:What|Who|Where|When|How) (?P<be>is|are|was|were) (?P<rest>.+?)\?$")
_WHEN = re.compile(
    r"^(?:When|In what year|In which year|What year|Where|In what \w+|In which \w+) (?P<be>is|are|was|were) "
    r"(?P<subject>.+?) (?P<verb>\w+(?:ed|n|t|de|nd|ne|ld))(?P<rest>(?: .+)?)\?$"
)
_DID = re.compile(
    r"^(?:When|In what year|In which year|What year|Where|In what \w+|In which \w+|How) did "
    r"(?P<subject>(?:the |a |an )?[A-Z][\w'’ -]*?|\w+) (?P<verb>[a-z]+)(?P<rest>(?: .+)?)\?$"
)


def claim_of(question: str, answer: str) -> str | None:
    """The question and its answer as one statement, where a rule fits."""
    question = _capital(question.strip())
    answer = answer.strip().rstrip(".")
    if len(answer.split()) > 12 or not answer:
        return None
    when = _WHEN.match(question)
    if when:
        linked = (
            answer
            if re.match(r"(?:in|on|at|by|from|during|near)\b", answer, re.I)
            else ("in " if not re.match(r"\w+ \d", answer) else "on ") + answer
        )
        return _capital(f"{when['subject']} {when['be']} {when['verb']}{when['rest']} {linked}.")
    did = _DID.match(question)
    if did:
        linked = answer if re.match(r"(?:in|on|at|by|from|during|near|to)\b", answer, re.I) else f"in {answer}"
        return _capital(f"{did['subject']} did {did['verb']}{did['rest']} {linked}.")
    who = _WHO.match(question)
    be = _BE.match(question)
    if be and not re.search(r"\b\w+ed\b", be["rest"]):
        return _capital(f"{be['rest']} {be['be']} {answer}.")
    if who and not re.match(r"(?:did|does|do)\b", who["verb"]):
        counted = re.match(r"^How many ([\w ]{2,30}?) (?:is|are|was|were|has|had|can|will|[a-z]+ed)\b", question)
        subject = f"{answer} {counted[1]}" if counted and counted[1] not in answer else answer
        return _capital(f"{subject} {who['verb']} {who['rest']}.")
    return None


def other_answer(answer: str, others: Sequence[str], rng: random.Random) -> str | None:
    """An answer of the same form that is not this one."""

    def form(text: str) -> tuple[bool, bool, bool]:
        return bool(re.search(r"\d", text)), text[:1].isupper(), len(text.split()) > 3

    fitting = [
        other
        for other in others
        if form(other) == form(answer) and other.lower() not in answer.lower() and answer.lower() not in other.lower()
    ]
    return rng.choice(fitting) if fitting else None
