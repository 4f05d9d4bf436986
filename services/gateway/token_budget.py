"""How the window of an engine is shared out between system text, evidence, history, question and answer. Pure; it counts nothing.

What must be there comes first: the question, the answer's room and the system text; evidence gets what history leaves, and at least
half of what is left. What does not fit its share is cut by whoever holds it.
"""

from __future__ import annotations

from dataclasses import dataclass

MIN_WINDOW = 512
MAX_WINDOW = 65_536
_QUESTION_SHARE = 0.25
_SYSTEM_SHARE = 0.15
_HISTORY_SHARE = 0.25
"""Most of the window that each may have."""
_LEAST_EVIDENCE = 64


@dataclass(frozen=True, slots=True)
class Allocation:
    """Tokens for each part; together at most the window."""

    system: int
    question: int
    history: int
    evidence: int
    answer: int


def allocate(window: int, *, system: int, question: int, history: int, answer: int) -> Allocation:
    """Shares out `window` tokens.

    Args:
        system, question, history: tokens that each has.
        answer: tokens that the answer may have.

    Raises:
        ValueError: a number is negative, or the window is out of bounds.
    """
    if not MIN_WINDOW <= window <= MAX_WINDOW:
        raise ValueError(f"a window of {window} tokens; {MIN_WINDOW} to {MAX_WINDOW} are allowed")
    if min(system, question, history, answer) < 0:
        raise ValueError("no part has fewer than 0 tokens")
    asked = min(question, int(window * _QUESTION_SHARE))
    told = min(system, int(window * _SYSTEM_SHARE))
    room = window - asked - told
    # The answer never takes what the evidence needs: without evidence there is none.
    answered = min(answer, room // 2)
    room -= answered
    said = min(history, int(window * _HISTORY_SHARE), room // 2)
    return Allocation(told, asked, said, max(_LEAST_EVIDENCE, room - said), answered)


def estimate(text: str) -> int:
    """Tokens that a text has at most, by its bytes: for shares, where counting them would cost a call."""
    return -(-len(text.encode()) // 2)
