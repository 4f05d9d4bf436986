"""Hardly any letters, or digits without end."""

from __future__ import annotations

import re

from services.guard.output.garbage.found import ADDRESS, RULED, TAG, Garbage
from services.guard.output.prose import DISPLAYED

_PLAIN = re.compile(r"[A-Za-z0-9\s.,:;()'\"%/-]+")
_FIGURES = re.compile(r"[\d\s.,:;/()+\-–—×x*=<>≤≥±≈~%°€$£'\"|−→]+")
_FORMULA = re.compile(r"[\u2200-\u22ff]|\w[_^]\{|(?<=[\w)\]}])\s?=\s?[\w(\[{-]")
_SUM = re.compile(r"[∑∏∫√∞∂∇∈∉⊂∪∩∀∃]")
_HARD_SIGN = re.compile(
    r"[^\w\s.,:;()'\"!?%/\-–—“”„«»‘’…°€$£+*=<>&#@\[\]·•×±²³¹₀-₉⁰-⁹½¼¾§©®™\u2190-\u22ff\u2713-\u274c⚠\U0001f300-\U0001faff\ufe0f\u200d\u0300-\u036f]"
)
_ODD = re.compile(r"[^\w\s.,:;()'\"!?%\-–—“”„«»‘’…\u2190-\u22ff²³¹₀-₉⁰-⁹]")
_FLIP = re.compile(r"[a-z](?=[A-Z0-9])|[A-Z](?=[a-z0-9])|\d(?=[A-Za-z])")
# Words, camelCase, names with a number, acronyms: whatever else letters and digits join to was struck at random.
# Each stretch of small letters can be read in one way only, or a long one that does not match is read in all ways that there are.
_FORMED = re.compile(r"[A-Z]?[a-z]{2,}(?:[A-Z][a-z]{2,})*\d{0,4}|[A-Z]{2,}s?\d{0,4}|\d+|[A-Za-z]")
_RUN = re.compile(r"[^\W_]+")
_HEADING = re.compile(r"(?m)^\s{0,3}#{1,6}\s")
_UNDERLINE = re.compile(r"\s([~^=*+_-])\1{3,}$")
_HARD = re.compile(r"[!#$%^&*?@~`|\\{}<>_+]")
_LOUDEST = re.compile(r"[!#$%^&*?@~`|{}]")
_ENDLESS = re.compile(r"\d{20,}")


def signs(text: str, running: str) -> Garbage | None:
    if _PLAIN.fullmatch(text) and not _ENDLESS.search(text):
        return None
    if "#" in text:
        text, running = _HEADING.sub("", text), _HEADING.sub("", running)
    running = _UNDERLINE.sub("", running) if running[-1:] in RULED and len(running) > 4 else running
    if "<" in text:
        text, running = TAG.sub("", text), TAG.sub("", running)
    bare = DISPLAYED.sub(" ", text) if "$$" in text else text
    loud = len(_HARD.findall(bare))
    loudest = len(_LOUDEST.findall(bare)) if loud > 1 else 0
    if (loud >= 3 and loud >= 0.06 * len(bare)) or (loudest >= 2 and loudest >= 0.03 * len(bare)):
        runs = _RUN.findall(TAG.sub(" ", ADDRESS.sub(" ", bare)))
        joined = "".join(runs)
        random = sum(len(run) for run in runs if not _FORMED.fullmatch(run))
        # Case and digits change from letter to letter, and signs stand between: no language, and no program either.
        if (
            len(joined) >= 16
            and random >= 0.35 * len(joined)
            and len(_FLIP.findall(joined)) > (0.35 if loud >= max(3, 0.06 * len(bare)) else 0.45) * len(joined)
        ):
            return Garbage("garbage.signs", 0, len(text), 1.0 + loud / len(bare))
    bare = ADDRESS.sub(" ", running)
    shown = len(bare) - sum(map(str.isspace, bare))
    if shown < 8:
        return None
    letters = sum(map(str.isalpha, bare))
    if letters >= 0.8 * shown:
        return None
    odd = len(_ODD.findall(bare)) if letters < 0.6 * shown and shown >= 12 else 0
    if odd > 0.3 * shown and not _FORMULA.search(bare) and not _FIGURES.fullmatch(bare):
        return Garbage("garbage.signs", 0, len(running), odd / shown / 0.3)
    if len(_HARD_SIGN.findall(bare)) > 0.15 * shown and not _SUM.search(bare):
        return Garbage("garbage.signs", 0, len(running), 1.0)
    endless = sum(len(match) for match in _ENDLESS.findall(bare)) if letters < 0.2 * shown else 0
    if endless:
        return Garbage("garbage.signs", 0, len(running), endless / 20)
    return None
