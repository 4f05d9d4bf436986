"""What an assistant says about itself that its owner did not write: another name, a profession, a body, experience, deeds.

A program has tried nothing, treated nobody and will call nobody back. Reviewed texts (templates) say what it is; composed ones are
held to that. Six languages; where an answer quotes somebody, the words stand in quotation marks and are not the assistant's own.
Knows only text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set

from services.guard.output.facts import compact, quotations

_BEING = (
    r"doctor|physician|pharmacist|nurse|lawyer|attorney|therapist|psychologist|psychiatrist|scientist|researcher"
    r"|professor|human(?: being)?|"
    r"(?:real )?person|woman|man|patient|expert|specialist|teacher|engineer|mother|father|member of|employee"
    r"|(?:large )?language model|ai\b|"
    r"artificial intelligence|chatbot|chatgpt|gpt\b|arzt|ärztin|apotheker(?:in)?|anwalt|anwältin|mensch|forscher(?:in)?"
    r"|expert(?:e|in)|"
    r"sprachmodell|ki\b|médecin|avocat|pharmacien|humain|modèle de langage|médico|abogad[oa]|human[oa]"
    r"|modelo de lenguaje|medico|avvocato|umano|"
    r"modello linguistico|врач|юрист|человек|языковая модель"
)
_PATTERNS = {
    "persona.being": re.compile(
        rf"\b(?:i am|i'm|i’m|as|ich bin|als|je suis|en tant que|(?:yo )?soy|como|sono|come|я|как)\s+(?:not\s+)?(?:(?:an?"
        rf"|the|your|ein|eine|dein|un|une|un'|una|"
        rf"вы?)\s*)?(?:\w+\s+){{0,2}}?(?P<what>{_BEING})(?=[\s,.!?;:]|$).{{0,80}}",
        re.IGNORECASE,
    ),
    "persona.deed": re.compile(
        r"\b(?:i(?:'ve| have|’ve)? (?:personally |also |just |already )?(?:tried|tested|taken|took|treated|prescribed"
        r"|visited|called|contacted|emailed|ordered|"
        r"booked|bought|met|spoke|spoken|worked|studied|lived|used|sent|updated|deleted|scheduled|reserved|forwarded"
        r"|reported)\b|(?:i|we) ?(?:will|'ll|’ll|can) "
        r"(?:call|email|contact|visit|meet|order|book|send|notify|remind|get back to) (?:you|him|her|them|it|the|your|a)\b|"
        r"we(?:'ve| have|’ve) (?:just |already )?(?:called|contacted|emailed|ordered|booked|sent|updated|deleted|scheduled|reserved"
        r"|forwarded|reported)\b[^.!?\n]{0,60}\byou(?:rs?)?\b|"
        r"ich habe (?:ihren |ihre |ihnen |einen |eine |es |das |ihn |sie |schon |selbst |bereits |persönlich |\w+ ){0,4}"
        r"(?:probiert|getestet|genommen"
        r"|behandelt|verschrieben|besucht|"
        r"angerufen|bestellt|gebucht|geschickt|gesendet|gearbeitet|studiert)\b|"
        r"j'ai (?:moi-même |déjà |personnellement )?(?:essayé|testé|pris|traité|prescrit|visité|appelé|commandé)\b|"
        r"(?:yo )?he (?:probado|tomado|tratado|recetado|visitado|llamado|pedido)\b|ho (?:provato|preso|trattato"
        r"|prescritto|visitato|chiamato|ordinato)\b|"
        r"я (?:сам[аи]? |лично |уже )?(?:пробовал|принимал|лечил|назначил|посетил|звонил|заказал)[аи]?\b)",
        re.IGNORECASE,
    ),
    "persona.experience": re.compile(
        r"\b(?:in my (?:own |personal |professional |clinical |\w+ years of )?(?:experience|practice|opinion|view)"
        r"|my (?:patients?|clients?|wife|husband|"
        r"doctor|own body|colleagues|clinic|family|childhood)\b|i (?:feel|felt|remember|believe|love|hate|prefer"
        r"|personally|grew up|was born)\b|"
        r"meiner (?:eigenen |persönlichen |langjährigen )?(?:erfahrung|meinung|ansicht) nach\b|"
        r"(?:nach|aus) meiner (?:eigenen |persönlichen |langjährigen )?(?:erfahrung|meinung|praxis)|meine (?:patient\w+"
        r"|frau|familie)|mein mann|"
        r"d'après mon expérience|à mon avis|en mi (?:experiencia|opinión)|mis pacientes|nella mia esperienza|secondo me"
        r"|i miei pazienti|"
        r"по моему (?:опыту|мнению)|мои пациенты)",
        re.IGNORECASE,
    ),
}
# After a comma; German turns verb and subject round instead: "Als Arzt rate ich".
_OF_SELF = re.compile(r",\s*(?:i|ich|je|j'|yo|io|я|my|we|wir)\b|^als\s+(?:\w+\s+){1,4}?(?:ich|wir)\b", re.IGNORECASE)
_NAME = re.compile(
    r"(?:\b(?:[Mm]y name is|[Ii]ch heiße|[Mm]ein Name ist|[Jj]e m'appelle|[Mm]e llamo|[Mm]i chiamo|[Мм]еня зовут|[Mm]eu nome é)|"
    r"\b(?:[Ii] am|I'm|I’m|[Ii]ch bin|[Jj]e suis|[Ss]oy|[Ss]ono))\s+(?P<name>[A-ZÀ-ÞА-Я][\w-]+(?:\s+[A-ZÀ-ÞА-Я][\w-]+)?)"
)
_FIRST_PERSON = frozenset(
    [
        "i",
        "we",
        "we've",
        "we’ve",
        "we'll",
        "we’ll",
        "i'm",
        "i've",
        "i'll",
        "i’m",
        "i’ve",
        "i’ll",
        "my",
        "as",
        "ich",
        "mein",
        "meine",
        "meiner",
        "als",
        "je",
        "j'ai",
        "mon",
        "soy",
        "yo",
        "he",
        "mi",
        "mis",
        "me",
        "como",
        "sono",
        "ho",
        "mia",
        "miei",
        "mi",
        "я",
        "как",
        "моему",
        "мои",
        "меня",
        "meu",
        "d'après",
        "à",
        "secondo",
        "nach",
        "aus",
        "en",
        "my,",
    ]
)

_SIGNS = str.maketrans('.,:;!?()"“”«»„*_', " " * 16)


def claims(text: str, names: Set[str], allowed: str) -> Iterator[tuple[str, int, int]]:
    """What the assistant claims to be or to have done: (rule, start, end) in characters.

    Args:
        text: what it says.
        names: what it is called, each as `facts.compact`.
        allowed: `facts.compact` of all reviewed texts: what they say may be said again.
    """
    if _FIRST_PERSON.isdisjoint(text.lower().translate(_SIGNS).split()):
        return
    quoted = quotations(text)
    for rule, pattern in _PATTERNS.items():
        for match in pattern.finditer(text):
            start, end = match.span()
            if rule == "persona.being":
                # "As a doctor knows" speaks of others; "As a doctor, I" does not.
                opening = match.group().split()[0].lower()
                if opening in ("as", "als", "como", "come", "en", "как") and not _OF_SELF.search(match.group()):
                    continue
                end = match.end("what")
            if any(first <= start < last for first, last in quoted) or compact(text[start:end]) in allowed:
                continue
            yield rule, start, end
            break
    for match in _NAME.finditer(text):
        words = match["name"].split()
        if not any(first <= match.start() < last for first, last in quoted) and not any(
            compact(name) in names for name in (match["name"], words[0])
        ):
            yield "persona.name", match.start(), match.end()
            break
