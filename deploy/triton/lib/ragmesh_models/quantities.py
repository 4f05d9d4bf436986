"""Numbers and dates of a text in one normal form, and whether another text gives the same: 1,000 = 1000, ten = 10, Jan = January.

A claim may say less than its evidence (the 1970s for 1979, over 9,000 for 9,806), never something else. This module does not know
names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_UNITS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
    nineteen""".split()  # noqa: SIM905 - a word list reads better as prose
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SMALL = {word: float(n) for n, word in enumerate(_UNITS)} | {word: 20.0 + 10 * n for n, word in enumerate(_TENS)}
_LARGE = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_SHORT_LARGE = {"k": 1e3, "m": 1e6, "mn": 1e6, "bn": 1e9, "b": 1e9}
_TO_TWENTY = """first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth
    sixteenth seventeenth eighteenth nineteenth twentieth""".split()  # noqa: SIM905 - a word list reads better as prose
_ORDINALS = {word: float(n) for n, word in enumerate(_TO_TWENTY, start=1)} | {
    "thirtieth": 30.0,
    "fortieth": 40.0,
    "fiftieth": 50.0,
    "hundredth": 100.0,
}
_COUNTING = {
    "single": 1.0, "once": 1.0, "twice": 2.0, "both": 2.0, "couple": 2.0, "pair": 2.0, "double": 2.0, "dual": 2.0, "duo": 2.0,
    "triple": 3.0, "trio": 3.0, "thrice": 3.0, "trilogy": 3.0, "quartet": 4.0, "quadruple": 4.0, "dozen": 12.0, "score": 20.0,
    "centennial": 100.0, "century": 100.0, "decade": 10.0, "half": 0.5,
}  # fmt: skip
_DECADES = {
    "twenties": 20, "thirties": 30, "forties": 40, "fifties": 50, "sixties": 60, "seventies": 70, "eighties": 80, "nineties": 90,
}  # fmt: skip
# Said without counting anything ("one of the", "at first", "second to none", "zero doubt"): never demanded of the evidence.
_IDLE = {"one", "first", "second", "zero", "hundred", "thousand", "million", "billion", "trillion", *_COUNTING} - {
    "dozen",
    "trio",
    "quartet",
}

_MONTHS = {
    "january": 1, "jan": 1, "february": 2, "feb": 2, "march": 3, "mar": 3, "april": 4, "apr": 4, "may": 5, "june": 6, "jun": 6,
    "july": 7, "jul": 7, "august": 8, "aug": 8, "september": 9, "sep": 9, "sept": 9, "october": 10, "oct": 10, "november": 11,
    "nov": 11, "december": 12, "dec": 12,
}  # fmt: skip
_WEEKDAYS = {
    name: n
    for n, names in enumerate(
        ["monday mon", "tuesday tue tues", "wednesday wed", "thursday thu thur thurs", "friday fri", "saturday sat", "sunday sun"]
    )
    for name in names.split()
}
_PLAIN_WORDS = {"may", "march", "mar", "august", "sat", "sun", "wed", "mon", "fri", "jan", "dec", "sep", "tue", "thu"}

_MEASURES = {
    unit: group
    for group, units in {
        "%": "% percent percentage pct", "kg": "kg kgs kilogram kilo kilogramme", "g": "g gram gramme",
        "mg": "mg milligram milligramme", "ug": "µg μg mcg microgram", "t": "tonne ton", "lb": "lb lbs pound", "oz": "oz ounce",
        "km": "km kilometre kilometer", "m": "metre meter", "cm": "cm centimetre centimeter", "mm": "mm millimetre millimeter",
        "mi": "mi mile", "ft": "ft foot feet", "in": "inch inches", "l": "litre liter", "ml": "ml millilitre milliliter",
        "gal": "gallon", "$": "$ dollar usd", "€": "€ euro eur", "£": "£ gbp sterling", "¥": "¥ yen jpy", "₹": "₹ rupee",
        "c": "c celsius centigrade", "f": "f fahrenheit", "k": "kelvin", "s": "sec second", "min": "minute", "h": "hour hr hrs",
        "d": "day", "wk": "week", "mo": "month", "yr": "year yr yrs", "ha": "hectare", "ac": "acre", "w": "watt",
        "kw": "kw kilowatt", "mw": "mw megawatt", "v": "volt", "hz": "hz hertz", "mb": "mb megabyte", "gb": "gb gigabyte",
        "tb": "tb terabyte",
    }.items()
    for unit in units.split()
}  # fmt: skip

_READ = frozenset((*_SMALL, *_LARGE, *_ORDINALS, *_COUNTING, *_DECADES, *_MONTHS, *_WEEKDAYS))

_DIGITS = r"\d{1,3}(?:[,\u00a0\u2009\u202f]\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?"
_TOKEN = re.compile(
    rf"(?P<iso>\b\d{{4}}-\d{{2}}-\d{{2}}\b)|(?:(?P<sign>[$€£¥₹])\s?)?(?<![^\W\d_])(?P<digits>{_DIGITS})(?P<end>(?:st|nd|rd|th)\b|['’]?s\b|[kKmM]\b|[mb]n\b)?"
    r"|(?P<word>[^\W\d_]+(?:['’][^\W\d_]+)?)|(?P<mark>[%$€£°µμ-]|\S)"
)
_MORE = re.compile(r"\b(?:over|(?:more|greater|higher|larger|older|longer|later) than|at least|above|exceed(?:s|ed|ing)?|beyond|"
                   r"after|since|minimum of|"
                   r"past)\s*$", re.I)  # fmt: skip
_LESS = re.compile(r"\b(?:under|(?:less|fewer|lower|smaller|younger|shorter|earlier) than|at most|below|up to|before|by|"
    r"within|maximum of|"
                   r"prior to)\s*$", re.I)  # fmt: skip
_ABOUT = re.compile(r"\b(?:about|around|approximately|nearly|almost|roughly|circa|some|close to|c\.|an estimated)\s*$", re.I)
_ABOUT_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number of a text."""

    value: float
    kind: str
    """`number`, `ordinal`, `decade` (its first year), `century` (its ordinal), `month` or `weekday`"""
    unit: str
    bound: str
    """`more`, `less`, `about` where the text says so, else empty"""
    idle: bool
    """Whether the word may stand there without counting anything."""
    start: int
    end: int


def _singular(word: str) -> str:
    return word[:-1] if word.endswith("s") and word not in _MEASURES else word


def _bound(before: str) -> str:
    tail = before[-24:]
    for name, pattern in (("more", _MORE), ("less", _LESS), ("about", _ABOUT)):
        if pattern.search(tail):
            return name
    return ""


def _spelled(words: list[tuple[str, int, int]], at: int) -> tuple[float, int, bool] | None:
    """Value, index after it, and whether it is an ordinal, of a number in words that begins at `at`."""
    total = current = 0.0
    index, seen = at, False
    while index < len(words):
        word = words[index][0]
        if word in _SMALL and (not seen or current % 100 == 0 or (current % 10 == 0 and _SMALL[word] < 10 and current % 100 >= 20)):
            current += _SMALL[word]
        elif word in _LARGE and (seen or word != "hundred" or index == at):
            current = max(current, 1.0) * _LARGE[word]
            if word != "hundred":
                total, current = total + current, 0.0
        elif seen and word in _ORDINALS and current % 10 == 0 and current >= 20 and _ORDINALS[word] < 10:
            return total + current + _ORDINALS[word], index + 1, True
        elif not (
            seen
            and word in ("and", "-")
            and index + 1 < len(words)
            and (words[index + 1][0] in _SMALL or words[index + 1][0] in _ORDINALS)
            and words[index - 1][0] in (*_LARGE, *_TENS)
        ):
            break
        seen = True
        index += 1
    return (total + current, index, False) if seen else None


def _date_word(word: str, raw: str, around: list[str]) -> tuple[str, int] | None:
    """A month or weekday; those that are also plain words need a capital, and the short ones a number beside them."""
    if word not in _MONTHS and word not in _WEEKDAYS:
        return None
    if word in _PLAIN_WORDS:
        counted = any(near[:1].isdigit() for near in around)
        if not (
            counted
            or (
                raw[0].isupper()
                and word in ("august", "may", "march")
                and any(near in ("in", "of", "early", "late", "since", "until", "mid") for near in around)
            )
        ):
            return None
    return ("month", _MONTHS[word]) if word in _MONTHS else ("weekday", _WEEKDAYS[word])


def quantities_of(text: str) -> list[Quantity]:
    """Every number and date word in order."""
    tokens = list(_TOKEN.finditer(text))
    words = [(m.group().lower(), m.start(), m.end()) for m in tokens]
    found: list[Quantity] = []
    index = 0
    while index < len(tokens):
        match = tokens[index]
        taken = 1
        if match.lastgroup == "iso":
            year, month, day = (float(part) for part in match.group("iso").split("-"))
            for value, kind in ((year, "number"), (month, "month"), (day, "number")):
                found.append(Quantity(value, kind, "", "", False, match.start(), match.end()))
        elif match.lastgroup in ("digits", "end"):
            taken = _digits(text, tokens, words, index, found)
        elif words[index][0] in _READ:
            taken = _words(text, tokens, words, index, found)
        index += taken
    return found


def _unit_after(words: list[tuple[str, int, int]], index: int) -> str:
    for skipped in range(2):
        word = words[index + skipped][0] if index + skipped < len(words) else ""
        unit = _MEASURES.get(word) or _MEASURES.get(_singular(word))
        # "m" and the like are units only right behind their number.
        if unit:
            return unit
        if word not in ("-", "°", "us", "square", "cubic", "u.s", "degree", "degrees"):
            break
    return ""


def _digits(text: str, tokens: list[re.Match[str]], words: list[tuple[str, int, int]], index: int, found: list[Quantity]) -> int:
    match = tokens[index]
    start, end = match.start("digits"), match.end()
    value = float(re.sub(r"[,\u00a0\u2009\u202f]", "", match.group("digits")))
    suffix = (match.group("end") or "").lower().lstrip("'’")
    kind = "ordinal" if suffix in ("st", "nd", "rd", "th") else "number"
    following = words[index + 1][0] if index + 1 < len(words) else ""
    taken = 1
    if suffix in _SHORT_LARGE:
        value *= _SHORT_LARGE[suffix]
    elif suffix == "s" and value % 10 == 0 and (value < 100 or 1000 <= value < 2100):
        kind = "decade"
    elif following in _LARGE and kind == "number":
        value, taken, end = value * _LARGE[following], 2, words[index + 1][2]
    elif kind == "ordinal" and (
        following == "century" or (following == "-" and index + 2 < len(words) and words[index + 2][0] == "century")
    ):
        kind, taken = "century", 2
    sign = _MEASURES.get(match.group("sign") or "", "")
    unit = sign or (_unit_after(words, index + taken) if kind == "number" else "")
    found.append(Quantity(value, kind, unit, _bound(text[max(0, match.start() - 24) : match.start()]), False, start, end))
    return taken


def _words(text: str, tokens: list[re.Match[str]], words: list[tuple[str, int, int]], index: int, found: list[Quantity]) -> int:
    word, start, end = words[index]
    around = [words[at][0] for at in (index - 2, index - 1, index + 1, index + 2) if 0 <= at < len(words)]
    date = _date_word(word, tokens[index].group(), around)
    if date:
        found.append(Quantity(float(date[1]), date[0], "", "", False, start, end))
        return 1
    if word in _DECADES:
        found.append(Quantity(_DECADES[word], "decade", "", "", False, start, end))
        return 1
    spelled = _spelled(words, index)
    if spelled and not (spelled[1] < len(words) and words[spelled[1]][0] in _DECADES):  # nineteen nineties
        value, after, ordinal = spelled
        end = words[after - 1][2]
        following = words[after][0] if after < len(words) else ""
        kind = "ordinal" if ordinal else "number"
        if ordinal and following == "century":
            kind = "century"
        unit = "" if ordinal else _unit_after(words, after)
        idle = after == index + 1 and word in _IDLE
        found.append(Quantity(value, kind, unit, _bound(text[max(0, start - 24) : start]), idle, start, end))
        return after - index
    if word in _ORDINALS:
        century = index + 1 < len(words) and words[index + 1][0] == "century"
        kind = "century" if century else "ordinal"
        found.append(Quantity(_ORDINALS[word], kind, "", "", word in _IDLE and not century, start, end))
    elif word in _COUNTING:
        found.append(Quantity(_COUNTING[word], "number", "", "", True, start, end))
    return 1


def _same(claim: Quantity, given: Quantity) -> bool:
    if (claim.kind in ("month", "weekday")) != (given.kind in ("month", "weekday")):
        return False
    if claim.kind in ("month", "weekday"):
        return claim.kind == given.kind and claim.value == given.value
    if claim.kind == "decade":
        if claim.value >= 1000 and claim.value % 100 == 0 and claim.value <= given.value < claim.value + 100:  # the 1700s
            return given.kind in ("number", "decade")
        if given.kind == "decade":
            return given.value % 100 == claim.value % 100
        return given.kind == "number" and 1000 <= given.value < 2100 and given.value // 10 * 10 % 100 == claim.value % 100
    if claim.kind == "century":
        if given.kind == "century":
            return given.value == claim.value
        return given.kind in ("number", "decade") and (claim.value - 1) * 100 <= given.value <= claim.value * 100
    if given.kind in ("decade", "century"):
        return False
    if claim.unit and given.unit and claim.unit != given.unit:
        return False
    if claim.bound == "more" and given.value >= claim.value and given.value <= claim.value * 10:
        return True
    if claim.bound == "less" and given.value <= claim.value and given.value >= claim.value / 10:
        return True
    if claim.bound == "about" and abs(given.value - claim.value) <= _ABOUT_SHARE * abs(claim.value):
        return True
    return given.value == claim.value or abs(given.value - claim.value) < 1e-9


def unmatched(claim: list[Quantity], evidence: list[Quantity]) -> list[Quantity]:
    """Quantities of the claim that no quantity of the evidence gives; idle words are never demanded."""
    return [one for one in claim if not one.idle and not any(_same(one, given) for given in evidence)]
