"""How a verdict came about: the readings of a text, everything that was seen in them, the score and the threshold.

Made only where it is asked for. Knows no policy and no request.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard.detection.rules import Target
from services.guard.judge import Judge, Sighting
from services.guard.policy import Policy
from services.guard.understanding.sure import Guess
from services.guard.views import readings

MAX_READING_BYTES = 8 * 1024
MAX_READINGS = 64
MAX_HITS = 256
# What the policy decides for itself adds to no score.
_NO_ATTACK = frozenset({pb.CATEGORY_PII, pb.CATEGORY_SECRET, pb.CATEGORY_OFF_TOPIC, pb.CATEGORY_LANGUAGE})


def explanation(
    judge: Judge,
    policy: Policy,
    text: str,
    verdict: pb.Verdict,
    seen: Sequence[Sighting],
    guesses: Iterable[Guess | None] = (),
    target: Target = Target.INPUT,
) -> pb.Explanation:
    """What led to `verdict` on `text`.

    Args:
        judge: what judged.
        policy: what it judged by.
        text: what was judged.
        verdict: what was concluded.
        seen: what was seen, below the threshold too.
        guesses: what it was taken to be for, by those that were asked.
        target: what `text` was judged as.
    """
    ids = {item.id for item in seen}
    if verdict.action == pb.ACTION_BLOCK:
        # The verdict was settled before everything had been looked at.
        seen = [*seen, *(item for item in judge.complete(text, target) if item.id not in ids)]
    hits = [judge.finding(item) for item in seen]
    known = {(hit.rule, hit.view) for hit in hits}
    hits += [finding for finding in verdict.findings if (finding.rule, finding.view) not in known]
    hits.sort(key=lambda hit: hit.score, reverse=True)
    sums: dict[pb.Category.ValueType, float] = {}
    for hit in hits:
        if hit.category not in _NO_ATTACK:
            sums[hit.category] = sums.get(hit.category, 0.0) + hit.score
    return pb.Explanation(
        readings=[_reading(view.name, view.text) for view in list(readings(text))[:MAX_READINGS]],
        hits=hits[:MAX_HITS],
        score=max(sums.values(), default=0.0),
        threshold=policy.block,
        intents=[
            pb.IntentGuess(
                by=guess.by, intent=guess.intent, nearest=guess.nearest, probability=guess.probability, threshold=guess.threshold
            )
            for guess in guesses
            if guess is not None
        ],
    )


def _reading(name: str, text: str) -> pb.Reading:
    whole = text.encode("utf-8", "replace")
    return pb.Reading(name=name, text=whole[:MAX_READING_BYTES].decode("utf-8", "ignore"), bytes=len(whole))
