"""Small talk and questions as the shipped classifier knows them, in this process: what it is sure of, and nothing else.

It is trained by `training/intent_classifier_recipe.py` from the examples of the served head, which is more exact: what this one is
not sure of is the other's to say. Knows no model server and no policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.guard.understanding.classifier import IntentClassifier
from services.guard.understanding.words import WordVectors

DEFAULT = Path(__file__).parent / "weights" / "intents.npz"
QUESTION = "question"
SURE = 0.98
"""From which probability on it is sure. On the validation rows it then loses no small talk and swallows no question."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What a classifier took a text to be for."""

    by: str
    """`small_talk` or `policy`."""
    intent: str
    """Empty where it is not sure."""
    nearest: str
    probability: float
    """Of `nearest`."""
    threshold: float


class Sure:
    """Says what a short text is for where it is sure.

    Args:
        classifier: of `question` and kinds of small talk.

    Raises:
        ValueError: it knows no questions.
    """

    def __init__(self, classifier: IntentClassifier) -> None:
        self._labels = classifier.labels
        if QUESTION not in classifier.labels:
            raise ValueError(f"a classifier that knows no {QUESTION}")
        self._question = classifier.labels.index(QUESTION)
        self._classifier = classifier

    @classmethod
    def load(cls, words: WordVectors, path: Path = DEFAULT) -> Sure:
        """The one that the project ships.

        Raises:
            IntentError: the file is missing or not such weights.
        """
        return cls(IntentClassifier.load(path, words))

    def understand(self, text: str) -> Guess:
        """What `text` is for: a question, or one kind of small talk, if it is sure that it is no question."""
        found = self._classifier.probabilities(text)
        asking = float(found[self._question])
        best = int(found.argmax())
        sure = asking >= SURE or (1 - asking >= SURE and best != self._question)
        return Guess("small_talk", self._labels[best] if sure else "", self._labels[best], float(found[best]), SURE)
