"""Assistants: who speaks, and the texts that a person has reviewed for it.

One YAML file an assistant. The gateway shows name and sample questions, the generator speaks the templates, the guard compares
them word for word, and so the reader lives here. It knows neither where the texts are used nor how they are sent.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

MAX_FILE_BYTES = 64 * 1024
MAX_ASSISTANTS = 64

FALLBACK_LANGUAGE = "en"
"""Language of a reviewed text where the wanted one has none. Each text must have it."""

TEMPLATE_IDS = ("greeting", "thanks", "goodbye", "identity", "capabilities", "wellbeing", "abstain")
"""Reviewed texts that each assistant must have: one for each kind of small talk, and one for "not in the documents"."""


CLARIFY = "clarify"
"""Reviewed text that asks back where a question says too little. An assistant without it abstains there."""

_T = TypeVar("_T")


class AssistantError(ValueError):
    """A file of an assistant cannot be used; the message says which, where and why."""


def _shown_text(text: str) -> str:
    if text != text.strip() or text != unicodedata.normalize("NFC", text):
        raise ValueError("must be NFC and without space at its ends")
    if any(unicodedata.category(character).startswith("C") for character in text):
        raise ValueError("must hold no control characters and no line breaks")
    return text


Text = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_shown_text)]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
TemplateId = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,62}$")]
Texts = Annotated[dict[Language, Text], Field(min_length=1, max_length=32)]


def in_language(texts: Mapping[str, _T], tag: str) -> _T:
    """The entry for the BCP-47 `tag` (`de-AT` reads as `de`), else the one in `FALLBACK_LANGUAGE`."""
    return texts.get(tag.partition("-")[0].lower()) or texts[FALLBACK_LANGUAGE]


class Assistant(BaseModel):
    """One assistant as its owner wrote it down."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^assistants/[a-z0-9][a-z0-9-]{0,62}$")]
    """Resource name, for example `assistants/default`."""
    display_name: Annotated[Text, Field(max_length=64)]
    """What the face calls it."""
    collection: Annotated[str, Field(pattern=r"^collections/[a-z0-9][a-z0-9-]{0,62}$")]
    """What it searches."""
    persona: Texts
    """How it speaks, for an engine that composes."""
    introduction: Texts
    """What it knows, for the first visit."""
    sample_questions: dict[Language, Annotated[list[Text], Field(min_length=1, max_length=12)]]
    """Questions to click on the first visit."""
    subject: Annotated[dict[Language, Annotated[Text, Field(max_length=80)]], Field(max_length=32)] = {}
    """What it is about, as a question could name it: completes "tell me about it". Empty: such questions stay as they are."""
    disclaimer: Texts
    """What the footer says."""
    templates: Annotated[dict[TemplateId, Texts], Field(max_length=64)]
    """Reviewed texts by id and language."""

    @model_validator(mode="after")
    def _complete(self) -> Assistant:
        missing = [name for name in TEMPLATE_IDS if name not in self.templates]
        if missing:
            raise ValueError(f"templates are missing: {', '.join(missing)}")
        localised: dict[str, Mapping[str, object]] = {
            "persona": self.persona,
            "introduction": self.introduction,
            "sample_questions": self.sample_questions,
            "disclaimer": self.disclaimer,
            **{f"templates.{name}": texts for name, texts in self.templates.items()},
        }
        bare = [field for field, texts in localised.items() if FALLBACK_LANGUAGE not in texts]
        if bare:
            raise ValueError(f"no text in {FALLBACK_LANGUAGE}: {', '.join(bare)}")
        return self

    def template(self, template_id: str, language: str) -> str:
        """The reviewed text `template_id` in `language`, a BCP-47 tag; in English where it has no other.

        Raises:
            KeyError: there is no such template.
        """
        return in_language(self.templates[template_id], language)


def _load(path: Path) -> Assistant:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise AssistantError(f"{path}: more than {MAX_FILE_BYTES} bytes")
    try:
        return Assistant.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except UnicodeDecodeError as error:
        raise AssistantError(f"{path}: not UTF-8 (byte {error.start})") from None
    except yaml.YAMLError as error:
        raise AssistantError(f"{path}: {error}") from None
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg']}" for item in error.errors())
        raise AssistantError(f"{path}: {reasons}") from None


def load_assistants(folder: Path) -> dict[str, Assistant]:
    """All assistants in `folder` (`*.yaml`), by resource name.

    Raises:
        AssistantError: there is none, there are too many, a file is wrong, or two have one name.
    """
    paths = sorted(folder.glob("*.yaml"))
    if not 1 <= len(paths) <= MAX_ASSISTANTS:
        raise AssistantError(f"{folder}: needs 1 to {MAX_ASSISTANTS} files *.yaml, has {len(paths)}")
    found: dict[str, Assistant] = {}
    for path in paths:
        assistant = _load(path)
        if assistant.name in found:
            raise AssistantError(f"{path}: {assistant.name} is defined twice")
        found[assistant.name] = assistant
    return found
