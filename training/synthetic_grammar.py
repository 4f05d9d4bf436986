"""Reads one plain English sentence by closed classes, endings and capitals: fronted adverbial, subject, verbs, chunks after them.

It is no parser: a sentence it does not follow from the first word to the end of the main clause is given up (`read_clause` returns
None), which costs nothing where text is plenty. Ranges are token indices, half open. This module does not know questions.
"""

from __future__ import annotations

import re

from training import synthetic_words as words
from training.synthetic_clause import Chunk, Clause
from training.synthetic_tags import Token

_YEAR = re.compile(r"1[0-9]{3}s?|20[0-4][0-9]s?|[1-9]\d{2}")
MAX_TOKENS = 60
_PARTICLES = frozenset({"out", "up", "off", "down", "over"})


_INSIDE = frozenset({"D", "POS", "ADJ", "NUM", "N", "NP", "VG", "V", "ADV", "$", "£", "€", "&", "/", "%", "°", "#"})
_OPENS = frozenset({"D", "POS", "ADJ", "NUM", "N", "NP", "$", "£", "€", '"', "“"})
_NOUNISH = frozenset({"N", "NP", "NUM"})


def noun_phrase(tokens: list[Token], at: int, verbs_stop: bool) -> tuple[int, int] | None:
    """(end, head) of the noun phrase that begins at a token, `of` phrases and coordinated nouns included; None where none does."""
    end, head = _simple_phrase(tokens, at, verbs_stop)
    if head < 0:
        return None
    while end < len(tokens):
        joins = tokens[end].lower in ("of", "'s", "’s") or (tokens[end].lower == "and" and tokens[end].tag == "C")
        if not joins:
            break
        more, more_head = _simple_phrase(tokens, end + 1, verbs_stop)
        if more_head < 0 or (verbs_stop and tokens[end].lower == "and" and _verb_follows(tokens, more, head, more_head)):
            break
        end = more
        if tokens[end - 1] and tokens[end - 1].tag == "NP" and tokens[head].tag == "NP":
            continue
    return end, head


def _verb_follows(tokens: list[Token], at: int, head: int, more_head: int) -> bool:
    """Whether `and` joins clauses rather than nouns: a finite verb stands right behind, and the nouns are of different sorts."""
    if at >= len(tokens) or tokens[at].tag not in ("B", "H", "M", "VZ", "V", "DO"):
        return False
    return tokens[head].tag != tokens[more_head].tag


def _simple_phrase(tokens: list[Token], at: int, verbs_stop: bool) -> tuple[int, int]:
    """(end, head); head is -1 where no noun phrase begins at `at`."""
    if at >= len(tokens):
        return at, -1
    if tokens[at].tag == "PR":
        return at + 1, at
    if tokens[at].text in ('"', "“"):
        return _quoted(tokens, at)
    if tokens[at].tag not in _OPENS and not (tokens[at].tag == "VG" and not verbs_stop):
        return at, -1
    index, head, began = at, -1, False
    while index < len(tokens):
        token = tokens[index]
        if token.tag in ("D", "POS") and began:
            break
        if token.tag not in _INSIDE:
            possessive = token.text in ("'", "’") and index + 1 < len(tokens) and head == index - 1
            initial = (
                token.text == "."
                and 0 < index < len(tokens) - 1
                and len(tokens[index - 1].text) <= 2
                and tokens[index - 1].tag == "NP"
            )
            serial = token.text == "-" and token.start == tokens[index - 1].end
            date = token.text == "," and _is_date_comma(tokens, index)
            if not (possessive or initial or serial or date):
                break
        elif token.tag in ("V", "VG", "ADV") and not _premodifies(tokens, index, began, head):
            break
        if token.tag in _NOUNISH:
            head = index
        began = True
        index += 1
    if head < 0:
        return at, -1
    while index > head + 1 and tokens[index - 1].tag in ("V", "VG", "ADV", "ADJ", "D", ","):
        index -= 1
    return index, head


def _is_date_comma(tokens: list[Token], index: int) -> bool:
    """The comma of "May 4, 1990"; of "Paris, France" when both are capitalised and the first is a place."""
    if index + 1 >= len(tokens) or index == 0:
        return False
    left, right = tokens[index - 1], tokens[index + 1]
    if right.tag == "NUM" and _YEAR.fullmatch(right.text) and (left.tag == "NUM" or left.lower in words.MONTHS):
        return True
    listed = index + 2 < len(tokens) and tokens[index + 2].lower in ("and", "or")
    return left.tag == "NP" and right.lower in words.PLACES and right.tag == "NP" and not listed


def _premodifies(tokens: list[Token], index: int, began: bool, head: int) -> bool:
    """Whether a participle or adverb stands inside the phrase: "a newly founded town"."""
    token = tokens[index]
    if head == index - 1 and head >= 0 and not (token.tag == "VG" and tokens[head].tag != "NP"):
        return False
    following = tokens[index + 1].tag if index + 1 < len(tokens) else ""
    return following in ("N", "NP", "ADJ", "V", "VG", "NUM") and (began or token.tag == "ADV")


def _quoted(tokens: list[Token], at: int) -> tuple[int, int]:
    for index in range(at + 1, min(len(tokens), at + 14)):
        if tokens[index].text in ('"', "”"):
            return index + 1, index - 1
    return at, -1


def read_chunk(tokens: list[Token], at: int) -> Chunk | None:
    """The next piece of what follows a verb; None where the clause ends or is not understood."""
    token = tokens[at]
    if token.tag == "ADV" or token.tag == "NEG":
        return Chunk("ADV", at, at + 1, -1)
    if token.tag in ("TO", "VG") or (token.tag == "P" and at + 1 < len(tokens) and tokens[at + 1].tag == "VG"):
        return _verbal(tokens, at)
    if token.tag in ("P", "TO"):
        phrase = noun_phrase(tokens, at + 1, verbs_stop=True)
        if phrase is None and at + 1 < len(tokens) and tokens[at + 1].tag == "P":
            phrase = noun_phrase(tokens, at + 2, verbs_stop=True)
        return Chunk("PP", at, phrase[0], phrase[1], token.lower) if phrase else None
    if token.lower in ("because", "so") or (
        token.tag == "S" and token.lower in ("when", "although", "while", "if", "after", "before", "where", "since")
    ):
        end = _clause_end(tokens, at + 1)
        return Chunk("SUB", at, end, -1, token.lower) if end > at + 3 else None
    phrase = noun_phrase(tokens, at, verbs_stop=True)
    if phrase:
        return Chunk("NP", at, phrase[0], phrase[1])
    if token.tag == "ADJ":
        return Chunk("ADJ", at, at + 1, -1)
    if token.tag == "V":
        return Chunk("PART", at, at + 1, -1)
    return None


def _clause_end(tokens: list[Token], at: int) -> int:
    while at < len(tokens) and tokens[at].text not in (",", ";", ":", ".", "(", "—", "–", "!", "?"):
        at += 1
    return at


def _verbal(tokens: list[Token], at: int) -> Chunk | None:
    """ "to raise funds for the school", "by pressing the key": the verb, its object, and what hangs on it."""
    index = at + 1
    while index < len(tokens) and tokens[index].tag in ("ADV", "VG", "VB", "B", "V", "H", "P", "N") and index < at + 4:
        stop = tokens[index].tag in ("VG", "VB", "N") or (tokens[index].tag == "V" and tokens[at].tag == "TO")
        index += 1
        if stop:
            break
    while index < len(tokens):
        phrase = noun_phrase(tokens, index, verbs_stop=True)
        if phrase:
            index = phrase[0]
        elif tokens[index].tag in ("P", "TO", "ADV", "ADJ"):
            index += 1
        else:
            break
    while index > at + 1 and tokens[index - 1].tag in ("P", "TO"):
        index -= 1
    return Chunk("PREPVG" if tokens[at].tag == "P" else "INF" if tokens[at].tag == "TO" else "VG", at, index, -1, tokens[at].lower)


def _skip_aside(tokens: list[Token], at: int) -> int:
    """The end of a parenthesis or of an aside between commas that begins at `at`; `at` itself where there is none."""
    if at >= len(tokens):
        return at
    if tokens[at].text == "(":
        for index in range(at + 1, min(len(tokens), at + 25)):
            if tokens[index].text == ")":
                return index + 1
        return at
    if tokens[at].text == ",":
        for index in range(at + 1, min(len(tokens) - 1, at + 16)):
            if tokens[index].text == "," and not _is_date_comma(tokens, index):
                follows = tokens[index + 1].tag
                return index + 1 if follows in ("B", "H", "M", "DO", "V", "VZ", "ADV") else at
    return at


def _read_subject(tokens: list[Token], at: int) -> tuple[int, int, int, list[tuple[int, int]]] | None:
    """(end of the bare subject, head, where the verb group begins, asides)."""
    phrase = noun_phrase(tokens, at, verbs_stop=False)
    if phrase is None:
        return None
    end, head = phrase
    asides: list[tuple[int, int]] = []
    index = end
    while index < len(tokens):
        aside = _skip_aside(tokens, index)
        if aside > index:
            asides.append((index, aside))
            index = aside
            continue
        token = tokens[index]
        if token.tag == "P" and not asides:
            chunk = read_chunk(tokens, index)
            if chunk is None or chunk.kind != "PP":
                return None
            index = end = chunk.end
            continue
        reduced = token.tag == "V" and index + 1 < len(tokens) and tokens[index + 1].tag == "P" and _finite_later(tokens, index + 1)
        if reduced and not asides:
            index = end = index + 1
            continue
        break
    return end, head, index, asides


def _finite_later(tokens: list[Token], at: int) -> bool:
    """Whether a verb that can only be finite comes before the clause can have ended: then an earlier participle only modifies.

    Another -ed form is such a verb only behind `by` and before an object ("a team led by A published the study").
    """
    for index in range(at, min(len(tokens) - 1, at + 14)):
        token = tokens[index]
        if token.text in (",", ";", ":", "(", "—", ".") or token.tag in ("C", "S", "W", "TO"):
            return False
        if token.tag in ("B", "H", "M", "DO", "VZ"):
            return True
        if token.tag == "V":
            certain = token.lower in words.PAST_TO_BASE and token.lower not in words.PARTICIPLES
            return certain or (tokens[at].lower == "by" and tokens[index + 1].tag in ("D", "NUM", "POS", "P", "NP"))
    return False


def _read_verbs(tokens: list[Token], at: int) -> tuple[list[int], int] | None:
    """(auxiliaries, main verb)"""
    auxiliaries: list[int] = []
    index = at
    main = -1
    while index < len(tokens):
        tag = tokens[index].tag
        if tag in ("M", "B", "H", "DO"):
            auxiliaries.append(index)
        elif tag in ("V", "VB", "VZ") or (tag == "VG" and auxiliaries and tokens[auxiliaries[-1]].tag == "B"):
            main = index
            break
        elif tag not in ("ADV", "NEG"):
            break
        index += 1
    if main >= 0:
        follows = tokens[main + 1].tag if main + 1 < len(tokens) else ""
        plural = (
            tokens[main].tag == "VB" and main > 0 and follows in ("D", "POS", "NUM", "ADJ", "NP", "P", "TO", "N", "ADV", "PR", '"')
        )
        finite = tokens[main].tag in ("V", "VZ") or plural
        if not auxiliaries and not finite:
            return None
        if auxiliaries and tokens[main].tag == "VZ":
            return None
        return auxiliaries, main
    if not auxiliaries:
        return None
    last = auxiliaries[-1]
    if tokens[last].tag == "M":
        return None
    return auxiliaries[:-1], last


def read_clause(tokens: list[Token]) -> Clause | None:
    """The main clause of a sentence; None where it is not plain."""
    if not 4 <= len(tokens) <= MAX_TOKENS:
        return None
    at = 0
    while at < len(tokens) and tokens[at].tag in ("ADV", "C") and at < 2:
        at += 1
        if at < len(tokens) and tokens[at].text == ",":
            at += 1
    if tokens[at].tag in ("S", "VG", "V", "INF"):
        comma = next((i for i in range(at + 2, min(len(tokens), at + 18)) if tokens[i].text == ","), None)
        if comma is None or len(tokens) - comma < 5:
            return None
        at = comma + 1
    fronted: list[Chunk] = []
    while at < len(tokens) and tokens[at].tag in ("P", "TO"):
        chunk = read_chunk(tokens, at)
        if chunk is None or chunk.kind != "PP" or len(fronted) == 2:
            return None
        fronted.append(chunk)
        at = chunk.end
        if at < len(tokens) and tokens[at].text == ",":
            at += 1
    if at >= len(tokens):
        return None
    read = _read_subject(tokens, at)
    if read is None:
        return None
    end, head, verbs_at, asides = read
    verbs = _read_verbs(tokens, verbs_at)
    if verbs is None:
        return None
    clause = Clause(tokens, fronted, (at, end), head, verbs[0], verbs[1], asides=asides)
    clause.end = _read_rest(clause, verbs[1] + 1)
    return clause


def _read_rest(clause: Clause, index: int) -> int:
    """Fills the chunks behind the verb; returns where reading stopped."""
    tokens = clause.tokens
    if index + 1 < len(tokens) and tokens[index].lower in _PARTICLES and tokens[index + 1].tag in ("D", "POS", "NUM", "N", "ADJ"):
        clause.chunks.append(Chunk("ADV", index, index + 1, -1))
        index += 1
    while index < len(tokens):
        aside = _skip_aside(tokens, index) if tokens[index].text == "(" else index
        if aside > index:
            index = aside
            continue
        if tokens[index].text == "," and clause.chunks and index + 1 < len(tokens) and tokens[index + 1].tag == "P":
            index += 1
        chunk = read_chunk(tokens, index)
        if chunk is None:
            break
        clause.chunks.append(chunk)
        index = chunk.end
    return index


def next_sentence(first: Clause) -> Clause | None:
    """The clause behind "..., and" or ";" that has a subject of its own."""
    tokens, at = first.tokens, first.end
    while at < len(tokens) - 5 and not (
        tokens[at].text == ";" or (tokens[at].text == "," and tokens[at + 1].lower in ("and", "but", "while"))
    ):
        at += 1
    if at >= len(tokens) - 5:
        return None
    at += 1 if tokens[at].text == ";" else 2
    return read_clause(tokens[at:]) if tokens[at].tag in ("D", "NP", "PR", "POS", "P", "N", "NUM", "ADJ") else None


def second_clause(first: Clause) -> Clause | None:
    """The clause that shares the first one's subject: "was directed by A and released in B"."""
    tokens, at = first.tokens, first.end
    if at + 2 >= len(tokens):
        return None
    at += 1 if tokens[at].text == "," else 0
    if tokens[at].lower not in ("and", "but"):
        return None
    at += 1
    while at < len(tokens) and tokens[at].tag == "ADV":
        at += 1
    if at >= len(tokens) - 1 or tokens[at].tag not in ("V", "VZ", "B", "H", "M", "DO"):
        return None
    verbs = _read_verbs(tokens, at)
    if verbs is None:
        return None
    auxiliaries = verbs[0]
    if tokens[at].tag == "V" and not auxiliaries and first.auxiliaries:
        if not first.passive:
            return None
        auxiliaries = first.auxiliaries
    clause = Clause(tokens, [], first.subject, first.subject_head, auxiliaries, verbs[1])
    clause.end = _read_rest(clause, verbs[1] + 1)
    return clause
