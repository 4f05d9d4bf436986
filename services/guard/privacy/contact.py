"""How a person is reached: e-mail addresses, telephone numbers, addresses of the Internet Protocol.

libphonenumber knows the numbering plans; here is which runs of digits it is asked about, and where a word has to help.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

import phonenumbers
from ragmesh.guard.v1.pii_pb2 import PiiKind

from services.guard.privacy.context import Context
from services.guard.privacy.match import PiiMatch

_LOCAL = r"[\w!#$%&'*+/=?^`{|}~\-]{1,64}(?:\.[\w!#$%&'*+/=?^`{|}~\-]{1,64}){0,8}"
_EMAIL = re.compile(
    rf"(?<![\w.@/+\-]){_LOCAL}@(?:[^\W_](?:[\w\-]{{0,61}}[^\W_])?\.){{1,8}}(?:[^\W\d_]{{2,24}}|xn--[a-z0-9\-]{{2,59}})(?![\w@])"
)
_SPELT = re.compile(
    r"(?<![\w.])[\w.+\-]{1,64} ?[\[({<] ?(?:at|ät|arroba|chiocciola) ?[\])}>] ?[\w\-]{1,63}"
    r"(?: ?[\[({<]? ?(?:dot|punkt|punto|point|\.) ?[\])}>]? ?[\w\-]{2,63}){1,4}(?!\w)",
    re.IGNORECASE,
)

_SPELT_AT = re.compile(r"[\[({<] ?(?:at|ät|arroba|chiocciola) ?[\])}>]", re.IGNORECASE)
_DOTTED, _COLONS = re.compile(r"\d\.\d{1,3}\.\d"), re.compile(r":[0-9A-Fa-f]{0,4}:")

_IPV4 = re.compile(r"(?<![\w.\-])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w\-]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?:%\w{1,16})?(?![\w:])")
_SMALL_OCTET = 20
"""Four numbers below it may be a version or a section as well."""

# Countries whose numbers a text in a language may hold without their prefix.
_REGIONS = {
    "en": ("US", "GB", "AU", "IN", "IE", "NZ", "ZA"),
    "de": ("DE", "AT", "CH"),
    "fr": ("FR", "BE", "CH"),
    "es": ("ES", "MX", "AR", "CO"),
    "it": ("IT", "CH"),
    "pt": ("PT", "BR"),
    "nl": ("NL", "BE"),
    "pl": ("PL",),
    "ru": ("RU",),
    "tr": ("TR",),
    "cs": ("CZ",),
    "uk": ("UA",),
}
_ANY_REGIONS = ("US", "GB", "DE", "FR", "IT", "NL", "BE", "AU", "CH", "AT")
_TRIPLES = ("es", "pt", "pl", "cs")
"""Languages of countries whose numbers are three groups of three."""
_LEAST_DIGITS, _MOST_DIGITS = 7, 15
_RUN = re.compile(
    r"(?<![\w.:/\-])(?<!\d[, ])(?:\+ ?|\()?"
    r"\d(?:(?:[ \u00a0]?[().\-–/][ \u00a0]?|[ \u00a0]{1,2})?\d){5,18}(?! ?\d|\w*[^\W\d_]{2}|[.,/]\d)"
    r"(?:[ ]?(?:x|ext\.?) ?\d{1,5})?",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"(?:19|20)\d\d([\-./ ])[01]?\d\1[0-3]?\d(?!\d)|[0-3]?\d([\-./ ])[01]?\d\2(?:19|20)\d\d|[01]?\d/[0-3]?\d/\d{2,4}"
)
_YEARS = re.compile(r"(?:1[0-9]|20)\d\d ?[\-–/] ?(?:1[0-9]|20)\d\d(?!\d)")
_CAS = re.compile(r"\d{2,7}-\d\d-\d")
_NANP = re.compile(r"(?:(?:\+?1|001)[ .\-]?)?(?:\([2-9]\d\d\) ?|[2-9]\d\d([.\-]))[2-9]\d\d[.\- ]\d{4}")
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:([ .\u00a0])\d{3})(?:\1\d{3})+")
_MILLIONS = re.compile(r"[ .\u00a0]000[ .\u00a0]000$")
_GROUPED = re.compile(r"[ .\-/()–\u00a0]")
_MONEY_BEFORE, _MONEY_AFTER = re.compile(r"[$€£¥₽₺]\s?$|(?:USD|EUR|GBP)\s?$"), re.compile(r"\s?(?:[$€£¥₽₺%]|USD|EUR|GBP|Kč|zł)")


def emails(text: str) -> Iterator[PiiMatch]:
    """Addresses, and those that are spelt `name [at] example dot org`."""
    if "@" in text:
        for match in _EMAIL.finditer(text):
            # git@host:path and user@host.tld in a URL are remotes, not persons.
            if not (match[0].startswith("git@") or text.startswith("://", match.start() - 3)):
                yield PiiMatch(PiiKind.PII_KIND_EMAIL, match.start(), match.end(), 0.99, "email")
    for match in _SPELT.finditer(text) if _SPELT_AT.search(text) else ():
        yield PiiMatch(PiiKind.PII_KIND_EMAIL, match.start(), match.end(), 0.9, "email_spelt")


def addresses(text: str, context: Context) -> Iterator[PiiMatch]:
    """IPv4 and IPv6 addresses of somebody: not loopback, not a mask, not a version."""
    for match in _IPV4.finditer(text) if _DOTTED.search(text) else ():
        address = ipaddress.ip_address(".".join(str(int(part)) for part in match[0].split(".")))
        if address.is_loopback or address.is_unspecified or address.is_multicast or match[0].startswith(("0.", "255.")):
            continue
        small = all(int(part) < _SMALL_OCTET for part in match[0].split("."))
        if context.speaks_against("ip", text, match.start()) or (
            small and not context.speaks_for("ip", text, match.start(), match.end())
        ):
            continue
        yield PiiMatch(PiiKind.PII_KIND_IP_ADDRESS, match.start(), match.end(), 0.9, "ipv4")
    for match in _IPV6.finditer(text) if _COLONS.search(text) else ():
        bare = match[0].partition("%")[0]
        if len(bare) < 6 or not any(map(str.isdigit, bare)):
            continue
        try:
            address = ipaddress.IPv6Address(bare)
        except ValueError:
            continue
        if not (address.is_loopback or address.is_unspecified):
            yield PiiMatch(PiiKind.PII_KIND_IP_ADDRESS, match.start(), match.end(), 0.95, "ipv6")


def phones(text: str, start: int, end: int, language: str, context: Context) -> Iterator[PiiMatch]:
    """Telephone numbers in text[start:end]."""
    for match in _RUN.finditer(text, start, end):
        digits = sum(map(str.isdigit, match[0]))
        at, to = match.span()
        if not _LEAST_DIGITS <= digits <= _MOST_DIGITS + 5 or len(set(match[0])) < 3:
            continue
        if _is_something_else(text, at, to):
            continue
        score = _score(text, at, to, language, context)
        if score:
            yield PiiMatch(PiiKind.PII_KIND_PHONE, at, to, score, "phone")


def _is_something_else(text: str, start: int, end: int) -> bool:
    run = text[start:end]
    bare = run.lstrip("( ")
    if _DATE.match(bare) or _YEARS.match(bare) or _CAS.fullmatch(run) or _MILLIONS.search(run):
        return True
    if run.count("(") != run.count(")"):
        return run.count(")") > run.count("(")
    return _MONEY_BEFORE.search(text[max(0, start - 4) : start]) is not None or _MONEY_AFTER.match(text, end) is not None


def _score(text: str, start: int, end: int, language: str, context: Context) -> float:
    """How sure it is that the run is a telephone number; 0 where it is none."""
    run = text[start:end]
    spoken = context.speaks_for("phone", text, start, end)
    against = not spoken and context.speaks_against("phone", text, start)
    if run.startswith(("+", "(+", "00")):
        number = _parsed("+" + run.lstrip("(+ ").removeprefix("00") if not run.startswith("001-") else "+" + run[2:], None)
        if number is not None and not against:
            if phonenumbers.is_valid_number(number):
                return 0.95
            if run.startswith("+") and phonenumbers.is_possible_number(number):
                return 0.7
    if spoken:
        return 0.9
    if against or (_THOUSANDS.fullmatch(run) and language not in _TRIPLES):
        return 0.0
    if _NANP.match(run):
        return 0.8
    grouped = _GROUPED.search(run) is not None
    if run.startswith(("0", "(0")):
        regions = _REGIONS.get(language, ()) if not grouped else (*_REGIONS.get(language, ()), *_ANY_REGIONS)
    else:
        # Without prefix and word only the usual groups of a country whose numbers have no leading zero.
        regions = tuple(r for r in _REGIONS.get(language, ()) if r in ("ES", "PT", "PL", "CZ", "RU")) if grouped else ()
    return 0.6 if any(_is_valid(run, region) for region in dict.fromkeys(regions)) else 0.0


def _parsed(run: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(run, region)
    except phonenumbers.NumberParseException:
        return None


def _is_valid(run: str, region: str) -> bool:
    number = _parsed(run, region)
    return number is not None and phonenumbers.is_valid_number_for_region(number, region)
