"""What an assistant is for, learnt from the phrases of its policy: a question that is like none of them is out of scope.

Knows names and phrases; not what follows from it for a question.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.guard.understanding.classifier import OUT_OF_SCOPE, IntentClassifier
from services.guard.understanding.sure import Guess
from services.guard.understanding.words import WordVectors

MAX_SECONDS = 60.0
"""Of computing, to learn them."""


class Scope:
    """Understands a question by the intents and topics of a policy.

    Args:
        classifier: what was learnt.
    """

    def __init__(self, classifier: IntentClassifier) -> None:
        self._classifier = classifier

    @classmethod
    def learn(cls, phrases: Mapping[str, tuple[str, ...]], words: WordVectors, seconds: float = MAX_SECONDS) -> Scope:
        """Learns from phrases by name; those of `OUT_OF_SCOPE` say what is not meant.

        Raises:
            IntentError: there are fewer than two names, or learning takes too long.
        """
        pairs = [(phrase, name) for name, texts in sorted(phrases.items()) for phrase in texts]
        return cls(IntentClassifier.learn(pairs, words, seconds=seconds))

    def understand(self, text: str) -> Guess:
        """What `text` is for: one of the names, or `OUT_OF_SCOPE`."""
        found = self._classifier.understand(text)
        return Guess("policy", found.intent, found.nearest, found.probability, self._classifier.threshold)

    def covers(self, text: str) -> bool:
        """Whether `text` is for one of the names."""
        return self.understand(text).intent != OUT_OF_SCOPE
