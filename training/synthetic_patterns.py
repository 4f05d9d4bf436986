"""Questions found by patterns rather than by reading a clause: life dates, other names, headings, defined terms.

This module does not know grammar; ranges are in characters of the sentence or passage that it is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from training import synthetic_words as words
from training.synthetic_clause import Asked
from training.synthetic_phrases import Topic, people_of, tidy

_MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_DATE = (
    rf"(?:\d{{1,2}}(?:st|nd|rd|th)? {_MONTH},? \d{{3,4}}|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?, ?\d{{3,4}}|{_MONTH} \d{{4}}|\d{{3,4}})"
)
_BORN = re.compile(rf"^[^.(]{{3,60}}?\s?\([^)]{{0,60}}?\b(?:born|b\.)[^)\d]{{0,20}}({_DATE})")
_DIED = re.compile(rf"^[^.(]{{3,60}}?\s?\([^)]{{0,60}}?\b(?:died|d\.)[^)\d]{{0,20}}({_DATE})")
_LIVED = re.compile(rf"^[^.(]{{3,60}}?\s?\((?:[^)\d]{{0,40}})({_DATE})\s?[-–—]\s?({_DATE})\s?\)")
_ALSO = re.compile(
    r"\b(?:also|commonly|sometimes|often|better|formerly|previously) (?:known as|called) (?:the |a |an )?"
    r"(\"[^\"]{3,40}\"|[A-Z][\w’'-]*(?: (?:of |the )?[A-Z][\w’'-]*){0,4})"
)
_HEADING_SKIP = re.compile(
    r"^(?:introduction|overview|summary|references?|see also|notes?|external links|background|conclusions?|abstract|contents"
    r"|further reading|details|general|other|more|discussion|results?|methods?|examples?|faqs?|open questions|.*\d.*)$",
    re.IGNORECASE,
)
_PLURAL_HEADING = re.compile(r"^[A-Z][a-z]+(?: [a-z]+){0,3}$")
_QUESTION = re.compile(r"^(?:what|who|when|where|why|how|which|is|are|can|does|do|should|will|was|were)\b.*\?$", re.IGNORECASE)
_VERBISH = re.compile(r"^(?:how|what|why|when|where|who) ", re.IGNORECASE)


def of_sentence(text: str, topic: Topic, first: bool) -> Iterator[Asked]:
    """Life dates of the opening sentence, and other names of what the article is about."""
    name = topic.name
    if not name:
        return
    if first and topic.person:
        lived = _LIVED.search(text)
        if lived:
            yield Asked(f"When was {name} born?", *lived.span(1), "born")
            yield Asked(f"When did {name} die?", *lived.span(2), "died")
        else:
            for rule, question in ((_BORN, f"When was {name} born?"), (_DIED, f"When did {name} die?")):
                found = rule.search(text)
                if found:
                    yield Asked(question, *found.span(1), "born")
    if first:
        also = _ALSO.search(text)
        if also and also.group(1).strip('"').lower() not in name.lower():
            yield Asked(f"What is {name} also known as?", *also.span(1), "also known")


def of_heading(heading: str, title: str, first: tuple[int, int]) -> Iterator[Asked]:
    """A heading that asks is a question; one that names an aspect asks for that of the title. `first`: its first sentence."""
    heading = heading.strip().rstrip(":")
    if _QUESTION.match(heading) and 3 <= len(heading.split()) <= 14:
        if not any(word in words.PRONOUNS or word in words.POSSESSIVES for word in heading.lower().rstrip("?").split()[1:]):
            yield Asked(heading, *first, "heading question")
        return
    title = title.strip()
    if not title or len(title.split()) > 7 or _HEADING_SKIP.match(heading) or heading.lower() in title.lower():
        return
    if _VERBISH.match(heading) and 3 <= len(heading.split()) <= 9:
        yield Asked(f"{heading}?", *first, "heading")
    elif _PLURAL_HEADING.match(heading) and not title.lower().startswith(("how ", "what ", "why ")):
        aspect = heading[0].lower() + heading[1:]
        if words.base_of(aspect.split()[0]) is not None and not aspect.endswith("s"):
            return
        yield Asked(tidy(f"What {'are' if _plural(aspect) else 'is'} the {aspect} of {_bare(title)}"), *first, "heading")


def _plural(aspect: str) -> bool:
    last = aspect.split()[-1]
    return last.endswith("s") and not last.endswith(("ss", "us", "is"))


def _bare(title: str) -> str:
    return title if title[:4] != "The " else "the " + title[4:]


def of_glossary(term: str) -> str:
    term = term.strip()
    proper = any(letter.isupper() for letter in term[1:])
    return f"What is {term if proper else term[0].lower() + term[1:]}?"


_TITLE_TAIL = re.compile(r"\s*\([^)]*\)$")


_DEFINED = re.compile(r"\b(?:is|was|are|were) (?:one of )?(?:an?|the|[A-Z]\w+'s) ([^.,;()]{3,90})")


def topic_of(title: str, opening: str, passage: str) -> Topic:
    """What an article is about, from its title and its opening sentence ("X (1900-1950) was a Dutch painter")."""
    name = _TITLE_TAIL.sub("", title).strip()
    lowered = frozenset(re.findall(r"\b[a-z]{2,}\b", passage))
    # "X is a 2004 comedy film directed by": the noun before the first preposition or participle.
    found = _DEFINED.search(opening)
    noun = ""
    if found:
        for word in found.group(1).split():
            lower = word.lower()
            if lower in words.PREPOSITIONS or lower in ("who", "which", "that", "and", "or") or (lower.endswith("ed") and noun):
                break
            noun = lower
    first = name.split()[0] if name else ""
    hint = _TITLE_TAIL.search(title)
    nouns = {noun, noun.rsplit("-", 1)[-1]} | (set(hint.group().strip(" ()").split()) if hint else set())
    person = bool(nouns & words.PERSON_NOUNS)
    person = person or (not noun and words.is_first_name(first) and len(name.split()) >= 2)
    if name and name.split()[0].lower() in lowered and not any(part[0].isupper() for part in name.split()[1:]):
        name = name[0].lower() + name[1:]
    return Topic(name, person, noun, lowered, people_of(passage))
