"""Use or mention: whether words are meant, or spoken about, as in: what does "ignore previous instructions" mean?

Knows quotes, questions about words, and how an order begins; not the rules.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from collections.abc import Callable
from functools import cached_property
from typing import Any

import re2

from services.guard.views import fold, fold_of_parts

MENTIONED = 0.3
"""What is left of a rule's score where its words are only spoken about."""

# Each choice begins with its sign, which `re` then skips to.
_QUOTED = re.compile(
    r'"[^"]{1,400}"|\'(?<!\w\')[^\'\n]{1,400}\'(?!\w)|`[^`]{1,400}`|“[^”“]{1,400}[”“]|„[^”“]{1,400}[”“]|«[^»]{1,400}»|‘[^’]{1,400}’(?!\w)'
)


def _compiled(pattern: str) -> Any:
    """RE2, over UTF-8: an order of magnitude quicker than `re` at long choices and at what ends where the text does."""
    return re2.compile(pattern.encode())


# Folded, like the rules: no diacritics.
_ABOUT_WORDS = _compiled(
    r"\b(?:what (?:does|do|did|is meant|is the meaning|would)\b.{0,400}\bmeans?\b"
    r"|what(?:'s| is| are) (?:meant by|the meaning|a|an|the)\b"
    r"|meaning of|mean by|means\b|defin(?:e|ition)|explain (?:what|why|how|the (?:phrase|term|meaning|concept|sentence))"
    r"|(?:the|this|a) (?:phrase|term|sentence|string|expression|attack|prompt injection|words)\b"
    r"|(?:examples?|kinds?|types?) of|called|known as|such as|why (?:do|does|is|are|would|might)"
    r"|(?:prevent|detect|defend|protect|recogni[sz]e|mitigate|guard against|block)\b"
    r"|was (?:bedeutet|heisst|heißt|meint|versteht man)|bedeutung|erklar[a-z]* (?:den|die|was|mir)|der (?:satz|ausdruck|begriff)"
    r"|que (?:signifie|veut dire)|signification|qu'est-ce que|que significa|que quiere decir|significado"
    r"|cosa (?:significa|vuol dire)"
    r"|o que (?:significa|quer dizer)|wat betekent|betekenis|co (?:to )?(?:znaczy|oznacza|znamena)|znaczenie|ne (?:demek|anlama)"
    r")|(?:что|как) (?:это )?(?:значит|означает|понимать)|значение"
)

# Right before the words: somebody asks what they themselves may do, is told not to, or tells what was done.
_ASKED_OR_DENIED = _compiled(
    r"(?:\b(?:(?:can|may|should|must|could|do|does|did|will|would) (?:i|we|one|people|patients|doctors|anyone)"
    r"|(?:darf|kann|soll|sollte|muss|konnte) (?:ich|man)|(?:puis|dois|peux)-je|peut-on|doit-on|est-ce que je (?:peux|dois)"
    r"|puedo|debo|se puede|posso|devo|si puo|pode-se|(?:mag|kan|moet) (?:ik|men)|czy (?:moge|mozna|musze|powinienem)"
    r"|mohu|muzu|smim)(?: [\pL\pN_'-]+){0,2}"
    r"|(?:можно ли|могу ли я|нужно ли|должен ли я)(?: [^ ]+){0,2}"
    # "J'ai oublié": without its accent the participle is an order.
    r"|\b(?:j['’](?:ai|avais)|(?:il|elle|on) a(?:vait)?|nous avons|(?:ils|elles) ont)(?: (?:deja|déjà|tout|encore))?"
    r"|\b(?:do not|don't|never|not to|nicht|niemals|non|no|nao|niet|nie|ne)|не)[ ]$"
)
# Who asks how code works or why it does not, in prose: folded.
_ASKS = _compiled(
    r"\b(?:how (?:do|does|can|could|should|would|to)|what (?:is|are|was|does|do|did|happens)|what's|why|which|when"
    r"|is it|is (?:there|a|an|the)|are|does|do|did|can|could|should|would|explain|describe|difference|meaning of|fix|debug"
    r"|fails?|failed|error|not work(?:ing)?|doesn't work|does not work|protect|prevent|avoid|escape|sanitize|safe|allowed"
    r"|format|shorten|convert|show|(?:write|create|implement|give me|need) (?:an?|the|some)"
    r"|wie|was (?:macht|ist|bedeutet|bewirkt|passiert)|warum|wieso|erklar[a-z]*|kann|funktioniert"
    r"|comment|pourquoi|que (?:fait|signifie)|qu'est-ce|explique[a-z]*|peut"
    r"|como|por que|que (?:hace|es|significa)|explica[a-z]*|o que|porque"
    r"|come|perche|cosa|che (?:cosa|fa)|spiega[a-z]*|hoe|waarom|wat (?:doet|is|betekent)|leg [a-z ]{0,12}uit"
    r"|jak|dlaczego|co (?:robi|to|dela|znamena)|czy|wyjasnij|proc|vysvetli|nasil|neden|ne (?:ise|demek|yapar)|acikla)\b"
    r"|(?:как|почему|зачем|что (?:делает|такое|значит)|объясни|можно ли)"
)
_CODE = _compiled(
    r"\b(?:code|coding|script|scripts|bash|shell|terminal|linux|unix|windows|sql|mysql|postgres[a-z]*|sqlite|mongo[a-z]*"
    r"|quer(?:y|ies)|database|table|python|java|javascript|js|typescript|react|vue|node|php|ruby|perl|html|css|tags?|element"
    r"|attribute|markdown|jinja2?|template[a-z]*|regex|placeholders?|characters?|quotes?|path|files?|folder|directory|import"
    r"|module|commands?|one-liner|function|variable|string|program[a-z]*|page|site|server|api|bug|exploit|vulnerab[a-z]*"
    r"|injection|log4shell|log4j|xss|browser|image|picture|diagram|git|docker|npm|nginx|svg|url|anchor"
    r"|datei|befehl|skript|abfrage|tabelle|vorlage|fichier|commande|requete|modele|archivo|comando|consulta|plantilla|arquivo"
    r"|modello|bestand|opdracht|plik|polecenie|zapytanie|szablon[a-z]*|soubor|prikaz|dotaz|sablon[a-z]*|dosya|komut|sorgu"
    r"|codigo|codice|kod)\b|(?:код|файл|команд|запрос|скрипт|шаблон)"
)
# Who wants code run does not ask about it.
_RUN = _compiled(
    r"(?:^|[.!?:;,] *|\b(?:please|you|and|then|now|just|bitte|und|dann) )"
    r"(?:run|execute|evaluate|invoke|launch|perform|read|open|fetch|fuhre|execute[zr]?|lancez?|ejecut[ae]|esegui|executa|voer"
    r"|uruchom|wykonaj|spust|calistir|выполни|запусти)\b[^.?!\n]{0,60}$"
)
_PROSE_WORD = re.compile(r"(?<![^\s(\"'`])[^\W\d_][^\W_]*(?=[\s,.:;?!)\"'`]|$)")
_LEAST_PROSE = 4
"""Words around code without which nobody asks about it."""
_MAX_ASKED = 2_000
"""Characters of a text, and on either side of code, in which it is asked about."""
_BLOCK = 256
"""Characters that are folded at once, and remembered."""
_BEFORE_ASKED = 60
"""Characters before a match in which such a beginning is looked for."""

# What may stand between the beginning of a sentence and an order: "Please now ignore ...", "IMPORTANT: you must ignore ...".
_ORDER = _compiled(
    r"(?:^|[.!?:;\n\r\"'(\[{<>*#|=_-])[\s*#>-]*"
    r"(?:(?:please|now|also|and|then|so|but|just|first|next|instead|simply|kindly|immediately|important|attention|warning|urgent|note"
    r"|hey|hi|hello"
    r"|you (?:must|should|will|shall|need to|have to|are to|can)"
    r"|i (?:want|need|order|command|instruct) you to|we (?:want|need) you to"
    r"|system|user|assistant|ai|assistants|chatbot|model|llm"
    r"|bitte|jetzt|nun|und|dann|s'il (?:te|vous) plait|maintenant|et|por favor|ahora|y|per favore|ora|e|agora|alsjeblieft|nu|en"
    r"|prosze|teraz|i|пожалуиста|теперь|и|lutfen|simdi|ve|prosim|nyni|a)\b[\s,:!*-]*){0,6}$"
)
_BEFORE = 160
"""Characters before a match in which the beginning of its sentence is looked for."""


def without_quotations(text: str) -> str:
    """`text` with a space in place of each quotation."""
    return _QUOTED.sub(" ", text)


def about_words(text: str) -> bool:
    """Whether `text`, quotations taken out, asks or speaks about what words mean."""
    return _ABOUT_WORDS.search(_bytes(_QUOTED.sub(" ", text))) is not None


def _bytes(text: str) -> bytes:
    return text.lower().encode("utf-8", "replace")


class Speech:
    """A text in which words are meant or mentioned; what holds for the whole of it is looked for once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._blocks: dict[int, str] = {}

    @cached_property
    def _quotations(self) -> list[tuple[int, int]]:
        return [mark.span() for mark in _QUOTED.finditer(self._text)]

    @cached_property
    def _fold(self) -> Callable[[str], str]:
        return fold_of_parts(self._text)

    def _folded(self, start: int, end: int) -> str:
        """[start, end) of the text, folded a block at a time, and each once: where no word mixes scripts, signs fold alone."""
        first, last = -(-start // _BLOCK), end // _BLOCK
        if first >= last:
            return self._fold(self._text[start:end])
        blocks = [self._block(number) for number in range(first, last)]
        before, after = self._text[start : first * _BLOCK], self._text[last * _BLOCK : end]
        return "".join((self._fold(before), *blocks, self._fold(after)))

    def _block(self, number: int) -> str:
        found = self._blocks.get(number)
        if found is None:
            found = self._blocks[number] = self._fold(self._text[number * _BLOCK : (number + 1) * _BLOCK])
        return found

    @cached_property
    def _about_words(self) -> bool:
        return about_words(self._text)

    @cached_property
    def _framed(self) -> tuple[int, int] | None:
        """Where it is asked what words mean."""
        data = _bytes(self._text)
        asked = _ABOUT_WORDS.search(data)
        if asked is None:
            return None
        return len(data[: asked.start()].decode("utf-8", "replace")), len(data[: asked.end()].decode("utf-8", "replace"))

    def quoted(self, start: int, end: int) -> bool:
        """Whether [start, end) lies inside quotation marks."""
        # They do not overlap: only the last one that begins before may hold it.
        last = bisect_right(self._quotations, (start, len(self._text))) - 1
        return last >= 0 and end <= self._quotations[last][1]

    def mentioned(self, start: int, end: int) -> bool:
        """Whether the words at [start, end) of a question are spoken about rather than meant."""
        if self.quoted(start, end):
            return self._about_words
        if _ASKED_OR_DENIED.search(_bytes(self._text[max(0, start - _BEFORE_ASKED) : start])):
            return True
        # Without quotation marks only a question that frames the words counts: "what does ... mean".
        return self._framed is not None and self._framed[0] <= start and end <= self._framed[1]

    def about_code(self, start: int, end: int) -> bool:
        """Whether the code at [start, end) is what a question is about: prose around it asks, and names what it is."""
        first, last = max(0, start - _MAX_ASKED), min(end + _MAX_ASKED, len(self._text))
        around = f"{self._text[first:start]} {self._text[end:last]}"
        whole = self._text.isascii() or self._fold is fold
        data = _bytes(self._fold(around) if whole else f"{self._folded(first, start)} {self._folded(end, last)}")
        if _ASKS.search(data) is None or _CODE.search(data) is None:
            return False
        if _RUN.search(_bytes(self._fold(self._text[max(0, start - _BEFORE) : start]))) is not None:
            return False
        prose = _PROSE_WORD.finditer(around)
        return len(list(itertools.islice(prose, _LEAST_PROSE))) == _LEAST_PROSE

    def is_order(self, start: int) -> bool:
        """Whether a sentence begins at `start`, but for what introduces an order."""
        return _ORDER.search(_bytes(self._text[max(0, start - _BEFORE) : start])) is not None
