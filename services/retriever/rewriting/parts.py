"""A question with two parts, taken apart: "How long does it last and what are its side effects?" is searched as two questions.

Apart only where each part is a question by its form and says something to search for. A later part that leans on the one before is
completed from it. English and German.
"""

from __future__ import annotations

import re

from ragmesh.evidence.v1.text_pb2 import Role, Utterance

from services.retriever.rewriting.follow_up import complete
from services.retriever.terms import terms

MAX_PARTS = 3
_LEAST_TERMS = 2

_ASKS = {
    "en": r"(?:what|how|why|when|where|who|whose|which(?! (?:is|are|was|were|has|have)\b)|is|are|was|were|does|do|did|can|could|"
    r"should|will)\b(?! to\b)",
    "de": r"(?:was|wie|wieso|warum|weshalb|wann|wo|woher|wer|wen|wem|welche[rsnm]?|ist|sind|war|kann|können|darf|soll|sollte|hat|"
    r"haben|hilft|wirkt|gibt|macht|muss|womit|wofür|wogegen)\b",
}
_JOINT = {
    "en": r"\?+\s+(?:and|also|but)?,?\s*|[,;]?\s+(?:and(?: also)?|as well as|but(?: also)?|plus)\s+|;\s+",
    "de": r"\?+\s+(?:und|auch|außerdem|aber)?,?\s*|[,;]?\s+(?:und(?: auch)?|sowie|aber)\s+|;\s+",
}
_SPLIT = {name: re.compile(rf"(?:{_JOINT[name]})(?={_ASKS[name]})", re.IGNORECASE) for name in _ASKS}
_BEGINS = {name: re.compile(rf"^(?:\w+,? ){{0,2}}?{_ASKS[name]}", re.IGNORECASE) for name in _ASKS}


def parts_of(question: str, language: str) -> list[str]:
    """The parts, each as a question that stands alone; none where it is one question."""
    name = "de" if language == "de" else "en"
    pieces = [piece.strip() for piece in _SPLIT[name].split(question.strip(), maxsplit=MAX_PARTS - 1)]
    if len(pieces) < 2 or not _BEGINS[name].search(pieces[0]):
        return []
    found: list[str] = []
    for piece in pieces:
        whole = piece if piece.endswith("?") else f"{piece.rstrip('.,; ')}?"
        if found:
            completed = complete(whole, [Utterance(role=Role.ROLE_USER, text=found[-1])], language)
            whole = completed.text if completed is not None else whole
        if len(set(terms(piece, language))) < (_LEAST_TERMS if not found else 1):
            return []
        found.append(whole[0].upper() + whole[1:])
    return found
