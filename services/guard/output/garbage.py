"""Text that is no sentence of any language, by eight methods that know no language:

    characters   one character or group of characters over and over
    words        one word, or a run of words, over and over
    signs        hardly any letters, or digits without end
    encoding     bytes read in the wrong encoding, signs for what could not be read, scripts mixed inside words
    markup       tags, links and braces that are only half there
    sentence     no word at all
    template     places that were to be filled, marks of a model, text of a type specimen
    letters      letters in an order that no language has

Loops across the segments of a draft are found by whoever knows the segments before (`Repeats`). Tables, code, formulas and
addresses are not running text and pass, but for what is garbage anywhere (prose.py). Knows no verdict.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from services.guard.output.facts import compact
from services.guard.output.plausibility import implausible
from services.guard.output.prose import DISPLAYED, prose

MAX_CHARACTERS = 16_384
_LEAST_LOOP = 20
"""Letters and digits that a segment has at least, to be a loop when it comes again: a short "Yes." may."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """What is wrong with a text."""

    rule: str
    start: int
    """Half-open range in characters; the whole text where no place is meant."""
    end: int
    score: float
    """How far it is beyond what a text may be; 1 is the limit."""


_LETTER_RUN = re.compile(r"([^\W\d_])\1{4,}")
_ROMAN = re.compile(r"[IVXLCM]{1,8}")
_GROUP_RUN = re.compile(r"([^\W\d_]\w{1,4}?)\1{4,}")
_SIGN_RUN = re.compile(r"([^\w\s])\1{5,}")
_RULED = frozenset("-=_*~^.#+—–·•…")
_PLAIN = re.compile(r"[A-Za-z0-9\s.,:;()'\"%/-]+")


def _characters(text: str, running: str) -> Garbage | None:
    for pattern in (_LETTER_RUN, _GROUP_RUN):
        runs = [match for match in pattern.finditer(running) if not _ROMAN.fullmatch(match.group())]
        length = sum(len(match.group()) for match in runs)
        # "Aaaaah!" is somebody's cry; a third of the text, or a dozen letters, is nobody's.
        if runs and (length >= 12 or length >= 0.34 * max(1, len(running.strip()))):
            return Garbage("garbage.characters", runs[0].start(), runs[0].end(), length / 12 + 0.34)
    runs = list(_SIGN_RUN.finditer(running))
    length = sum(len(match.group()) for match in runs)
    ruled = all(match.group(1) in _RULED for match in runs)
    if runs and length >= (0.6 if ruled else 0.2) * len(running.strip()):
        return Garbage("garbage.characters", runs[0].start(), runs[0].end(), 1 + length / len(running))
    return None


_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_REPEATED = re.compile(r"\b([^\W\d_]{2,})(?:[\s,.!?]+\1\b){3,}", re.I)
_MAX_PERIOD = 16


def _loop(words: list[str]) -> tuple[int, int, int]:
    """The longest run that repeats what stood `period` words before: how many words repeat, the period, and where it ends."""
    best = (0, 0, 0)
    for period in range(1, min(_MAX_PERIOD, len(words) // 2) + 1):
        run = longest = end = 0
        for at, (one, other) in enumerate(zip(words, words[period:], strict=False), start=period + 1):
            run = run + 1 if one == other else 0
            if run > longest:
                longest, end = run, at
        if longest > best[0] and longest >= period:
            best = (longest, period, end)
    return best


def _words(_: str, running: str) -> Garbage | None:
    match = _REPEATED.search(running)
    if match:
        count = len(match.group().split())
        if count >= (5 if len(running) < 500 else 8):
            return Garbage("garbage.words", match.start(), match.end(), count / 4)
    words = _WORD.findall(_ADDRESS.sub(" ", running).lower() if "/" in running else running.lower())
    if len(words) < 8 or len(set(words)) > 0.8 * len(words):
        return None
    repeats, period, end = _loop(words)
    again = words[end - period : end]
    lettered = any(len(word) > 1 and any(map(str.isalpha, word)) for word in again)
    # A number or a letter over and over is a row of a table, but not at the end of a sentence.
    stuck = period == 1 and repeats >= 6 and end == len(words) and again[0].strip("0") and len(set(words)) > 4
    if stuck and sum(map(str.isalpha, words[: end - repeats])) >= 4:
        return Garbage("garbage.words", 0, len(running), repeats / 6)
    # Said four times without a word between: nobody's sentence, however much stands before; a long text may quote a refrain.
    if lettered and repeats >= max(8, (3 if repeats + period >= 0.25 * len(words) else 5) * period):
        return Garbage("garbage.words", 0, len(running), repeats / 8)
    if len(set(words)) > 0.7 * len(words):
        return None
    if lettered and repeats >= max(6, 2 * period if period < 4 else 1.5 * period) and repeats + period >= 0.4 * len(words):
        return Garbage("garbage.words", 0, len(running), (repeats + period) / period / 2)
    threes = list(zip(words, words[1:], words[2:], strict=False))
    if len(words) >= 24 and len(set(threes)) < 0.5 * len(threes):
        return Garbage("garbage.words", 0, len(running), 0.5 * len(threes) / len(set(threes)))
    return None


_ADDRESS = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+\.\S+|\b[\w-]+(?:\.[\w-]+){2,}\b|(?:[\w.~-]*/){2,}[\w.~-]*|[A-Z]:\\\S+")
_FIGURES = re.compile(r"[\d\s.,:;/()+\-–—×x*=<>≤≥±≈~%°€$£'\"|−→]+")
_FORMULA = re.compile(r"[\u2200-\u22ff]|\w[_^]\{|(?<=[\w)\]}])\s?=\s?[\w(\[{-]")
_SUM = re.compile(r"[∑∏∫√∞∂∇∈∉⊂∪∩∀∃]")
_HARD_SIGN = re.compile(
    r"[^\w\s.,:;()'\"!?%/\-–—“”„«»‘’…°€$£+*=<>&#@\[\]·•×±²³¹₀-₉⁰-⁹½¼¾§©®™\u2190-\u22ff\u2713-\u274c⚠\U0001f300-\U0001faff\ufe0f\u200d\u0300-\u036f]"
)
_ODD = re.compile(r"[^\w\s.,:;()'\"!?%\-–—“”„«»‘’…\u2190-\u22ff²³¹₀-₉⁰-⁹]")
_FLIP = re.compile(r"[a-z](?=[A-Z0-9])|[A-Z](?=[a-z0-9])|\d(?=[A-Za-z])")
# Words, camelCase, names with a number, acronyms: whatever else letters and digits join to was struck at random.
_FORMED = re.compile(r"(?:[A-Z]?[a-z]{2,})+\d{0,4}|[A-Z]{2,}s?\d{0,4}|\d+|[A-Za-z]")
_RUN = re.compile(r"[^\W_]+")
_HEADING = re.compile(r"(?m)^\s{0,3}#{1,6}\s")
_UNDERLINE = re.compile(r"\s([~^=*+_-])\1{3,}$")
_HARD = re.compile(r"[!#$%^&*?@~`|\\{}<>_+]")
_LOUDEST = re.compile(r"[!#$%^&*?@~`|{}]")
_ENDLESS = re.compile(r"\d{20,}")


def _signs(text: str, running: str) -> Garbage | None:
    if _PLAIN.fullmatch(text) and not _ENDLESS.search(text):
        return None
    if "#" in text:
        text, running = _HEADING.sub("", text), _HEADING.sub("", running)
    running = _UNDERLINE.sub("", running) if running[-1:] in _RULED and len(running) > 4 else running
    if "<" in text:
        text, running = _TAG.sub("", text), _TAG.sub("", running)
    bare = DISPLAYED.sub(" ", text) if "$$" in text else text
    loud = len(_HARD.findall(bare))
    loudest = len(_LOUDEST.findall(bare)) if loud > 1 else 0
    if (loud >= 3 and loud >= 0.06 * len(bare)) or (loudest >= 2 and loudest >= 0.03 * len(bare)):
        runs = _RUN.findall(_TAG.sub(" ", _ADDRESS.sub(" ", bare)))
        joined = "".join(runs)
        random = sum(len(run) for run in runs if not _FORMED.fullmatch(run))
        # Case and digits change from letter to letter, and signs stand between: no language, and no program either.
        if (
            len(joined) >= 16
            and random >= 0.35 * len(joined)
            and len(_FLIP.findall(joined)) > (0.35 if loud >= max(3, 0.06 * len(bare)) else 0.45) * len(joined)
        ):
            return Garbage("garbage.signs", 0, len(text), 1.0 + loud / len(bare))
    bare = _ADDRESS.sub(" ", running)
    shown = len(bare) - sum(map(str.isspace, bare))
    if shown < 8:
        return None
    letters = sum(map(str.isalpha, bare))
    odd = len(_ODD.findall(bare))
    if odd > 0.3 * shown and letters < 0.6 * shown and shown >= 12 and not _FORMULA.search(bare) and not _FIGURES.fullmatch(bare):
        return Garbage("garbage.signs", 0, len(running), odd / shown / 0.3)
    if len(_HARD_SIGN.findall(bare)) > 0.15 * shown and letters < 0.8 * shown and not _SUM.search(bare):
        return Garbage("garbage.signs", 0, len(running), 1.0)
    endless = sum(len(match) for match in _ENDLESS.findall(bare))
    if endless and letters < 0.2 * shown:
        return Garbage("garbage.signs", 0, len(running), endless / 20)
    return None


_HIGH = re.compile(
    r"[\u0080-\u00ff\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013\u2014\u2018-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122]{2,}"
)
_CYRILLIC_RUN = re.compile(r"[\u0400-\u04ff\u00a0-\u00bf\u2018-\u2026\u2030\u2039\u203a\u20ac\u2116\u2122]{4,}")
_EXPECTED = re.compile(
    r"[\u00a0-\u024f\u0370-\u052f\u2010-\u2044\u20a0-\u20bf\u2100-\u2122\u2190-\u21ff\u3000-\u9fff\U0001f300-\U0001faff]+"
)
_SIGNS_OF_LOSS = re.compile(
    r"(?<=\w)\?+(?=[^\W\d_])|(?<!\S)\?+(?=[^\W\d_])|&#x?[0-9a-f]{2,6};|\\u[0-9a-f]{4}|\\x[0-9a-f]{2}|=[CE][0-9A-F](?:=[89AB][0-9A-F])",
    re.I,
)
_TWO_SCRIPTS = re.compile(r"\b(?=\w*[A-Za-z])(?=\w*[\u0400-\u04ff])[A-Za-z\u0400-\u04ff]{3,}\b")
_SCRIPTS = tuple(
    re.compile(f"[{letters}]")
    for letters in (
        "A-Za-z\u00c0-\u024f", "\u0370-\u03ff", "\u0400-\u052f", "\u0530-\u05ff", "\u0600-\u077f", "\u0900-\u0dff", "\u0e00-\u0fff",
        "\u1000-\u1fff", "\u3040-\u30ff", "\u3400-\u9fff", "\uac00-\ud7af",
    )
)  # fmt: skip


def _as_bytes(text: str) -> bytes | None:
    found = bytearray()
    for character in text:
        try:
            found += character.encode("cp1252")
        except UnicodeEncodeError:
            if ord(character) > 0xFF:
                return None
            found.append(ord(character))
    return bytes(found)


def _misread(text: str) -> re.Match[str] | None:
    """A run of characters that are the bytes of others: UTF-8 read as Windows-1252 or as Windows-1251."""
    for match in _HIGH.finditer(text):
        data = _as_bytes(match.group())
        for cut in (slice(None), slice(1, None), slice(0, -1)):
            try:
                meant = data[cut].decode() if data else ""
            except UnicodeDecodeError:
                continue
            if meant and _EXPECTED.fullmatch(meant) and len(meant) < len(match.group()[cut]):
                return match
    for match in _CYRILLIC_RUN.finditer(text):
        try:
            meant = match.group().encode("cp1251").decode()
        except UnicodeError:
            continue
        if len(meant) >= 2:
            return match
    return None


def _encoding(text: str, running: str) -> Garbage | None:
    suspect = "?" in running or "&#" in running or "\\" in running or "=" in running
    lost = _SIGNS_OF_LOSS.findall(_ADDRESS.sub(" ", running)) if suspect else []
    if "\ufffd" in text or len(lost) >= 3:
        at = max(text.find("\ufffd"), 0)
        return Garbage("garbage.encoding", at, at + 1, 1.0 + len(lost) / 10)
    if text.isascii():
        return None
    match = _misread(text)
    if match:
        return Garbage("garbage.encoding", match.start(), match.end(), 1.0)
    mixed = _TWO_SCRIPTS.findall(running)
    words = len(running.split())
    if len(mixed) >= 2 and len(mixed) >= 0.15 * words:
        return Garbage("garbage.encoding", 0, len(running), 1.0)
    scripts = sum(pattern.search(running) is not None for pattern in _SCRIPTS)
    if scripts >= 4 and scripts >= 0.25 * words:
        return Garbage("garbage.encoding", 0, len(running), scripts / 4)
    return None


_TAG = re.compile(
    r"<(/?)(a|abbr|article|aside|b|blockquote|body|br|button|center|code|dd|del|div|dl|dt|em|figcaption|figure|font|footer|form|h[1-6]|head|header|"
    r"hr|html|i|iframe|img|input|ins|kbd|label|li|link|main|mark|meta|nav|ol|option|p|pre|s|samp|script|section|select|small|span|strike|strong|"
    r"style|sub|summary|sup|svg|table|tbody|td|textarea|tfoot|th|thead|title|tr|tt|u|ul|var|video)(?=[\s/>])[^<>]*>",
    re.IGNORECASE,
)
_ATTRIBUTE = re.compile(r"<[a-z]+\s[^<>]*\b(?:class|id|style|href|src|data-\w+)=[\"'][^<>]*>", re.I)
_HALF_TAG = re.compile(
    r"<(?:/|!--)?[a-z][a-z0-9]*(?:\s+[\w-]+(?:=[\"'][^\"'<>]*[\"']?)?)*\s*$|(?:^|\s)[\w-]+=[\"'][^\"'<>]*[\"']\s*/?>", re.I
)
_WHOLE_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,400}>")
_HALF_LINK = re.compile(r"!?\[[^\[\]\n]{1,200}\]\((?:https?:)?[^)\s]*$")
_ENTITY = re.compile(r"&(?:nbsp|amp|lt|gt|quot|apos|[lr]dquo|[lr]squo|[mn]dash|hellip);")
_JSON = re.compile(
    r"^\s*[\[{]\s*\"(?:role|content|text|answer|message|choices|id)\"\s*:|\"(?:role\"\s*:\s*\"(?:assistant|user|system|tool)\"|(?:content|finish_reason|logprobs)\"\s*:\s*[\"\[{n])",
    re.I,
)
_VOID = frozenset({"br", "hr", "img", "input", "li", "p", "td", "tr", "th"})


def _markup(text: str, running: str) -> Garbage | None:
    if _JSON.search(text) and "```" not in text:
        return Garbage("garbage.markup", 0, len(text), 1.0)
    entities = len(_ENTITY.findall(text)) if "&" in text and "`" not in text else 0
    if entities >= 2:
        return Garbage("garbage.markup", 0, len(running), entities / 2)
    if "<" in text and "`" not in text:
        open_: list[str] = []
        loose = size = 0
        for match in _TAG.finditer(text):
            name = match.group(2).lower()
            if (name in _VOID and "=" not in match.group()) or match.group().endswith("/>"):
                continue
            size += len(match.group())
            if not match.group(1):
                open_.append(name)
            elif open_ and open_[-1] == name:
                open_.pop()
            else:
                loose += 1
        if loose + len(open_) >= 2 or (loose + len(open_) and (size >= 0.15 * len(text) or _ATTRIBUTE.search(text))):
            return Garbage("garbage.markup", 0, len(text), max(1.0, (loose + len(open_)) / 2))
    half = _HALF_TAG.search(_WHOLE_TAG.sub("x", running)) if "<" in running or "=" in running else None
    half = half or (_HALF_LINK.search(running) if "](" in running else None)
    if half:
        return Garbage("garbage.markup", half.start(), half.end(), 1.0)
    if any(character in running for character in "([{"):
        missing = sum(abs(running.count(a) - running.count(b)) for a, b in ("()", "[]", "{}"))
        if missing >= 4 and missing >= 0.05 * len(running):
            return Garbage("garbage.markup", 0, len(running), missing / 4)
    return None


def _sentence(text: str, running: str) -> Garbage | None:
    shown = text.strip()
    if not shown:
        return Garbage("garbage.sentence", 0, len(text), 1.0)
    if any(map(str.isalnum, shown)):
        return None
    # A rule stands between paragraphs, a few closing marks end a quotation or a program.
    ruled = all(character in _RULED or character in "|: " for character in shown)
    return None if ruled or (len(shown) <= 4 and len(shown.split()) == 1) else Garbage("garbage.sentence", 0, len(text), 1.0)


_MARKS = re.compile(
    r"<\|?(?:unk|pad|mask|bos|eos|sep|cls|s|/s|eot|endoftext|im_start|im_end|extra_id_\d+|reserved[\w-]*)\|?>"
    r"|\[(?:UNK|PAD|MASK|CLS|SEP|BOS|EOS|INST|/INST)\]|(?:^|\s)##[a-z]{2,}\b|[ĠĊ▁]\w"
)
_PLACE = re.compile(
    r"\{\{[^{}\n]{0,80}\}\}|\$\{[\w. ]{1,40}\}|<%[^%\n]{0,80}%>|\{%[^%\n]{0,80}%\}"
    r"|(?<![\w$({\"'^_\\/-])\{[a-z]{2,}(?:_[a-z]+)*\}(?![\w})\"'])"
    r"|\[(?:insert|your|enter|add|placeholder|todo|tbd|fill|name|company|date|address|product"
    r"|answer)(?:[ _-](?!of )[^\[\]\n]{0,60})?\](?!\()"
    r"|<(?:insert|your|enter|placeholder|answer|name|todo)(?:[ _-][^<>\n]{0,60})?>(?![./\w])"
    r"|(?<![\d%])%(?:\([a-z_]+\))?[sd](?!\w)(?! (?:format|placeholder|specifier|conversion|directive))"
    r"|\blorem ipsum\b|\bdolor sit amet\b|\bconsectetur adipiscing\b|\[object Object\]|\bundefined undefined\b"
    r"|\bnull null\b|\bNaN NaN\b"
    r"|^(?:assistant|user|system|answer|response)\s*:\s*$|\bfoo bar baz\b|_{4,}",
    re.IGNORECASE,
)
_SYNTAX = re.compile(r"\{\{|\$\{|\$\(\w|(?<![\d%])%\(|(?<![\d%])%s\b|\{%|<%")
# Where capitals matter: Spanish has a "todo", and a roman thirty is XXX.
_LEFT = re.compile(r"\b(?:X{4,}|x{4,})\b|(?:^|[.!?]\s+)(?:TODO|FIXME|TBD|TK)\b|\b(?:TODO|FIXME|TBD|TK):|\bNaN\.$|__[A-Z_]{3,40}__")
# What every match has in it, some of it: looked for first, for a text of words has none.
_HINTS = (
    "orem", "olor sit", "XXXX", "xxxx", "TODO", "FIXME", "TBD", "TK", "undefined", "NaN", "null", "foo bar", "ssistant:", "ser:",
    "ystem:", "nswer:", "esponse:",
)  # fmt: skip
# Who writes about a mark sets it in quotation marks.
_QUOTED_MARK = re.compile(r"([\"'])[<\[|]{1,2}/?[\w/]{1,24}[|>\]]{1,2}\1|[“‘„«][<\[|]{1,2}/?[\w/]{1,24}[|>\]]{1,2}[”’“»]")
_FENCED = re.compile(r"```.*?(?:```|$)|`[^`\n]{1,400}`", re.S)


def _template(text: str, running: str) -> Garbage | None:
    match = None
    if any(mark in text for mark in "{[<%_$#ĠĊ▁") or any(word in text for word in _HINTS):
        if len({syntax.group()[:2] for syntax in _SYNTAX.finditer(running)}) > 1:
            # Who compares ways to write a place has forgotten none.
            running = ""
        match = _MARKS.search(_QUOTED_MARK.sub("x", _FENCED.sub("x", text))) or _PLACE.search(running) or _LEFT.search(running)
    return Garbage("garbage.template", match.start(), match.end(), 1.0) if match else None


def _letters(_: str, running: str) -> Garbage | None:
    beyond = implausible(running)
    return Garbage("garbage.letters", 0, len(running), beyond) if beyond >= 1 else None


_METHODS: tuple[Callable[[str, str], Garbage | None], ...] = (
    _sentence,
    _template,
    _encoding,
    _markup,
    _characters,
    _words,
    _signs,
    _letters,
)


def garbage(text: str) -> list[Garbage]:
    """What makes `text` garbage, at most one finding a method; none where it is a text."""
    text = text[:MAX_CHARACTERS]
    running = prose(text).text
    return [found for method in _METHODS if (found := method(text, running)) is not None]


class Repeats:
    """The segments of a draft so far, for loops across them."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def add(self, text: str) -> int:
        """How often `text` came before, letters and digits only; 0 where it is too short to tell."""
        said = compact(text)
        if len(said) < _LEAST_LOOP:
            return 0
        before = self._seen.get(said, 0)
        self._seen[said] = before + 1
        return before
