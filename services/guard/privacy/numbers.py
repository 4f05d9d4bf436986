"""Numbers that carry a check: payment cards, IBANs, and the numbers that states give to persons.

The checks are python-stdnum's; SNILS, the British NINO and the lines of travel documents (ICAO Doc 9303 part 3) are checked here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from ragmesh.guard.v1.pii_pb2 import PiiKind
from stdnum import iban, luhn
from stdnum.be import nn
from stdnum.br import cpf
from stdnum.ch import ssn as ahv
from stdnum.cz import rc
from stdnum.de import idnr
from stdnum.es import dni, nie
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.it import codicefiscale
from stdnum.nl import bsn
from stdnum.pl import pesel
from stdnum.pt import nif
from stdnum.ru import inn
from stdnum.tr import tckimlik
from stdnum.us import ssn

from services.guard.privacy.context import Context
from services.guard.privacy.match import PiiMatch


class Needs(Enum):
    """What must be true beside the form and the check."""

    NOTHING = 1
    """Nothing: form and check are hardly ever met by chance."""
    NO_OTHER_WORD = 2
    """No word says that it is something else, as an order number of 16 digits is."""
    LANGUAGE = 3
    """The text is in a language of that country, or a word says what the number is."""
    WORD = 4
    """A word says what the number is: one number in ten passes the check."""


_SCORES = {Needs.NOTHING: 0.99, Needs.NO_OTHER_WORD: 0.9, Needs.LANGUAGE: 0.8, Needs.WORD: 0.7}
_WITH_WORD = 0.97


@dataclass(frozen=True, slots=True)
class Numbered:
    """One kind of number."""

    name: str
    pattern: re.Pattern[str]
    check: Callable[[str], bool]
    """Of the number as it stands."""
    needs: Needs
    word: str
    """The entry of context.yaml."""
    languages: frozenset[str] = frozenset()
    kind: PiiKind.ValueType = PiiKind.PII_KIND_NATIONAL_ID


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


# Issuer prefixes with their lengths: Visa, Mastercard, American Express, Diners, Discover, JCB, UnionPay, Mir.
_CARD = re.compile(
    r"(?:4\d{12}(?:\d{3}(?:\d{3})?)?|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[689]\d)\d{11}(?:\d{2,5})?|6(?:011|5\d\d|4[4-9]\d)\d{12}(?:\d{3})?|(?:2131|1800)\d{11}|35(?:2[89]|[3-8]\d)\d{12}(?:\d{3})?"
    r"|62\d{14,17}|220[0-4]\d{12})"
)


def _card(text: str) -> bool:
    digits = _digits(text)
    return _CARD.fullmatch(digits) is not None and len(set(digits)) > 1 and luhn.is_valid(digits)


def _any_card(text: str) -> bool:
    return len(set(text)) > 1 and luhn.is_valid(text)


def _snils(text: str) -> bool:
    """Two check digits: the weighted sum modulo 101 (order of the Pension Fund of Russia, 2017)."""
    digits = _digits(text)
    total = sum(int(digit) * weight for digit, weight in zip(digits[:9], range(9, 0, -1), strict=True)) % 101
    return int(digits[:9]) > 1_001_998 and total % 100 == int(digits[9:])


_NINO_NEVER = {"BG", "GB", "NK", "KN", "TN", "NT", "ZZ"}


def _icao(text: str) -> int:
    """The check digit of a field of a machine readable travel document: weights 7, 3, 1; A is 10, `<` is 0."""
    values = [int(c) if c.isdigit() else 0 if c == "<" else ord(c) - 55 for c in text]
    return sum(value * (7, 3, 1)[place % 3] for place, value in enumerate(values)) % 10


def _travel_document(line: str) -> bool:
    """Line 2 of a passport (44 characters) or of a card of 36."""
    fields = ((line[0:9], line[9]), (line[13:19], line[19]), (line[21:27], line[27]))
    return all(str(_icao(field)) == digit for field, digit in fields)


def _ausweis(text: str) -> bool:
    return any(map(str.isdigit, text[1:9])) and str(_icao(text[:9])) == text[9]


def _insee(text: str) -> bool:
    return bool(nir.is_valid(text)) and text[0] in "12"


def _bare_ssn(text: str) -> bool:
    return bool(ssn.is_valid(_digits(text)))


def _numbered(name: str, form: str, check: Callable[[str], bool], needs: Needs, word: str, languages: str = "") -> Numbered:
    return Numbered(name, re.compile(rf"(?<![\w\-])(?:{form})(?![\w\-]|[.,]\d)"), check, needs, word, frozenset(languages.split()))


# Tried wherever a run of digits is; the form says how the number is usually grouped.
RUNS = (
    _numbered("us_ssn", r"(?!000|666)[0-8]\d\d-(?!00)\d\d-(?!0000)\d{4}", ssn.is_valid, Needs.NO_OTHER_WORD, "ssn"),
    _numbered("us_ssn_bare", r"[0-8]\d\d ?\d\d ?\d{4}", _bare_ssn, Needs.WORD, "ssn"),
    _numbered("gb_nhs", r"\d{3}[ -]?\d{3}[ -]?\d{4}", nhs.is_valid, Needs.WORD, "nhs"),
    _numbered("de_idnr", r"[1-9]\d ?\d{3} ?\d{3} ?\d{3}", idnr.is_valid, Needs.LANGUAGE, "steuer", "de"),
    _numbered("ch_ahv", r"756[. ]?\d{4}[. ]?\d{4}[. ]?\d\d", ahv.is_valid, Needs.NOTHING, "ahv"),
    _numbered("fr_nir", r"[12] ?\d\d ?\d\d ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d", _insee, Needs.NOTHING, "nir"),
    _numbered("pt_nif", r"[1235689]\d\d ?\d{3} ?\d{3}", nif.is_valid, Needs.WORD, "nif"),
    _numbered("br_cpf", r"\d{3}\.\d{3}\.\d{3}-\d\d", cpf.is_valid, Needs.NOTHING, "cpf"),
    _numbered("br_cpf_bare", r"\d{11}", cpf.is_valid, Needs.WORD, "cpf"),
    _numbered("nl_bsn", r"\d{4}[. ]?\d\d[. ]?\d{3}|\d{3} ?\d{3} ?\d{3}", bsn.is_valid, Needs.WORD, "bsn"),
    _numbered("be_nn", r"\d\d\.\d\d\.\d\d-\d{3}\.\d\d", nn.is_valid, Needs.NOTHING, "rijksregister"),
    _numbered("be_nn_bare", r"\d{11}", nn.is_valid, Needs.WORD, "rijksregister"),
    _numbered("pl_pesel", r"\d{11}", pesel.is_valid, Needs.LANGUAGE, "pesel", "pl"),
    _numbered("cz_rc", r"\d{6}/\d{4}", rc.is_valid, Needs.NOTHING, "rodne"),
    _numbered("cz_rc_bare", r"\d{10}", rc.is_valid, Needs.WORD, "rodne"),
    _numbered("tr_tckn", r"[1-9]\d{10}", tckimlik.is_valid, Needs.LANGUAGE, "tckn", "tr"),
    _numbered("ru_snils", r"\d{3}-\d{3}-\d{3}[ -]\d\d", _snils, Needs.NOTHING, "snils"),
    _numbered("ru_snils_bare", r"\d{11}", _snils, Needs.WORD, "snils"),
    _numbered("ru_inn", r"\d{12}", inn.is_valid, Needs.LANGUAGE, "inn", "ru"),
    Numbered(
        "card",
        re.compile(r"(?<![\w\-.])(?:\d{4}([ -]?)\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -]?)\d{6}\2\d{4,5})(?![\w\-]|\.\d)"),
        _card,
        Needs.NO_OTHER_WORD,
        "card",
        kind=PiiKind.PII_KIND_CARD,
    ),
    # Maestro of 12 digits, and issuers that came after these prefixes were written down.
    Numbered(
        "card_bare", re.compile(r"(?<![\w\-.])\d{12,19}(?![\w\-])"), _any_card, Needs.WORD, "card", kind=PiiKind.PII_KIND_CARD
    ),
)

# With letters in them, so found for themselves.
LETTERED = (
    Numbered(
        "iban",
        re.compile(r"(?<!\w)[A-Za-z]{2}\d\d(?: ?[A-Za-z0-9]{4}){2,7}(?: ?[A-Za-z0-9]{1,3})?(?!\w)"),
        iban.is_valid,
        Needs.NOTHING,
        "card",
        kind=PiiKind.PII_KIND_IBAN,
    ),
    _numbered("es_dni", r"\d{8}[ -]?[A-Z]", dni.is_valid, Needs.LANGUAGE, "dni", "es"),
    _numbered("es_nie", r"[XYZ][ -]?\d{7}[ -]?[A-Z]", nie.is_valid, Needs.LANGUAGE, "dni", "es"),
    _numbered(
        "it_codice",
        r"(?i:[A-Z]{6} ?[0-9LMNPQRSTUV]{2}[ABCDEHLMPRST][0-9LMNPQRSTUV]{2} ?[A-Z][0-9LMNPQRSTUV]{3}[A-Z])",
        codicefiscale.is_valid,
        Needs.NOTHING,
        "codice",
    ),
    _numbered(
        "gb_nino",
        r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]",
        lambda text: text[:2] not in _NINO_NEVER,
        Needs.LANGUAGE,
        "nino",
        "en",
    ),
    _numbered("de_ausweis", r"[CFGHJKLMNPRTVWXYZ][0-9CFGHJKLMNPRTVWXYZ]{8}\d", _ausweis, Needs.WORD, "ausweis"),
    Numbered(
        "travel_document",
        re.compile(r"(?<![\w<])[A-Z0-9<]{9}\d[A-Z<]{3}\d{7}[MFX<]\d{7}[A-Z0-9<]{8,16}(?![\w<])"),
        _travel_document,
        Needs.NOTHING,
        "ausweis",
    ),
)


def judged(kinds: tuple[Numbered, ...], text: str, start: int, end: int, language: str, context: Context) -> Iterator[PiiMatch]:
    """The numbers of `kinds` in text[start:end] that pass form, check and what else they need."""
    for kind in kinds:
        for match in kind.pattern.finditer(text, start, end):
            at, to = _checked(kind, text, match.start(), match.end())
            if to <= at:
                continue
            score = _SCORES[kind.needs]
            if context.speaks_for(kind.word, text, at, to):
                score = max(score, _WITH_WORD)
            elif not _stands_alone(kind, language) or (kind.needs != Needs.NOTHING and context.speaks_against(kind.word, text, at)):
                continue
            yield PiiMatch(kind.kind, at, to, score, kind.name)


def _stands_alone(kind: Numbered, language: str) -> bool:
    return kind.needs != Needs.WORD and (kind.needs != Needs.LANGUAGE or language in kind.languages)


def _checked(kind: Numbered, text: str, start: int, end: int) -> tuple[int, int]:
    """The range that passes the check: an IBAN may have taken the word behind it along."""
    while end - start >= 8:
        if kind.check(text[start:end]):
            return start, end
        cut = text.rfind(" ", start, end)
        if kind.name not in ("iban", "card") or cut < 0:
            break
        end = cut
    return start, start
