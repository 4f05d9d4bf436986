"""What reading a sentence gives: its main clause as subject, verbs and chunks. This module does not know how it is read."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.synthetic_tags import Token, spell


@dataclass(frozen=True, slots=True)
class Chunk:
    kind: str
    """NP, PP, ADV, ADJ, TO (infinitive), VG, SUB (subordinate clause)"""
    begin: int
    end: int
    head: int
    """Index of the last word of the first noun phrase; -1 without one."""
    prep: str = ""


@dataclass(slots=True)
class Clause:
    tokens: list[Token]
    fronted: list[Chunk]
    subject: tuple[int, int]
    subject_head: int
    auxiliaries: list[int]
    main: int
    """Index of the main verb (the last form of be, where that is all there is)."""
    chunks: list[Chunk] = field(default_factory=list)
    asides: list[tuple[int, int]] = field(default_factory=list)
    """Appositives and parentheses behind the subject."""
    end: int = 0
    """Where reading stopped."""

    def text(self, begin: int, end: int) -> str:
        return spell(self.tokens[begin:end])

    @property
    def copula(self) -> bool:
        return self.tokens[self.main].tag == "B"

    @property
    def passive(self) -> bool:
        return (
            not self.copula
            and bool(self.auxiliaries)
            and self.tokens[self.auxiliaries[-1]].tag == "B"
            and self.tokens[self.main].tag == "V"
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and the characters of its sentence or passage that answer it; `kind` is the rule that asked."""

    question: str
    start: int
    end: int
    kind: str
