"""The table of concepts that the classifier looks words up in, of injection_concepts.yaml. Knows forms, no weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from services.guard.classifier import concepts, features
from services.guard.classifier.concepts import Concepts

FILE = Path(__file__).with_name("injection_concepts.yaml")


class ConceptError(ValueError):
    """The file holds a form that cannot be looked up."""


def names(path: Path = FILE) -> list[str]:
    """The concepts, in order; the first has number 1."""
    return list(yaml.safe_load(path.read_text(encoding="utf-8")))


def load(path: Path = FILE) -> Concepts:
    """
    Raises:
        ConceptError: a beginning has a length that is not looked at, or there are too many concepts.
    """
    file: dict[str, dict[str, str]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    if len(file) >= concepts.MOST:
        raise ConceptError(f"{path.name} has {len(file)} concepts, at most {concepts.MOST - 1} are told apart")
    found: dict[int, int] = {}
    for number, (name, forms) in enumerate(file.items(), start=1):
        for lang, text in (forms or {}).items():
            for form in str(text).split():
                plain = features.plain(form.rstrip("*")).lower()
                if "_" in plain or "-" in plain:
                    continue
                if form.endswith("*"):
                    if len(plain) < concepts.LENGTHS[0]:
                        raise ConceptError(f"{path.name}: {name}, {lang}: {form} is shorter than {concepts.LENGTHS[0]} letters")
                    value = concepts.beginning(plain[: concepts.LENGTHS[-1]])
                else:
                    value = concepts.whole(plain)
                # Where a form means two things, the concept that stands first has it.
                found.setdefault(value, number)
    hashes = np.array(sorted(found), dtype=np.uint64)
    return Concepts(hashes, np.array([found[value] for value in hashes.tolist()], dtype=np.uint8))
