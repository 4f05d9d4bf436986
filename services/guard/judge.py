"""From what was seen to a verdict: rules that matched in some reading, what the trained classifier makes of it, what follows.

One score a category: the sum of its rules, and what the classifier adds. Its log odds count from `SPAN` below its threshold, where
they add nothing, up to the threshold, where they block alone; a weak rule and half a suspicion add up. Where it finds nothing at
all in a question, a rule of wording counts a little less: one alone no longer blocks, two do. So there is one threshold for
everything, the blocking score. Knows rules, readings and the classifier; not where a text came from beyond its target.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ragmesh.evidence.v1 import text_pb2
from ragmesh.evidence.v1.model_pb2 import ModelRef
from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard.classifier.classifier import InjectionClassifier, Suspicion
from services.guard.classifier.features import Kind
from services.guard.classifier.reading import read
from services.guard.detection import mention
from services.guard.detection.matcher import MAX_MATCHES, Match, Matcher
from services.guard.detection.rules import LoadedRule, Target
from services.guard.views import FOLDED, ORIGINAL, View, each_reading

MAX_FINDINGS = 32
MAX_WHOLE = 512
"""Characters up to which everything is looked for, also where it is blocked already."""
_ROUNDING = 1e-9
SPAN = 2.0
"""Log odds below the classifier's threshold at which it begins to count."""
SURE = 7.0
"""Log odds below the classifier's threshold from which it takes a question for honest."""
DOUBT = 0.2
"""What its word then takes from the score of a category of wording, as a share of the blocking score."""
_WORDED = (pb.CATEGORY_OVERRIDE, pb.CATEGORY_ROLE, pb.CATEGORY_JAILBREAK, pb.CATEGORY_PROMPT_EXTRACTION)
"""Categories that are about how something is said; code, markup and encoded text are not its to judge."""
MAX_DECODED_VIEWS = 4
"""Decoded readings that the classifier is asked about."""
MAX_DECODED_CHARACTERS = 4_096
FLUENT_BITS = 5.0
"""Bits a sign up to which a decoded reading is language; what was decoded in error is not, and looks like an optimised suffix."""
ASTRAY = 1.5
"""Log odds that a decoded reading of a passage must have more than its own words: most of them were decoded in error."""
SOUP_BITS = 4.7
"""Bits a sign from which a suspicious stretch is an optimised suffix rather than words."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What stands for a rule where the classifier decided."""

    category: pb.Category.ValueType
    model: ModelRef


@dataclass(frozen=True, slots=True)
class Sighting:
    """A rule at its strongest place in a text, or the stretch that the classifier finds most suspicious."""

    rule: LoadedRule | Learned
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
        """What was seen."""
        return self.view.text[self.start : self.end]

    @property
    def id(self) -> str:
        """The rule's; empty where the classifier saw it."""
        return "" if isinstance(self.rule, Learned) else self.rule.rule.id

    @property
    def severity(self) -> pb.Severity.ValueType:
        """Of the rule; the classifier's word is no rule's."""
        return pb.SEVERITY_MEDIUM if isinstance(self.rule, Learned) else self.rule.rule.severity.to_proto()


class Judge:
    """Judges texts by rules and by the classifier.

    Args:
        matcher: the compiled rules.
        block: a category whose findings sum up to this blocks.
        flag: a category whose findings sum up to this is recorded.
        classifier: asked about questions and passages; None: rules alone.
        question: calibrated probability from which the classifier blocks a question alone; None: its own threshold.
        document: the same for a passage.
        passing: categories that the policy does not block: what is found in them leaves nothing settled.
    """

    def __init__(
        self,
        matcher: Matcher,
        *,
        block: float,
        flag: float,
        classifier: InjectionClassifier | None = None,
        question: float | None = None,
        document: float | None = None,
        passing: Collection[pb.Category.ValueType] = (),
    ) -> None:
        self._passing = frozenset(passing)
        self._matcher = matcher
        self._block = block
        self._flag = flag
        self._classifier = classifier
        own = classifier.threshold if classifier is not None else 0.5
        self._from: dict[Kind, float] = {
            "question": _log_odds(own if question is None else question),
            "document": _log_odds(own if document is None else document),
        }

    def without_classifier(self) -> Judge:
        """The same rules, alone."""
        return Judge(self._matcher, block=self._block, flag=self._flag, passing=self._passing)

    def question(self, text: str) -> tuple[pb.Verdict, list[Sighting]]:
        """The verdict on a question, and what it rests on."""
        seen, honest = self._seen(text, Target.INPUT)
        return self._by_sum(seen, DOUBT * self._block if honest else 0.0), seen

    def passage(self, text: str) -> tuple[pb.Verdict, list[Sighting]]:
        """The verdict on a passage of a document: an order of high severity that is meant blocks, and the classifier.

        A text about prompts or security quotes such orders or reports them; it passes, flagged.
        """
        seen, _ = self._seen(text, Target.DOCUMENT)
        verdict = self._by_sum(seen)
        grave = [item for item in seen if self._holds_back(item)]
        if grave:
            verdict.action = pb.ACTION_BLOCK
            verdict.category = grave[0].rule.category
        elif verdict.action == pb.ACTION_BLOCK:
            verdict.action = pb.ACTION_FLAG
        return verdict, seen

    def draft(self, text: str) -> tuple[pb.Verdict, list[Sighting]]:
        """The verdict on a segment of a draft: markup that acts, and the assistant's own instructions."""
        _, seen = self._look(text, Target.OUTPUT)
        return self._by_sum(seen), seen

    def complete(self, text: str, target: Target) -> list[Sighting]:
        """Everything that the rules for `target` see, also what no longer changes the verdict."""
        return self._look(text, target, complete=True)[1]

    def _seen(self, text: str, target: Target) -> tuple[list[Sighting], bool]:
        """What was seen, and whether the classifier takes the text for honest."""
        views, seen = self._look(text, target)
        learned, honest = self._learned(views, target, seen)
        return ([learned, *seen] if learned is not None else seen), honest

    def _look(self, text: str, target: Target, *, complete: bool = False) -> tuple[list[View], list[Sighting]]:
        """The readings that were looked at, the original first, and each rule at its strongest place in them."""
        best: dict[str, Sighting] = {}
        views = each_reading(text)
        looked = [next(views)]
        certain: set[str] = set()
        long = len(text) > MAX_WHOLE
        told = 0
        for view in _folded_first(looked[0], views):
            if view is not looked[0]:
                looked.append(view)
            speech = mention.Speech(view.text)
            # As much as a rule can say, it says but once; words that stand in the original are shown there.
            known = certain.copy() if view is not looked[0] else ()
            for match in self._matcher.matches(view.text, target, known):
                told += 1
                sighting = _weigh(match, view, speech, target)
                name = match.rule.rule.id
                if name not in best or _stronger(sighting, best[name]):
                    best[name] = sighting
                    if sighting.meant and sighting.order and sighting.score >= match.rule.rule.score:
                        certain.add(name)
                full = long or told >= MAX_MATCHES or len(best) >= MAX_FINDINGS
                if full and not complete and self._settled(best, target):
                    return looked, _gravest(best.values())
        return looked, _gravest(best.values())

    def _settled(self, best: Mapping[str, Sighting], target: Target) -> bool:
        """Whether it is blocked, whatever else is seen."""
        counted = [item for item in best.values() if item.rule.category not in self._passing]
        if target is Target.DOCUMENT:
            return any(self._holds_back(item) for item in counted)
        doubt = DOUBT * self._block if target is Target.INPUT and self._classifier is not None else 0.0
        return max(_sums(counted).values(), default=0.0) >= self._block + doubt - _ROUNDING

    def _learned(self, views: Sequence[View], target: Target, seen: Sequence[Sighting]) -> tuple[Sighting | None, bool]:
        """What the classifier finds most suspicious, where it counts; and whether it finds nothing at all."""
        if self._classifier is None:
            return None, False
        kind: Kind = "document" if target is Target.DOCUMENT else "question"
        text = views[0].text
        # Who asks what quoted words mean is judged by his own.
        own = mention.without_quotations(text) if kind == "question" and mention.about_words(text) else text
        own = read(own, kind)
        found = [(self._classifier.most(own, kind), views[0])]
        for view in [one for one in views if one.name not in (ORIGINAL, FOLDED)][:MAX_DECODED_VIEWS]:
            suspicion = self._classifier.most(view.text[:MAX_DECODED_CHARACTERS], kind)
            if kind == "document":
                suspicion = replace(suspicion, log_odds=suspicion.log_odds - ASTRAY)
            if suspicion.bits < FLUENT_BITS:
                found.append((suspicion, view))
        suspicion, view = max(found, key=lambda one: one[0].log_odds)
        start, end = (0, len(text)) if view is views[0] and own != text else (suspicion.start, suspicion.end)
        share = 1 + (suspicion.log_odds - self._from[kind]) / SPAN
        if share <= 0:
            return None, suspicion.log_odds < self._from[kind] - SURE
        rule = Learned(_category(suspicion, kind, seen), self._classifier.ref)
        end = min(end, len(view.text))
        return Sighting(rule, view, min(start, end), end, min(share, 1.0) * self._block, meant=True, order=True), False

    def _by_sum(self, seen: Sequence[Sighting], doubt: float = 0.0) -> pb.Verdict:
        sums = _sums(seen)
        verdict = pb.Verdict(action=pb.ACTION_ALLOW, findings=[self.finding(item) for item in _gravest(seen)[:MAX_FINDINGS]])
        # Only what stands in the words as they were given: the classifier read no other reading of them as the rules did.
        hidden = {item.rule.category for item in seen if item.view.name != ORIGINAL}
        doubted = {key for key in sums if doubt and key in _WORDED and key not in hidden}
        if sums:
            category = max(sums, key=lambda key: sums[key] - (doubt if key in doubted else 0.0))
            if max(sums.values()) >= self._flag - _ROUNDING:
                blocked = sums[category] - (doubt if category in doubted else 0.0) >= self._block - _ROUNDING
                verdict.action = pb.ACTION_BLOCK if blocked else pb.ACTION_FLAG
                verdict.category = category
        return verdict

    def finding(self, item: Sighting) -> pb.Finding:
        """What was seen, as the contract has it."""
        start = len(item.view.text[: item.start].encode("utf-8", "replace"))
        end = start + len(item.words.encode("utf-8", "replace"))
        return pb.Finding(
            rule=item.id,
            category=item.rule.category,
            severity=item.severity,
            range=text_pb2.TextRange(start=start, end=end),
            view=item.view.name,
            score=item.score,
            threshold=self._block,
            model=item.rule.model if isinstance(item.rule, Learned) else None,
            digest=item.rule.model.weights_sha256 if isinstance(item.rule, Learned) else self._matcher.digest,
        )

    def _holds_back(self, item: Sighting) -> bool:
        if isinstance(item.rule, Learned):
            return item.score >= self._block - _ROUNDING
        return item.severity == pb.SEVERITY_HIGH and item.meant and item.order


def _category(suspicion: Suspicion, kind: Kind, seen: Sequence[Sighting]) -> pb.Category.ValueType:
    """The category that the rules point to; without any, what the stretch looks like."""
    if kind == "document":
        return pb.CATEGORY_INDIRECT
    if seen:
        return max(seen, key=lambda item: item.score).rule.category
    return pb.CATEGORY_OPTIMISED_SUFFIX if suspicion.bits > SOUP_BITS else pb.CATEGORY_JAILBREAK


def _log_odds(probability: float) -> float:
    inside = min(max(probability, 1e-9), 1 - 1e-9)
    return math.log(inside / (1 - inside))


def _folded_first(original: View, rest: Iterator[View]) -> Iterator[View]:
    """The original and the others: what is folded shows most, and may settle it."""
    second = None if original.text.isascii() else next(rest, None)
    if second is None:
        yield original
    else:
        yield from (second, original) if second.name == FOLDED else (original, second)
    yield from rest


def _sums(seen: Iterable[Sighting]) -> dict[pb.Category.ValueType, float]:
    """Score of each category. Words that are only spoken about count once, however many rules know them."""
    meant: dict[pb.Category.ValueType, float] = {}
    mentioned: dict[pb.Category.ValueType, float] = {}
    for item in seen:
        category = item.rule.category
        if item.meant:
            meant[category] = meant.get(category, 0.0) + item.score
        else:
            mentioned[category] = max(mentioned.get(category, 0.0), item.score)
    return {category: meant.get(category, 0.0) + mentioned.get(category, 0.0) for category in meant | mentioned}


def _stronger(item: Sighting, other: Sighting) -> bool:
    """Whether `item` tells more than `other` of the same rule; as strong, in the text as it was given."""
    return (*_weight(item), item.view.name == ORIGINAL) > (*_weight(other), other.view.name == ORIGINAL)


def _weigh(match: Match, view: View, speech: mention.Speech, target: Target) -> Sighting:
    rule = match.rule
    meant = True
    if rule.quotable:
        # A document that quotes an order reports it; in a question the quotation alone proves nothing.
        about = speech.quoted if target is Target.DOCUMENT else speech.mentioned
        meant = not about(match.start, match.end)
    if rule.code and meant and target is Target.INPUT:
        meant = not speech.about_code(match.start, match.end)
    score = match.score if meant else match.score * mention.MENTIONED
    order = not rule.quotable or speech.is_order(match.start)
    return Sighting(rule, view, match.start, match.end, score, meant, order)


def _weight(item: Sighting) -> tuple[int, bool, bool, float]:
    return item.severity, item.meant, item.order, item.score


def _gravest(seen: Iterable[Sighting]) -> list[Sighting]:
    """The gravest first."""
    return sorted(seen, key=_weight, reverse=True)
