"""Words of so many rules in one question that nobody asks it: whoever writes it makes the guard work, or tries everything at once.

It is told before a single place of those words is looked for, so that such a text costs a scan and no more.
"""

from __future__ import annotations

import math

from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard.detection.rules import LoadedRule, Parts, Rule, SeverityName, Target

LEAST_RULES = 60
"""Rules all of whose words stand in a question of `LENGTH`, wherever in it. Honest questions of many languages joined to that
length have 32 at most, pasted collections of attacks 34; hostile messages made of rules' words 90 to 200."""
LEAST_SHARE = 1 / 6
"""Of the rules for questions, should that be more: an operator's own rules may be many, and alike."""
LENGTH = 10_000
"""Characters. A longer text has more words, by the root of its length (Heaps' law): honest ones have 21 at 4,000, 70 at 64,000."""
SHORT = 4_000
"""Characters; a shorter text is looked at as one of so many."""


def too_many(rules: int, characters: int) -> float:
    """How many of `rules` are too many in a text of so many characters."""
    return max(LEAST_RULES, LEAST_SHARE * rules) * math.sqrt(max(characters, SHORT) / LENGTH)


FLOOD = LoadedRule(
    # No file has it, and no pattern: it is told by counting.
    Rule.model_construct(
        id="flood.words",
        severity=SeverityName.HIGH,
        score=2.0,
        languages=["any"],
        example="the words of fifty rules",
        counter_example="a long question",
    ),
    pb.CATEGORY_JAILBREAK,
    frozenset({Target.INPUT}),
    quotable=False,
    code=False,
    expressions=(),
    parts=Parts((), (), ()),
    where="flood:1",
)
"""The rule that stands for it."""
