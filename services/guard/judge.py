"""From matches to a verdict: which rules matched in which reading, what they add up to, what follows.

Knows rules and readings; not where a text came from beyond its target.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ragmesh.evidence.v1 import text_pb2
from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard.detection import mention
from services.guard.detection.matcher import Match, Matcher
from services.guard.detection.rules import LoadedRule, Target
from services.guard.views import View, readings

MAX_FINDINGS = 32
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Sighting:
    """A rule at its strongest place in a text."""

    rule: LoadedRule
    view: View
    start: int
    """Half-open range in characters of the view."""
    end: int
    score: float
    meant: bool
    """Whether the words are meant, not spoken about."""
    order: bool
    """Whether they are the beginning of a sentence."""

    @property
    def words(self) -> str:
        """What the rule saw."""
        return self.view.text[self.start : self.end]


class Judge:
    """Judges texts by rules.

    Args:
        matcher: the compiled rules.
        block: a category whose rules sum up to this blocks.
        flag: a category whose rules sum up to this is recorded.
    """

    def __init__(self, matcher: Matcher, *, block: float, flag: float) -> None:
        self._matcher = matcher
        self._block = block
        self._flag = flag

    def question(self, text: str) -> tuple[pb.Verdict, list[Sighting]]:
        """The verdict on a question, and what it rests on."""
        seen = self._look(text, Target.INPUT)
        return self._by_sum(seen), seen

    def passage(self, text: str) -> tuple[pb.Verdict, list[Sighting]]:
        """The verdict on a passage of a document: only an order of high severity that is meant blocks.

        A text about prompts or security quotes such orders or reports them; it passes, flagged.
        """
        seen = self._look(text, Target.DOCUMENT)
        verdict = self._by_sum(seen)
        grave = [item for item in seen if _holds_back(item)]
        if grave:
            verdict.action = pb.ACTION_BLOCK
            verdict.category = grave[0].rule.category
        elif verdict.action == pb.ACTION_BLOCK:
            verdict.action = pb.ACTION_FLAG
        return verdict, seen

    def draft(self, text: str) -> tuple[pb.Verdict, list[Sighting]]:
        """The verdict on a segment of a draft: markup that acts, and the assistant's own instructions."""
        seen = self._look(text, Target.OUTPUT)
        return self._by_sum(seen), seen

    def _look(self, text: str, target: Target) -> list[Sighting]:
        best: dict[str, Sighting] = {}
        for view in readings(text):
            for match in self._matcher.scan(view.text, target):
                sighting = _weigh(match, view, target)
                name = match.rule.rule.id
                if name not in best or _weight(sighting) > _weight(best[name]):
                    best[name] = sighting
        return sorted(best.values(), key=_weight, reverse=True)

    def _by_sum(self, seen: Iterable[Sighting]) -> pb.Verdict:
        sums: dict[pb.Category.ValueType, float] = {}
        for item in seen:
            sums[item.rule.category] = sums.get(item.rule.category, 0.0) + item.score
        verdict = pb.Verdict(action=pb.ACTION_ALLOW, findings=[self.finding(item) for item in list(seen)[:MAX_FINDINGS]])
        if sums:
            category = max(sums, key=lambda key: sums[key])
            if sums[category] >= self._flag - _ROUNDING:
                blocked = sums[category] >= self._block - _ROUNDING
                verdict.action = pb.ACTION_BLOCK if blocked else pb.ACTION_FLAG
                verdict.category = category
        return verdict

    def finding(self, item: Sighting) -> pb.Finding:
        """What was seen, as the contract has it."""
        start = len(item.view.text[: item.start].encode("utf-8", "replace"))
        end = start + len(item.words.encode("utf-8", "replace"))
        return pb.Finding(
            rule=item.rule.rule.id,
            category=item.rule.category,
            severity=item.rule.rule.severity.to_proto(),
            range=text_pb2.TextRange(start=start, end=end),
            view=item.view.name,
            score=item.score,
            threshold=self._block,
        )


def _weigh(match: Match, view: View, target: Target) -> Sighting:
    rule = match.rule
    meant = True
    if rule.quotable:
        # A document that quotes an order reports it; in a question the quotation alone proves nothing.
        about = mention.quoted if target is Target.DOCUMENT else mention.mentioned
        meant = not about(view.text, match.start, match.end)
    score = match.score if meant else match.score * mention.MENTIONED
    order = not rule.quotable or mention.is_order(view.text, match.start)
    return Sighting(rule, view, match.start, match.end, score, meant, order)


def _weight(item: Sighting) -> tuple[int, bool, bool, float]:
    return item.rule.rule.severity.to_proto(), item.meant, item.order, item.score


def _holds_back(item: Sighting) -> bool:
    return item.rule.rule.severity.to_proto() == pb.SEVERITY_HIGH and item.meant and item.order
