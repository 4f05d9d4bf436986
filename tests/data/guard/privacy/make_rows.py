"""Writes rows.jsonl: sentences with personal data in eleven languages, and sentences with what only looks like it.

Numbers come from drawn_numbers.py.
Run: python -m tests.data.guard.privacy.make_rows
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.data.guard.privacy.drawn_numbers import (
    SEED,
    address,
    ahv,
    bsn,
    card,
    codice,
    cpf,
    digits,
    dni,
    drawn,
    email,
    hexes,
    iban,
    inn,
    insee,
    isbn,
    nhs,
    nie,
    nif,
    nino,
    pesel,
    rng,
    rodne,
    snils,
    ssn,
    steuer,
    tckn,
)

EACH = 6
"""Rows a kind of number and sentence."""

PHONES = {
    "en": lambda: rng.choice(
        [f"(212) {rng.randint(200, 999)}-{digits(4)}", f"415-{rng.randint(200, 999)}-{digits(4)}", f"+44 20 7946 0{digits(3)}"]
    ),
    "de": lambda: rng.choice(
        [f"030 {rng.randint(2, 9)}{digits(6)}", f"+49 151 2{digits(7)}", f"0176 {rng.randint(2, 9)}{digits(7)}"]
    ),
    "fr": lambda: rng.choice(
        [f"06 {rng.randint(10, 79)} {digits(2)} {digits(2)} {digits(2)}", f"+33 1 42 {digits(2)} {digits(2)} {digits(2)}"]
    ),
    "es": lambda: rng.choice([f"91 2{digits(2)} {digits(2)} {digits(2)}", f"+34 6{digits(2)} {digits(3)} {digits(3)}"]),
    "it": lambda: rng.choice([f"06 69{digits(6)}", f"+39 347 {digits(7)}"]),
    "pt": lambda: rng.choice([f"21 3{digits(2)} {digits(4)}", f"+351 91{digits(1)} {digits(3)} {digits(3)}"]),
    "nl": lambda: rng.choice([f"020-{rng.randint(2, 7)}{digits(6)}", f"+31 6 {rng.randint(10, 49)}{digits(6)}"]),
    "pl": lambda: rng.choice([f"22 6{digits(2)} {digits(2)} {digits(2)}", f"+48 50{digits(1)} {digits(3)} {digits(3)}"]),
    "ru": lambda: rng.choice([f"+7 916 {digits(3)}-{digits(2)}-{digits(2)}", f"8 (495) 7{digits(2)}-{digits(2)}-{digits(2)}"]),
    "tr": lambda: rng.choice(
        [f"0532 {rng.randint(200, 999)} {digits(2)} {digits(2)}", f"+90 212 2{digits(2)} {digits(2)} {digits(2)}"]
    ),
    "cs": lambda: rng.choice([f"602 {digits(3)} {digits(3)}", f"+420 777 {digits(3)} {digits(3)}"]),
}
SAID = {
    "PHONE": {
        "en": "You can call me at {} after six.",
        "de": "Meine Telefonnummer ist {}.",
        "fr": "Vous pouvez m'appeler au {} demain.",
        "es": "Mi teléfono es {}, gracias.",
        "it": "Il mio cellulare è {}.",
        "pt": "O meu telefone é {}.",
        "nl": "Mijn telefoonnummer is {}.",
        "pl": "Mój telefon to {}.",
        "ru": "Мой телефон {}, звоните.",
        "tr": "Telefon numaram {}.",
        "cs": "Můj telefon je {}.",
    },
    "EMAIL": {
        "en": "Please write to {} about it.",
        "de": "Schreiben Sie bitte an {}.",
        "fr": "Mon adresse est {}, merci.",
        "es": "Mi correo es {}.",
        "it": "Scrivimi a {}.",
        "pt": "O meu e-mail é {}.",
        "nl": "Mail mij op {}.",
        "pl": "Proszę pisać na {}.",
        "ru": "Моя почта {}.",
        "tr": "E-postam {}.",
        "cs": "Můj e-mail je {}.",
    },
    "CARD": {
        "en": "My card {} was charged twice.",
        "de": "Meine Kreditkarte {} wurde gesperrt.",
        "fr": "Ma carte {} est perdue.",
        "es": "Mi tarjeta {} no funciona.",
        "it": "La mia carta {} è scaduta.",
        "pt": "O meu cartão {} foi recusado.",
        "nl": "Mijn kaart {} is geweigerd.",
        "pl": "Moja karta {} wygasła.",
        "ru": "Моя карта {} не работает.",
        "tr": "Kartım {} çalışmıyor.",
        "cs": "Moje karta {} nefunguje.",
    },
    "IBAN": {
        "en": "Send it to {} today.",
        "de": "Überweisen Sie auf {} bitte.",
        "fr": "Mon IBAN : {}.",
        "es": "Transfiere a {} hoy.",
        "it": "Il mio conto è {}.",
        "pt": "Transfira para {}.",
        "nl": "Mijn rekening is {}.",
        "pl": "Przelej na {}.",
        "ru": "Счёт {}.",
        "tr": "Hesabım {}.",
        "cs": "Pošlete to na {}.",
    },
    "IP_ADDRESS": {
        "en": "The visitor came from {} at noon.",
        "de": "Der Zugriff kam von {}.",
        "fr": "La connexion vient de {}.",
        "es": "El acceso vino de {}.",
    },
}
NATIONAL: dict[str, list[tuple[Callable[[], str], str]]] = {
    "en": [
        (ssn, "My SSN is {}."),
        (ssn, "Here it is: {}"),
        (nhs, "My NHS number is {}."),
        (nino, "My national insurance number is {}."),
    ],
    "de": [(steuer, "Meine Steuer-ID lautet {}."), (ahv, "AHV-Nummer: {}")],
    "fr": [(insee, "Mon numéro de sécurité sociale est le {}."), (insee, "Voici le numéro {} de ma mère.")],
    "es": [(dni, "Mi DNI es {}."), (nie, "Tengo el NIE {} desde 2019.")],
    "it": [(codice, "Il mio codice fiscale è {}."), (codice, "Risulta {} nel registro.")],
    "pt": [(nif, "O meu NIF é {}."), (cpf, "CPF {} cadastrado.")],
    "nl": [(bsn, "Mijn BSN is {}."), (bsn, "Burgerservicenummer: {}")],
    "pl": [(pesel, "Mój PESEL to {}."), (pesel, "Pacjent {} czeka.")],
    "ru": [(snils, "Мой СНИЛС {}."), (inn, "ИНН {} указан верно.")],
    "tr": [(tckn, "TC kimlik numaram {}."), (tckn, "Hasta {} geldi.")],
    "cs": [(rodne, "Moje rodné číslo je {}."), (rodne, "Pacient {} čeká.")],
}


def spoiled(number: str) -> str:
    """Another digit in the middle: every check fails that its check digits are made for."""
    places = [place for place, character in enumerate(number) if character.isdigit()]
    place = places[len(places) // 2]
    return number[:place] + str((int(number[place]) + rng.randint(1, 8)) % 10) + number[place + 1 :]


SECRETS: tuple[tuple[str, str, Callable[[], str]], ...] = (
    ("API_KEY", "My key is {} and it stopped working.", lambda: "AKIA" + drawn(string.ascii_uppercase + string.digits, 16)),
    ("ACCESS_TOKEN", "git push with {} fails", lambda: "ghp_" + drawn(string.ascii_letters + string.digits, 36)),
    ("ACCESS_TOKEN", "export SLACK={}", lambda: f"xoxb-{digits(12)}-{digits(12)}-{drawn(string.ascii_letters, 24)}"),
    ("API_KEY", "stripe.api_key = '{}'", lambda: "sk_" + "live_" + drawn(string.ascii_letters + string.digits, 24)),
    ("API_KEY", "maps?key={}&q=x", lambda: "AIza" + drawn(string.ascii_letters + string.digits, 35)),
    ("API_KEY", "api_key: {}", lambda: hexes(40)),
    ("API_KEY", "client_secret={}", lambda: drawn(string.ascii_letters + string.digits, 32)),
    ("ACCESS_TOKEN", "Authorization: Bearer {}", lambda: drawn(string.ascii_letters + string.digits, 40)),
    (
        "ACCESS_TOKEN",
        "cookie {} expired",
        lambda: f"eyJ{drawn(string.ascii_letters, 20)}.eyJ{drawn(string.ascii_letters, 40)}.{drawn(string.ascii_letters, 43)}",
    ),
    ("PASSWORD", "the password is {}", lambda: drawn(string.ascii_letters, 6) + digits(3) + "!"),
    ("PASSWORD", "Mein Passwort ist {}", lambda: "Sommer" + digits(4)),
    ("PASSWORD", "пароль: {}", lambda: drawn(string.ascii_lowercase, 5) + digits(4)),
    ("PASSWORD", "postgres://admin:{}@db.example.org/x", lambda: drawn(string.ascii_letters + string.digits, 12)),
)

LOOKALIKES: tuple[tuple[str, Callable[[], str]], ...] = (
    ("en", lambda: f"Version {rng.randint(1, 9)}.{rng.randint(0, 20)}.{rng.randint(0, 20)}.{rng.randint(0, 9)} fixes it."),
    (
        "en",
        lambda: f"It was built between {rng.randint(1800, 1899)}-{rng.randint(1900, 1999)} and sold in {rng.randint(2000, 2024)}.",
    ),
    ("en", lambda: f"The meeting is on 2024-{rng.randint(10, 12)}-{rng.randint(10, 28)} at 10:{rng.randint(10, 59)}:30."),
    ("de", lambda: f"Der Vertrag vom {rng.randint(10, 28)}.{rng.randint(10, 12)}.2021 gilt bis {rng.randint(10, 28)}.12.2029."),
    ("en", lambda: f"It costs $1,{digits(3)},{digits(3)}.{digits(2)} in all, or {rng.randint(1, 9)} {digits(3)} {digits(3)} EUR."),
    ("fr", lambda: f"La ville compte {rng.randint(1, 9)} {digits(3)} {digits(3)} habitants."),
    ("en", lambda: f"Order number {digits(16)} has not arrived."),
    ("en", lambda: f"My order {digits(3)}-{digits(7)}-{digits(7)} is late."),
    ("de", lambda: f"Die Bestellnummer {digits(11)} ist unbekannt, Rechnung {digits(10)} auch."),
    ("pl", lambda: f"Zamówienie {digits(11)} jeszcze nie dotarło."),
    ("en", lambda: f"See ISBN {isbn()} for the proof."),
    ("en", lambda: f"doi:10.{digits(4)}/s{digits(5)}-0{digits(2)}-{digits(5)}-{digits(1)} has the data."),
    ("en", lambda: f"Cannabidiol (CAS 13956-29-1) and {rng.randint(50, 99)}-{digits(2)}-{digits(1)} were mixed."),
    ("en", lambda: f"The constant is 6.{digits(8)} x 10^23, pi is 3.14159265358979."),
    ("en", lambda: f"The point lies at {rng.randint(10, 80)}.{digits(6)}, -{rng.randint(10, 80)}.{digits(6)}."),
    ("en", lambda: f"Tracking number 1Z{digits(3)}AA{digits(10)} shows nothing."),
    ("en", lambda: f"Add {digits(2)} g, {digits(3)} ml and {digits(2)} mg, then wait {digits(2)}-{digits(2)} minutes."),
    ("en", lambda: f"Commit {hexes(40)} broke the build."),
    ("en", lambda: f"The digest is sha256:{hexes(64)}."),
    ("en", lambda: f"The id is {hexes(8)}-{hexes(4)}-4{hexes(3)}-a{hexes(3)}-{hexes(12)}."),
    ("en", lambda: "Is the password case-sensitive, and is a token or an API key required?"),
    ("en", lambda: "Set API_KEY=your_api_key_here_1234 and password=${DB_PASSWORD1} in the file."),
    ("de", lambda: "Das Passwort ist falsch, der Schlüssel ist eingesteckt und die Karte ist gesperrt."),
    ("en", lambda: f"Follow @example_{digits(2)} or clone git@code.example.org:team/repo{digits(2)}.git now."),
    ("en", lambda: "The server listens on 127.0.0.1:8080 and on ::1, the mask is 255.255.255.0."),
    ("en", lambda: f"Section {digits(1)}.{digits(1)}.{digits(1)}.{digits(1)} of the standard, clause {digits(2)}-{digits(2)}."),
    ("en", lambda: f"In std::vector<a::b> the index 0x{hexes(8)} overflowed at 12:{digits(2)}:{digits(2)}."),
    ("ru", lambda: f"Население {rng.randint(1, 9)} {digits(3)} {digits(3)} человек, заказ № {digits(11)} оплачен."),
    (
        "en",
        lambda: f"The sequence 3, {digits(2)}, {digits(3)}, {digits(4)}, {digits(5)} grows; {digits(2)}/{digits(2)} of it is even.",
    ),
    ("cs", lambda: f"Zásilka {digits(10)} a faktura {digits(8)} ještě nedorazily."),
)


def row(text: str, language: str, kind: str = "", value: str = "", about: str = "") -> dict[str, object]:
    spans = [{"kind": kind, "start": text.index(value), "end": text.index(value) + len(value)}] if kind else []
    return {"text": text, "lang": language, "about": about, "spans": spans}


def rows() -> Iterator[dict[str, object]]:
    made = {"EMAIL": email, "CARD": card, "IBAN": iban, "IP_ADDRESS": address}
    for kind, sentences in SAID.items():
        for language, sentence in sentences.items():
            for _ in range(EACH):
                value = PHONES[language]() if kind == "PHONE" else made[kind]()
                yield row(sentence.format(value), language, kind, value, "personal")
                if kind in ("CARD", "IBAN"):
                    yield row(sentence.format(spoiled(value)), language, about="spoiled")
    for language, kinds in NATIONAL.items():
        for number, sentence in kinds:
            for _ in range(EACH):
                value = number()
                yield row(sentence.format(value), language, "NATIONAL_ID", value, number.__name__)
                if number not in (ssn, nino):
                    yield row(sentence.format(spoiled(value)), language, about="spoiled")
    for language, lookalike in LOOKALIKES:
        for _ in range(EACH):
            yield row(lookalike(), language, about="look-alike")


def secret_rows() -> list[dict[str, object]]:
    """Rows with secrets: made where they are needed, for what looks like a key is not kept in a repository."""
    rng.seed(SEED)
    made = [(kind, sentence, secret()) for kind, sentence, secret in SECRETS for _ in range(EACH)]
    return [row(sentence.format(value), "en", kind, value, "secret") for kind, sentence, value in made]


if __name__ == "__main__":
    lines = [json.dumps(item, ensure_ascii=False) for item in rows()]
    Path(__file__).with_name("rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
