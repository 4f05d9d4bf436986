"""Numbers of persons, cards and accounts, drawn at random and completed by the published check digits.

The checks are computed here and not by the library that the guard uses. Whoever draws seeds `rng`.
"""

from __future__ import annotations

import random
import string

SEED = 20261121

rng = random.Random(SEED)


def digits(count: int) -> str:
    return "".join(rng.choice(string.digits) for _ in range(count))


def drawn(alphabet: str, count: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(count))


def hexes(count: int) -> str:
    return drawn("0123456789abcdef", count)


def weighted(text: str, weights: list[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(text, weights, strict=True))


def born() -> tuple[int, int, int]:
    return rng.randint(1940, 1999), rng.randint(1, 12), rng.randint(1, 28)


def luhn(body: str) -> str:
    total = 0
    for place, digit in enumerate(reversed(body)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return body + str(-total % 10)


def card() -> str:
    prefix, length = rng.choice(
        [("4", 16), ("51", 16), ("55", 16), ("34", 15), ("37", 15), ("6011", 16), ("2221", 16), ("3530", 16)]
    )
    number = luhn(prefix + digits(length - len(prefix) - 1))
    if length == 16 and rng.random() < 0.6:
        return rng.choice([" ", "-"]).join(number[at : at + 4] for at in range(0, 16, 4))
    return number


def iban() -> str:
    country, length = rng.choice([("DE", 18), ("FR", 23), ("NL", 0), ("CZ", 20), ("PL", 24), ("PT", 21), ("AT", 16), ("GB", 0)])
    body = drawn(string.ascii_uppercase, 4) + digits(10 if country == "NL" else 14) if length == 0 else digits(length)
    if country == "FR":
        value = 97 - (89 * int(body[:5]) + 15 * int(body[5:10]) + 3 * int(body[10:21])) % 97
        body = body[:21] + f"{value:02d}"
    if country == "PT":
        body = body[:19] + f"{98 - int(body[:19]) * 100 % 97:02d}"
    if country == "PL":
        bank = body[:7]
        body = bank + str(-weighted(bank, [3, 9, 7, 1, 3, 9, 7]) % 10) + body[8:]
    if country == "CZ":
        body = "0800000000" + "0000000019"
    if country == "NL":
        account = next(a for a in iter(lambda: digits(10), "") if weighted(a, list(range(10, 0, -1))) % 11 == 0)
        body = body[:4] + account
    number = "".join(str(int(c, 36)) for c in body + country + "00")
    text = f"{country}{98 - int(number) % 97:02d}{body}"
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4)) if rng.random() < 0.5 else text


def steuer() -> str:
    while True:
        twice = rng.choice(string.digits)
        body = [*rng.sample([d for d in string.digits if d != twice], 8), twice, twice]
        rng.shuffle(body)
        if body[0] != "0":
            break
    product = 10
    for digit in body:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    text = "".join(body) + str((11 - product) % 10)
    return rng.choice([text, f"{text[:2]} {text[2:5]} {text[5:8]} {text[8:]}"])


def insee() -> str:
    year, month, _ = born()
    body = (
        f"{rng.choice('12')}{year % 100:02d}{month:02d}{rng.randint(1, 95):02d}{rng.randint(1, 989):03d}{rng.randint(1, 999):03d}"
    )
    body = body[:5] + body[5:7].replace("20", "75") + body[7:]
    text = body + f"{97 - int(body) % 97:02d}"
    spaced = f"{text[0]} {text[1:3]} {text[3:5]} {text[5:7]} {text[7:10]} {text[10:13]} {text[13:]}"
    return rng.choice([text, spaced])


def dni() -> str:
    number = digits(8)
    return number + "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23]


def nie() -> str:
    first, number = rng.choice("XYZ"), digits(7)
    return f"{first}{number}" + "TRWAGMYFPDXBNJZSQVHLCKE"[int(str("XYZ".index(first)) + number) % 23]


_ODD_VALUES = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
_ODD = dict(zip(string.digits + string.ascii_uppercase, (*_ODD_VALUES[:10], *_ODD_VALUES), strict=True))


def codice() -> str:
    year, month, day = born()
    body = f"RSSMRA{year % 100:02d}{'ABCDEHLMPRST'[month - 1]}{day:02d}{rng.choice(['H501', 'F205', 'L219', 'A944'])}"
    total = sum(_ODD[c] if place % 2 == 0 else int(c, 36) - (10 if c.isalpha() else 0) for place, c in enumerate(body))
    return body + string.ascii_uppercase[total % 26]


def nif() -> str:
    body = rng.choice("12") + digits(7)
    check = 11 - weighted(body, list(range(9, 1, -1))) % 11
    return body + str(check if check < 10 else 0)


def bsn() -> str:
    while True:
        body = rng.choice("123456789") + digits(7)
        check = weighted(body, list(range(9, 1, -1))) % 11
        if check < 10:
            return body + str(check)


def pesel() -> str:
    year, month, day = born()
    body = f"{year % 100:02d}{month:02d}{day:02d}{digits(4)}"
    return body + str(-weighted(body, [1, 3, 7, 9, 1, 3, 7, 9, 1, 3]) % 10)


def rodne() -> str:
    while True:
        year, month, day = rng.randint(1960, 1999), rng.randint(1, 12) + rng.choice([0, 50]), rng.randint(1, 28)
        body = f"{year % 100:02d}{month:02d}{day:02d}{digits(3)}"
        if int(body) % 11 < 10:
            return f"{body[:6]}/{body[6:]}{int(body) % 11}"


def tckn() -> str:
    body = rng.choice("123456789") + digits(8)
    tenth = (sum(map(int, body[::2])) * 7 - sum(map(int, body[1::2]))) % 10
    return f"{body}{tenth}{(sum(map(int, body)) + tenth) % 10}"


def snils() -> str:
    body = f"{rng.randint(2, 990):03d}{digits(6)}"
    check = weighted(body, list(range(9, 0, -1))) % 101 % 100
    return f"{body[:3]}-{body[3:6]}-{body[6:]} {check:02d}"


def inn() -> str:
    body = f"{rng.randint(10, 99)}{digits(8)}"
    for weights in ([7, 2, 4, 10, 3, 5, 9, 4, 6, 8], [3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8]):
        body += str(weighted(body, weights) % 11 % 10)
    return body


def ssn() -> str:
    return f"{rng.choice([*range(1, 666), *range(667, 900)]):03d}-{rng.randint(1, 99):02d}-{rng.randint(1, 9999):04d}"


def nhs() -> str:
    while True:
        body = rng.choice("4567") + digits(8)
        check = 11 - weighted(body, list(range(10, 1, -1))) % 11
        if check != 10:
            text = body + str(check % 11)
            return rng.choice([text, f"{text[:3]} {text[3:6]} {text[6:]}"])


def nino() -> str:
    first = rng.choice(["AB", "CE", "JK", "PL", "SH", "WM"])
    text = f"{first}{digits(6)}{rng.choice('ABCD')}"
    return rng.choice([text, f"{text[:2]} {text[2:4]} {text[4:6]} {text[6:8]} {text[8]}"])


def ahv() -> str:
    body = "756" + digits(9)
    text = body + str(-weighted(body, [1, 3] * 6) % 10)
    return f"{text[:3]}.{text[3:7]}.{text[7:11]}.{text[11:]}"


def cpf() -> str:
    body = digits(9)
    for first in (10, 11):
        rest = weighted(body, list(range(first, 1, -1))) % 11
        body += str(0 if rest < 2 else 11 - rest)
    return f"{body[:3]}.{body[3:6]}.{body[6:9]}-{body[9:]}"


def email() -> str:
    name = rng.choice(["anna.schmidt", "j_doe", "pierre-yves", "ivan.petrov+shop", "zofia", "m.o'brien"])
    return f"{name}@{rng.choice(['example.org', 'mail.example.com', 'posta.example.it', 'example.co.uk'])}"


def address() -> str:
    v4 = f"{rng.randint(20, 223)}.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"
    return rng.choice([v4, v4, f"2001:db8:{hexes(4)}::{rng.randint(1, 9999)}"])


def isbn() -> str:
    body = "978" + digits(9)
    text = body + str(-weighted(body, [1, 3] * 6) % 10)
    return f"{text[:3]}-{text[3]}-{text[4:8]}-{text[8:12]}-{text[12]}"
