"""Encodings and what undoes them: each function finds the ranges of a text that are so written and says what they become.

Each is called only where `TRIGGERS` says that it may find something. Knows nothing of rules, and not how often a text is looked at.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Callable, Iterator
from urllib.parse import unquote

from services.guard.views import invisible, morse, vocabulary
from services.guard.views.view import Piece

MAX_RUN = 12_000
"""Characters of one encoded run that are decoded."""
_MAX_PARTED = 1_500
"""Characters of all runs of letters that are looked at for words run together."""

_MAX_TABLE = 20_000
"""Characters whose compatibility form is remembered."""
_LEAST_TEXT = 4
"""Characters; what is shorter says nothing."""
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/=])={0,2}[A-Za-z0-9+/_-]{12,}(?:\r?\n[A-Za-z0-9+/_-]{4,})*={0,2}(?![A-Za-z0-9+/=])")
_URL_SAFE = str.maketrans("-_", "+/", "\r\n")
_BASE32 = re.compile(r"(?<![A-Z0-9=])[A-Z2-7]{16,}={0,6}(?![A-Za-z0-9=])")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:(?:\\x|0x)?[0-9A-Fa-f]{2}[ :,-]{0,2}){6,}(?![0-9A-Za-z])")
_NOT_HEX = re.compile(r"\\x|0x|[^0-9A-Fa-f]")
_BINARY = re.compile(r"(?<!\d)(?:[01]{8}[ ,]{0,2}){4,}(?!\d)")
_DECIMAL = re.compile(r"(?<![\d.])(?:\d{2,3}[ ,;]{1,2}){5,}\d{2,3}(?![\d.])")
_OCTAL = re.compile(r"(?:\\[0-7]{3}){4,}")
_UNICODE = re.compile(r"(?:(?:\\u\{?|U\+|\\U0000|%u)[0-9A-Fa-f]{4}\}?[ ]?){4,}")
_UNICODE_ONE = re.compile(r"(?:\\u\{?|U\+|\\U0000|%u)([0-9A-Fa-f]{4})\}?")
_PERCENT = re.compile(r"(?<!\S)\S*(?:%[0-9A-Fa-f]{2}[^%\s]{0,24}){3,}")
_ENTITY = r"&(?:#\d{2,6}|#[xX][0-9A-Fa-f]{2,6}|[A-Za-z]{2,8});"
_ENTITIES = re.compile(rf"{_ENTITY}(?:[^&]{{0,24}}{_ENTITY}){{2,}}")
_BROKEN = re.compile(r"(?<=\w)<[^<>]{1,40}>(?=\w)|(?<=\w)<!--.{0,80}?-->(?=\w)")
_MORSE = re.compile(r"(?<!\S)(?:[.-]{1,7}(?:[ _]{1,4}(?:[/|][ _]{1,2})?|[/|]|\n)){4,}[.-]{1,7}")
_SEPARATORS = r".\-_*|,/~+=:"
_SPACED = re.compile(r"(?<!\S)\S(?:[ \t\n]{1,6}\S){4,}(?!\S)")
_GAP = re.compile(r"[ \t\n]+")
_DOTTED = re.compile(
    # Possessive: a row of separators can be parted in any number of ways.
    rf"(?<!\S)[{_SEPARATORS}]?\S(?P<sep>[{_SEPARATORS}])(?P=sep){{0,3}}\S(?:(?P=sep){{1,4}}+\S)++(?P=sep)*+(?=[,;!?]?(?!\S))"
)
# Of one letter or two, whatever stands between, before and behind.
_DOTTED_SHORT = re.compile(
    rf"(?<!\S)[{_SEPARATORS}]?[^\W_](?P<sep>[{_SEPARATORS}])(?P=sep){{0,3}}+(?:[^\W_](?P=sep){{0,4}}+)?(?=[,;!?]?(?!\S))"
)
# Possessive wherever what is given back could not be followed by anything that may follow: words without a sign fail at once.
_HYPHENED = re.compile(r"(?<![\w-])[^\W\d_]++(?:-[^\W\d_]++)++(?![\w-])")
_JOINED = re.compile(rf"(?<!\w)[^\W_]++(?:(?P<sep>[{_SEPARATORS}])[^\W_]++){{2,}}(?!\w)")
_UNDERSCORED = re.compile(r"(?<!\S)(?:[^\s_()\[\]{}=<>/\\]{1,40}+_){3,}+[^\s()\[\]{}=<>/\\]*+(?!\S)")
_ALL_SEPARATORS = frozenset(_SEPARATORS) - {"\\"}
_LONE = re.compile(rf"(?:[{_SEPARATORS}][^\W_]){{3}}[{_SEPARATORS}]")
_CAMEL = re.compile(r"(?<!\w)[A-Za-z]?[a-z]++(?:[A-Z][a-z]*+){2,}+(?!\w)")
_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_RUN = re.compile(r"[^\W\d_]{20,}")
_LEET_SIGNS = "0134578@$!|+9"
# A sign somewhere, a letter somewhere; possessive, for a row of signs can be begun and parted anywhere.
_LEET_WORD = re.compile(
    rf"(?<![\w@$!|+])(?=[A-Za-z]*+[{_LEET_SIGNS}])(?=[{_LEET_SIGNS}]{{0,40}}+[A-Za-z])[A-Za-z{_LEET_SIGNS}]++(?![\w@$])"
)
_LEET_NUMBER = re.compile(r"(?<![\w@$.,])[0134578@$]{2,4}(?![\w@$])")
_LEET = str.maketrans(_LEET_SIGNS, "oieastbasiitg")
_LEET_L = str.maketrans(_LEET_SIGNS, "oleastbaslltg")
_BACKWARDS_TURNED = str.maketrans("()[]{}<>", ")(][}{><")


def _as_text(data: bytes) -> str | None:
    if len(data) >= 8 and data[1::2].count(0) * 2 > len(data) * 0.8:
        text = data.decode("utf-16-le", "ignore")
    else:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            if error.start < len(data) - 3:
                return None
            text = data[: error.start].decode("utf-8")  # cut inside a character
    readable = all(character.isprintable() or character.isspace() or _unseen(character) for character in text)
    return text if readable and len(text) >= _LEAST_TEXT else None


def _unseen(character: str) -> bool:
    return character >= "\x80" and ord(character) in invisible.UNREADABLE


def _pieces(pattern: re.Pattern[str], text: str, decode: Callable[[str], str | None]) -> Iterator[Piece]:
    for match in pattern.finditer(text):
        decoded = decode(match[0][:MAX_RUN])
        if decoded is not None and decoded != match[0]:
            yield Piece(match.start(), match.end(), decoded)


def _from_selectors(text: str) -> Iterator[Piece]:
    for run in invisible.selector_runs(text):
        yield Piece(run.start(), run.end(), f" {invisible.decode_selectors(run[0])}")


def _one_base64(run: str) -> str | None:
    bare = run.strip("=").translate(_URL_SAFE)
    if bare.isalpha() and (bare.islower() or bare.isupper() or bare.istitle()):
        return None  # a long word
    # Written backwards or by ROT13 it is base64 still, but of no text.
    for form in (bare, bare[::-1], codecs.encode(bare, "rot13")):
        form = form[: len(form) - (len(form) % 4 == 1)]
        try:
            text = _as_text(base64.b64decode(form + "=" * (-len(form) % 4), validate=True))
        except binascii.Error:
            return None
        if text:
            return text
    return None


def _one_base32(run: str) -> str | None:
    bare = run.rstrip("=")
    bare = bare[: len(bare) - (0, 1, 0, 1, 0, 0, 1, 0)[len(bare) % 8]]
    try:
        return _as_text(base64.b32decode(bare + "=" * (-len(bare) % 8)))
    except binascii.Error:
        return None


def _one_hex(run: str) -> str | None:
    digits = _NOT_HEX.sub("", run)
    digits = digits[: len(digits) // 2 * 2]
    return _as_text(bytes.fromhex(digits)) or _as_text(bytes.fromhex(digits[::-1]))


def _one_binary(run: str) -> str | None:
    bits = re.sub("[ ,]", "", run)
    return _as_text(bytes(int(bits[place : place + 8], 2) for place in range(0, len(bits) // 8 * 8, 8)))


def _one_decimal(run: str) -> str | None:
    codes = [int(code) for code in re.findall(r"\d+", run)]
    return _as_text(bytes(codes)) if all(32 <= code < 127 for code in codes) else None


def _one_octal(run: str) -> str | None:
    return _as_text(bytes(int(code, 8) & 0xFF for code in run[1:].split("\\")))


def _one_unicode(run: str) -> str:
    units = b"".join(int(code, 16).to_bytes(2, "big") for code in _UNICODE_ONE.findall(run))
    return units.decode("utf-16-be", "ignore")


def _one_percent(run: str) -> str:
    decoded = unquote(run, errors="replace")
    return decoded if " " in decoded else decoded.replace("+", " ")


def _one_morse(run: str) -> str | None:
    best = morse.text(run)
    if vocabulary.count(best) * 4 < best.count(" ") + 1:
        # Backwards, or with something between the signs of each letter; the one with most known words.
        spread = " ".join(code[::2] if len(code) > 2 and len(set(code[1::2])) == 1 else code for code in run.split(" "))
        best = max((best, morse.text(run[::-1]), morse.text(spread)), key=vocabulary.count)
    return best if len(best) >= _LEAST_TEXT else None


def _spaced(text: str) -> Iterator[Piece]:
    for match in _SPACED.finditer(text):
        gaps = [len(gap) for gap in _GAP.findall(match[0])]
        # The usual gap stands between letters, a longer one between words; with one kind of gap the words have run together.
        usual = max(set(gaps), key=gaps.count)
        yield Piece(match.start(), match.end(), _GAP.sub(lambda gap: " " if len(gap[0]) > usual else "", match[0]))  # noqa: B023


def _dotted(text: str) -> Iterator[Piece]:
    found = list(_DOTTED.finditer(text))
    if len(found) > 1:
        # Among such words the shortest are written so, too.
        found = sorted(found + list(_DOTTED_SHORT.finditer(text)), key=re.Match.start)
    for match in found:
        word, separator = match[0], match["sep"]
        # What is set apart may hold the separator itself.
        every_second = len(word) % 2 and word[1::2] == separator * (len(word) // 2)
        yield Piece(match.start(), match.end(), word[::2] if every_second else word.replace(separator, ""))


def _separated(text: str) -> Iterator[Piece]:
    # Words with their punctuation between underscores; what is joined otherwise has none.
    lined = [match for match in _UNDERSCORED.finditer(text) if not _LONE.search(match[0])] if text.count("_") > 2 else []
    if lined:
        yield from (Piece(match.start(), match.end(), match[0].replace("_", " "), even=True) for match in lined)
        return
    for match in _JOINED.finditer(text):
        used = sorted((match[0].count(separator), separator) for separator in set(match[0]) & _ALL_SEPARATORS)
        # Where letters are set apart too, the rarest separator parts the words.
        parting = [separator for _, separator in used[: 1 if _LONE.search(match[0]) else None]]
        yield Piece(match.start(), match.end(), match[0].translate(dict.fromkeys(map(ord, parting), " ")))


def _camel(run: str) -> str:
    return _CAPITAL.sub(" ", run)


def _run_together(text: str) -> Iterator[Piece]:
    left = _MAX_PARTED
    for match in _RUN.finditer(text):
        words = vocabulary.parted(match[0][:left].lower())
        if words:
            yield Piece(match.start(), match.end(), words)
        left -= match.end() - match.start()
        if left <= 0:
            return


def _leet_word(word: str) -> str:
    either = word.translate(_LEET)
    if either.lower() in vocabulary.words():
        return either
    other = word.translate(_LEET_L)
    if other.lower() in vocabulary.words() or "1" not in word:
        return other if other.lower() in vocabulary.words() else either
    return either


def _leet(text: str) -> Iterator[Piece]:
    found = [match for match in _LEET_WORD.finditer(text) if not match[0].strip("!").isalpha()]
    if len(found) < 2:
        return
    numbers = [match for match in _LEET_NUMBER.finditer(text) if match[0].translate(_LEET_L) in vocabulary.words()]
    for match in sorted(found + numbers, key=re.Match.start):
        yield Piece(match.start(), match.end(), _leet_word(match[0]), even=True)


class _Compatible(dict[int, str]):
    """The compatibility form of each character, where that is one character."""

    def __missing__(self, code: int) -> str:
        form = unicodedata.normalize("NFKC", chr(code))
        found = form if len(form) == 1 else chr(code)
        if len(self) < _MAX_TABLE:
            self[code] = found
        return found


_COMPATIBLE = _Compatible()


def _rotated(text: str) -> Iterator[Piece]:
    # Wide or round letters were written by who rotated them first.
    plain = text if text.isascii() else text.translate(_COMPATIBLE)
    yield Piece(0, len(text), codecs.encode(plain, "rot13"), even=True)


def _reversed(text: str) -> Iterator[Piece]:
    yield Piece(0, len(text), text[::-1].translate(_BACKWARDS_TURNED))


def _by(pattern: re.Pattern[str], decode: Callable[[str], str | None]) -> Callable[[str], Iterator[Piece]]:
    return lambda text: _pieces(pattern, text, decode)


DECODERS: tuple[tuple[str, Callable[[str], Iterator[Piece]]], ...] = (
    ("selectors", _from_selectors),
    ("base64", _by(_BASE64, _one_base64)),
    ("base32", _by(_BASE32, _one_base32)),
    ("hex", _by(_HEX, _one_hex)),
    ("binary", _by(_BINARY, _one_binary)),
    ("decimal", _by(_DECIMAL, _one_decimal)),
    ("octal", _by(_OCTAL, _one_octal)),
    ("escapes", _by(_UNICODE, _one_unicode)),
    ("url", _by(_PERCENT, _one_percent)),
    ("entities", _by(_ENTITIES, html.unescape)),
    ("markup", _by(_BROKEN, lambda _: "")),
    ("morse", _by(_MORSE, _one_morse)),
    ("spaced", _spaced),
    ("dotted", _dotted),
    ("hyphened", _by(_HYPHENED, lambda run: run.replace("-", ""))),
    ("separated", _separated),
    ("camel", _by(_CAMEL, _camel)),
    ("joined", _run_together),
    ("leet", _leet),
    ("rot13", _rotated),
    ("reversed", _reversed),
)
"""Names of encodings, and what finds the ranges so written and what they become."""

# Letters that European languages have far more often than those that ROT13 makes of them, and those.
_FREQUENT, _RARE = b"eoiuldstm", b"rbvhyqfgz"
_LEAST_TOLD = 8
_WEIGHED = bytes(43 if letter in _FREQUENT else 45 if letter in _RARE else 0 for letter in bytes(range(256)).lower())


def looks_rotated(text: str) -> bool:
    """Whether a text has more of the letters that ROT13 makes of frequent ones: words that no list has are told by them."""
    told = text.encode("ascii", "ignore").translate(_WEIGHED)
    frequent, rare = told.count(b"+"), told.count(b"-")
    return rare > frequent and rare + frequent >= _LEAST_TOLD


# A character of UTF-8, without white space.
_ONE = r"(?:[!-~]|[\xc0-\xff][\x80-\xbf]{1,3})"
_LETTER = r"[A-Za-z\x80-\xff]"
_ROTATED = rf"\b(?:{vocabulary.rotated_signs()})\b"
_BACKWARDS = rf"(?:^|[^a-z])(?:{vocabulary.reversed_signs()})(?:$|[^a-z])"
TRIGGERS: dict[str, str] = {
    # A capital letter or a digit inside: no plain word.
    "base64": r"[A-Za-z0-9+/_-]{3}[A-Z0-9+/][A-Za-z0-9+/_-]{8}",
    "base32": r"[A-Z2-7]{16}",
    "hex": r"(?:(?:\\x|0x)?[0-9A-Fa-f]{2}[ :,-]{0,2}){6}",
    "binary": r"(?:[01]{8}[ ,]{0,2}){4}",
    "decimal": r"(?:\d{2,3}[ ,;]{1,2}){5}",
    "octal": r"(?:\\[0-7]{3}){4}",
    "escapes": r"(?:\\u|U\+|\\U0000|%u)[0-9A-Fa-f{]",
    "url": r"%[0-9A-Fa-f]{2}",
    "entities": r"&(?:#[0-9xX]|[A-Za-z]{2,8};)",
    "markup": r"\w<[^<>]{1,40}>\w|\w<!--",
    "morse": r"(?:[.-]{1,7}[ _]{0,3}[ /|\n_][ _]{0,3}){4}",
    "spaced": rf"(?:^|\s){_ONE}(?:[ \t\n]{{1,6}}{_ONE}){{4}}(?:\s|$)",
    "dotted": rf"(?:^|\s){_ONE}[{_SEPARATORS}]{{1,4}}{_ONE}[{_SEPARATORS}]{{1,4}}{_ONE}",
    "hyphened": rf"{_LETTER}-{_LETTER}+[^-]{{0,12}}{_LETTER}-{_LETTER}",
    "separated": rf"[0-9A-Za-z\x80-\xff][{_SEPARATORS}][0-9A-Za-z\x80-\xff]+[{_SEPARATORS}][0-9A-Za-z\x80-\xff]",
    "camel": r"[a-z][A-Z][a-z]*[A-Z]",
    "joined": r"[A-Za-z]{20}|(?:[\xc3-\xd1][\x80-\xbf]){20}",
    "leet": r"[A-Za-z][0134578@$|!+9]+[A-Za-z]|[0134578@$|!+9][A-Za-z]{2}|[A-Za-z]{2}[013457@$]",
    # Words, or a code whose digits and letters ROT13 has changed.
    "rot13": rf"(?i:{_ROTATED}.*{_ROTATED}|(?:[0-9n-s]{{2}}){{10}}|(?:%[0-9n-s]{{2}}){{4}})",
    # Words, a code, a full stop before everything, or a capital letter that ends a word.
    "reversed": rf"(?i:{_BACKWARDS}.*{_BACKWARDS}|(?:[0-9a-f]{{2}}%){{4}}|(?:;[0-9a-f]{{2,6}}x?#&){{3}})"
    r"|^\s*[.!?][A-Za-z\x80-\xff]|\s[a-z]{3,}[A-Z](?:\s|$)",
}
"""By encoding, an expression of RE2 over UTF-8 bytes that matches wherever its decoder finds something."""
