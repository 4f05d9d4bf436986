"""Secrets: keys whose form their issuer has published, private keys, tokens, and what stands after `password:` or `api_key=`."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from ragmesh.guard.v1.pii_pb2 import PiiKind

from services.guard.privacy.match import PiiMatch

_KEY, _TOKEN = PiiKind.PII_KIND_API_KEY, PiiKind.PII_KIND_ACCESS_TOKEN

# Issuer, kind, form; what a form begins with is also the trigger.
_FORMS = (
    ("aws", _KEY, r"(?:AKIA|ASIA|AIDA|AROA)[A-Z0-9]{16}"),
    ("github", _TOKEN, r"gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{50,255}"),
    ("gitlab", _TOKEN, r"gl(?:pat|ptt|dt|rt|cbt)-[A-Za-z0-9_\-]{20,64}"),
    ("slack", _TOKEN, r"xox[abeoprs]-[A-Za-z0-9\-]{10,250}|xapp-\d-[A-Za-z0-9\-]{10,250}"),
    ("slack_webhook", _TOKEN, r"hooks\.slack\.com/services/T[A-Z0-9]{6,12}/B[A-Z0-9]{6,12}/[A-Za-z0-9]{20,26}"),
    ("stripe", _KEY, r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,250}|whsec_[A-Za-z0-9]{24,64}"),
    ("google", _KEY, r"AIza[A-Za-z0-9_\-]{35}"),
    ("google_oauth", _TOKEN, r"ya29\.[A-Za-z0-9_\-]{20,500}|GOCSPX-[A-Za-z0-9_\-]{28}"),
    ("sk", _KEY, r"sk-(?:proj-|ant-|svcacct-|or-v1-)?[A-Za-z0-9_\-]{20,250}"),
    ("huggingface", _TOKEN, r"hf_[A-Za-z0-9]{30,64}"),
    ("npm", _TOKEN, r"npm_[A-Za-z0-9]{36}"),
    ("pypi", _TOKEN, r"pypi-[A-Za-z0-9_\-]{50,500}"),
    ("sendgrid", _KEY, r"SG\.[A-Za-z0-9_\-]{16,32}\.[A-Za-z0-9_\-]{16,64}"),
    ("twilio", _KEY, r"(?:SK|AC)[0-9a-f]{32}"),
    ("digitalocean", _TOKEN, r"do[opr]_v1_[0-9a-f]{64}"),
    ("shopify", _TOKEN, r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    ("telegram", _TOKEN, r"\d{8,10}:AA[A-Za-z0-9_\-]{32,34}"),
    ("groq", _KEY, r"gsk_[A-Za-z0-9]{48,64}"),
    ("vault", _TOKEN, r"hv[sbr]\.[A-Za-z0-9_\-]{24,250}"),
    ("jwt", _TOKEN, r"eyJ[A-Za-z0-9_\-]{8,2000}\.eyJ[A-Za-z0-9_\-]{8,6000}\.[A-Za-z0-9_\-]{0,1000}"),
)
_FORM = re.compile(r"(?<![A-Za-z0-9_\-])(?:" + "|".join(f"(?P<{name}>{form})" for name, _, form in _FORMS) + r")(?![A-Za-z0-9_])")
_KINDS = {name: kind for name, kind, _ in _FORMS}
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?P<kind>[A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?)-----(?:[^-]{0,20000}-----END (?P=kind)-----|[^-]{16,20000})"
)
_IN_URL = re.compile(r"(?<=://)[^\s/@:]{1,64}:(?P<value>[^\s/@]{3,128})(?=@[\w.\-])")
_BEARER = re.compile(r"(?i)\b(?:bearer|token|basic)\s+(?P<value>[A-Za-z0-9_\-.~+/]{16,2000}={0,2})(?![\w])")
_ASSIGNED = re.compile(
    r"(?i)(?<![a-z])(?P<name>(?:[a-z][a-z0-9]*[_\-. ])?(?:api|access|auth|account|client|app|secret|private|encryption|signing"
    r"|session)?"
    r"[_\-. ]?(?:key|token|secret|schl(?:ü|ue)ssel|clave|cl[eé]|chiave|chave|sleutel|klucz|kl[ií][cč]|ключ|токен|anahtar[ıi]?))"
    r"[\"'`]?\s{0,3}(?:=>|:=|[=:]|\bis\b|\bist\b|\best\b|\bes\b|\bè\b|\bé\b)\s{0,3}[\"'`]?(?P<value>[A-Za-z0-9_\-+/.~]{16,512}={0,2})"
)
_PASSWORD = re.compile(
    r"(?i)(?<![^\W_])(?:pass(?:word|wort|wd|phrase|code)|pwd|kennwort|mot de passe|mdp|contraseñ?n?a|clave|senha"
    r"|palavra[- ]passe|wachtwoord|has[łl]o|пароль|[şs]ifre(?:m|n|si)?|parola(?:m| d'ordine)?|heslo)[\"'`]?\s{0,3}"
    r"(?:(?:=>|:=|[=:])|(?:\b(?:is|ist|lautet|est|es|è|é|to|jest|je|это)\b\s?:?))\s{0,3}[\"'`]?(?P<value>[^\s\"'`,;<>{}]{6,128})"
)
# Looked for one by one: `in` is an order of magnitude quicker than an alternation.
_BEGINNINGS = (
    *(
        "AKIA",
        "ASIA",
        "AIDA",
        "AROA",
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        "github_pat_",
        "glpat-",
        "glptt-",
        "gldt-",
        "glrt-",
        "glcbt-",
    ),
    *(
        "xox",
        "xapp-",
        "hooks.slack",
        "k_live_",
        "k_test_",
        "whsec_",
        "AIza",
        "ya29.",
        "GOCSPX",
        "sk-",
        "hf_",
        "npm_",
        "pypi-",
        "SG.",
    ),
    *(
        "SK",
        "AC",
        "_v1_",
        "shpat_",
        "shpca_",
        "shppa_",
        "shpss_",
        ":AA",
        "gsk_",
        "hvs.",
        "hvb.",
        "hvr.",
        "eyJ",
        "-----BEGIN",
        "://",
    ),
)
_KEY_NAMES = (
    *(
        "key",
        "token",
        "secret",
        "bearer",
        "basic",
        "schlüssel",
        "schluessel",
        "clé",
        "clave",
        "chiave",
        "chave",
        "sleutel",
        "klucz",
        "ключ",
    ),
    *("токен", "anahtar", "klíč", "klic"),
)
_PASSWORD_NAMES = (
    *(
        "pass",
        "pwd",
        "kennwort",
        "mdp",
        "contrase",
        "clave",
        "senha",
        "wachtwoord",
        "hasło",
        "haslo",
        "парол",
        "şifre",
        "sifre",
        "parola",
    ),
    "heslo",
)
_LEAST_LENGTH = 16
"""No published form is shorter, and no token that is told from a word by its letters alone."""
_PLACEHOLDER = re.compile(
    r"(?i)your|example|x{4,}|\*{3,}|\.{3}|placeholder|change.?me|redacted|dummy|sample|todo|insert|<|\$\{|%\(|env\.|os\.|process\.|config\.|self\.|settings\.|get\("
)
_LEAST_BITS = 3.0
"""Shannon entropy per character of a random token of 16 or more; English words stay below with their few letters."""


_LEAST_PASSWORD = 6


def _bits(text: str) -> float:
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())


def _random(value: str) -> bool:
    """Whether a value is drawn rather than written: digits among letters, and no few of them repeated."""
    if _PLACEHOLDER.search(value) or value.replace("-", "").isdigit():
        return False
    classes = sum((any(map(str.isdigit, value)), any(map(str.islower, value)), any(map(str.isupper, value))))
    return classes >= 2 and any(map(str.isdigit, value)) and _bits(value) >= _LEAST_BITS


def _chosen(value: str) -> bool:
    """Whether a word after `password:` is one: "required" and "case-sensitive" are not."""
    if _PLACEHOLDER.search(value):
        return False
    return any(map(str.isdigit, value)) or any(character in "!@#$%^&*+=?~" for character in value[:-1])


def secrets(text: str) -> Iterator[PiiMatch]:
    """All of them, overlapping ones too."""
    lowered = text.lower()
    if max(map(len, text.split()), default=0) >= _LEAST_LENGTH:
        yield from _published(text)
        if any(name in lowered for name in _KEY_NAMES):
            yield from _named(text)
    if "://" in text and "@" in text:
        for match in _IN_URL.finditer(text):
            if not _PLACEHOLDER.search(match["value"]) and match["value"] not in ("password", "pass", "pw"):
                yield PiiMatch(PiiKind.PII_KIND_PASSWORD, *match.span("value"), 1.0, "url_password")
    if any(name in lowered for name in _PASSWORD_NAMES):
        for match in _PASSWORD.finditer(text):
            value = match["value"].rstrip(".)]")
            if len(value) >= _LEAST_PASSWORD and _chosen(value):
                yield PiiMatch(PiiKind.PII_KIND_PASSWORD, match.start("value"), match.start("value") + len(value), 0.8, "password")


def _published(text: str) -> Iterator[PiiMatch]:
    if not any(beginning in text for beginning in _BEGINNINGS):
        return
    for match in _FORM.finditer(text):
        name, value = match.lastgroup or "", match[0]
        # `sk-` begins words and names of models as well.
        if not _PLACEHOLDER.search(value) and (name != "sk" or (_random(value) and len(value) >= 24)):
            yield PiiMatch(_KINDS[name], match.start(), match.end(), 0.98, name)
    for match in _PRIVATE_KEY.finditer(text):
        yield PiiMatch(PiiKind.PII_KIND_PRIVATE_KEY, match.start(), match.end(), 0.99, "private_key")


def _named(text: str) -> Iterator[PiiMatch]:
    for match in _ASSIGNED.finditer(text):
        if _random(match["value"].rstrip(".")):
            name = match["name"].lower()
            yield PiiMatch(_TOKEN if "tok" in name or "ток" in name else _KEY, *match.span("value"), 0.85, "assigned")
    for match in _BEARER.finditer(text):
        if _random(match["value"].rstrip(".")):
            yield PiiMatch(_TOKEN, *match.span("value"), 0.9, "bearer")
