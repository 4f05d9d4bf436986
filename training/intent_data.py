"""What the small talk head is trained and graded on: hand-written utterances, made untidy as people write; many sets' questions.

Questions are the negatives: lists of them, dialogue turns that are about something, and frames that look like small talk around any
term. This module does not know the network.
"""

from __future__ import annotations

import csv
import io
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from ragmesh_models.intents import LABELS, MAX_CHARS, tokens_of

from training import reading_sets
from training.intent_phrases import Phrases
from training.open_text import documents
from training.sources import DataFolder
from training.splits import held_out

UTTERANCES = Path(__file__).with_name("intent_utterances.yaml")
TEST_UTTERANCES = Path(__file__).with_name("intent_test.yaml")
LANGUAGES = ("en", "de")
# Of several intents in one utterance the one that asks for most decides, as in services/guard.
BY_WEIGHT = ("capabilities", "identity", "wellbeing", "goodbye", "thanks", "greeting")
# Given names stand for any name, so that none of them is a word of small talk.
NAMES = ("anna", "peter", "thomas", "lisa", "chatcbd", "chatgpt")
_MORE_NAMES = (
    "Jana",
    "Ravi",
    "Mehmet",
    "Olga",
    "Kim",
    "Sofia",
    "Jürgen",
    "Li",
    "Fatima",
    "Dave",
    "Ines",
    "Björn",
    "Yuki",
    "Carlos",
)
# Of the drawn small talk this share comes from the guard's phrases.
PHRASED = 0.4
_EMOJI = ("🙂", "😊", "👋", "🙏", "😀", "❤️", "👍", "🤖", "😅", ":)", ";-)", "^^")
_ENDS = ("", "", "", ".", "!", "!!", "?", "??", "...", " ?", " !", "?!")


@dataclass(frozen=True)
class Utterance:
    text: str
    label: str
    language: str
    source: str


def key_of(text: str) -> str:
    return " ".join(tokens_of(text))


class Written:
    """The hand-written file."""

    def __init__(self, path: Path = UTTERANCES) -> None:
        self.path = path
        self._file: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        rows = [
            Utterance(line.strip(), label, language, "written")
            for language in LANGUAGES
            for label, lines in self._file[language].items()
            for line in lines.splitlines()
            if line.strip()
        ]
        self.training = [row for row in rows if not held_out(key_of(row.text))]
        self.held_out = [row for row in rows if held_out(key_of(row.text))]

    def frames(self, language: str) -> list[str]:
        return list(self._file["frames"][language])

    def openings(self, language: str) -> list[str]:
        return list(self._file["openings"][language])

    def around(self, language: str) -> list[tuple[str, str]]:
        """(after, before) the utterance; one of the two is empty."""
        return [(after, before) for after, before in self._file["around"][language]]

    def vocabulary(self) -> list[str]:
        """The words of small talk: of the training utterances and of the guard's phrases."""
        texts = [row.text for row in self.training if row.label != "question"]
        texts += [part for language in LANGUAGES for pair in self.around(language) for part in pair]
        words = {token for text in texts for token in tokens_of(text) if token.isalpha()} | Phrases().words()
        return sorted(words - set(NAMES))


def graded_utterances() -> list[Utterance]:
    """Utterances that were never trained or tuned on, without those that somebody wrote twice."""
    trained = {key_of(row.text) for row in Written().training}
    test = Written(TEST_UTTERANCES)
    return [row for row in test.training + test.held_out if key_of(row.text) not in trained]


def _misspelt(text: str, rng: random.Random) -> str:
    words = text.split(" ")
    long = [index for index, word in enumerate(words) if len(word) >= 4 and word.isalpha()]
    if not long:
        return text
    index = rng.choice(long)
    word = words[index]
    at = rng.randrange(1, len(word) - 1)
    near = word[:at] + rng.choice("aeiourstn") + word[at + 1 :]
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    words[index] = rng.choice((swapped, word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:], near))
    return " ".join(words)


def untidy(text: str, language: str, rng: random.Random) -> str:
    """The text as somebody in a hurry writes it: names, slips, case, punctuation, emoji, umlauts spelt out."""
    for name in NAMES[:4]:
        if name.capitalize() in text and rng.random() < 0.8:
            text = text.replace(name.capitalize(), rng.choice(_MORE_NAMES))
    if rng.random() < 0.2:
        text = _misspelt(text, rng)
    if rng.random() < 0.5:
        text = text.rstrip("?!. ") + rng.choice(_ENDS) if any(c.isalnum() for c in text) else text
    if language == "de" and rng.random() < 0.2:
        for umlaut, spelt in (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ß", "ss")):
            text = text.replace(umlaut, spelt)
    if rng.random() < 0.1:
        emoji = rng.choice(_EMOJI)
        text = f"{text} {emoji}" if rng.random() < 0.7 else f"{emoji} {text}"
    chance = rng.random()
    if chance < 0.1:
        text = text.upper()
    elif chance < 0.4:
        text = text[:1].upper() + text[1:]
    return text


class Small:
    """Draws small talk: one utterance or two, with something around it, untidy."""

    def __init__(self, written: Written) -> None:
        self._rows = {
            (language, label): [row.text for row in written.training if (row.language, row.label) == (language, label)]
            for language in LANGUAGES
            for label in LABELS[1:]
        }
        self._around = {language: written.around(language) for language in LANGUAGES}
        self._phrases = Phrases()
        self._held_out = {key_of(row.text) for row in written.held_out}

    def draw(self, rng: random.Random) -> Utterance:
        drawn = self.draw_tidy(rng)
        return replace(drawn, text=untidy(drawn.text, drawn.language, rng))

    def draw_tidy(self, rng: random.Random) -> Utterance:
        if rng.random() < PHRASED:
            text, label, language = self._phrases.draw(rng)
            if key_of(text) not in self._held_out:
                return Utterance(text, label, language, "phrases")
        language = "en" if rng.random() < 0.6 else "de"
        label = rng.choice(LABELS[1:])
        text = rng.choice(self._rows[language, label])
        if rng.random() < 0.15:
            # "danke für die Hilfe" is thanks: the two never stand side by side without a word between them.
            unlike = {"thanks": "capabilities", "capabilities": "thanks"}.get(label)
            other = rng.choice([name for name in LABELS[1:] if name != unlike])
            more = rng.choice(self._rows[language, other])
            first, second = (text, more) if BY_WEIGHT.index(label) <= BY_WEIGHT.index(other) else (more, text)
            # People greet first and ask then; goodbyes come last.
            joined = [second, first] if rng.random() < 0.9 else [first, second]
            text = rng.choice((", ", " ", ". ", "! ")).join(part.rstrip("?!.") for part in joined)
            label = min((label, other), key=BY_WEIGHT.index)
        if rng.random() < 0.25:
            after, before = rng.choice(self._around[language])
            text = " ".join(part for part in (before, text, after) if part)
        return Utterance(text, label, language, "written")


class Hard:
    """Draws questions that look like small talk: frames around terms, openings before questions, the hand-written ones."""

    def __init__(self, written: Written, questions: list[Utterance], terms: dict[str, list[str]]) -> None:
        self._written = written
        self._own = [row for row in written.training if row.label == "question"]
        self._questions = {language: [row.text for row in questions if row.language == language] for language in LANGUAGES}
        self._questions["de"] += [row.text for row in self._own if row.language == "de"]
        self._terms = terms
        self._phrases = Phrases()

    def _framed(self, language: str, rng: random.Random) -> str:
        text = rng.choice(self._written.frames(language))
        while "{x}" in text:
            text = text.replace("{x}", rng.choice(self._terms[language]), 1)
        return text

    def draw(self, rng: random.Random) -> Utterance:
        language = "en" if rng.random() < 0.6 else "de"
        chance = rng.random()
        if chance < 0.04:
            # "ok", "ja, gut": what surrounds small talk is none by itself.
            text = self._phrases.filler(rng)
        elif chance < 0.35:
            text = rng.choice([row.text for row in self._own if row.language == language])
        elif chance < 0.7:
            text = self._framed(language, rng)
        else:
            text = rng.choice(self._questions[language]) if rng.random() < 0.5 else self._framed(language, rng)
            text = f"{rng.choice(self._written.openings(language))} {text}"
        return Utterance(untidy(text, language, rng), "question", language, "hard")


def terms(data: DataFolder) -> dict[str, list[str]]:
    """What questions are about, by language: glossary terms of the open text, MedQuAD's topics; in German capitalised words too."""
    found = {term.strip() for document in documents(data) for term, _ in document.glossary}
    found |= {row.title for row in reading_sets.med_quad(data)}
    english = sorted(term for term in found if 3 <= len(term) <= 32 and not held_out(term))
    nouns = set(re.findall(r"(?<=[a-zäöüß,] )[A-ZÄÖÜ][a-zäöüß]{3,}", data.text("guard/multilingual/pud.de.txt")))
    german = sorted(noun for noun in nouns if not held_out(noun))
    # Every fifth term of a German question is an English one.
    return {"en": english, "de": german + random.Random(0).sample(english, min(len(english), len(german) // 4))}


def _squad_questions(document: Any) -> Iterator[str]:
    for article in document["data"]:
        for paragraph in article["paragraphs"]:
            yield from (question["question"] for question in paragraph["qas"])


def _listed(data: DataFolder, name: str, use: str) -> Iterator[str]:
    """The questions of a list, whatever its format."""
    # Of all lists one is not UTF-8.
    text = data.read(name, use).decode("cp1252" if "cmu_qa" in name else "utf-8", "replace")
    if name.endswith("xquad.de.json"):
        yield from _squad_questions(json.loads(text))
    elif name.endswith(".json"):
        yield from (row["qText"] for row in json.loads(text))
    elif name.endswith(".jsonl"):
        yield from (json.loads(line)["question"] for line in text.split("\n") if line.strip())
    elif "cmu_qa" in name:
        yield from (cells[1] for line in text.splitlines()[1:] if len(cells := line.split("\t")) > 1)
    elif name.endswith(".csv"):
        yield from (row["text"] for row in csv.DictReader(io.StringIO(text)))
    else:
        yield from (line.split("\t")[0] for line in text.splitlines())


LISTS = (
    "qa/questions/webquestions_trainmodel.json",
    "qa/questions/webquestions_val.json",
    "qa/questions/query_wellformed_train.tsv",
    "qa/questions/query_wellformed_dev.tsv",
    "qa/questions/topics.dpr.nq.dev.txt",
    "qa/questions/topics.dpr.trivia.dev.txt",
    "qa/questions/cmu_qa_S08.txt",
    "qa/questions/cmu_qa_S09.txt",
    "qa/questions/cmu_qa_S10.txt",
    "guard/intent/banking77_train.csv",
)
TEST_LISTS = {
    "NQ-open (real users)": "qa/questions/NQ-open.dev.jsonl",
    "EfficientQA dev (real users)": "qa/questions/NQ-open.efficientqa.dev.1.1.jsonl",
    "EfficientQA test (real users)": "qa/questions/NQ-open.efficientqa.test.1.1.jsonl",
    "WikiAnswers (real users)": "qa/questions/query_wellformed_test.tsv",
    "WebQuestions test": "qa/questions/webquestions_test.json",
    "TriviaQA test": "qa/questions/topics.dpr.trivia.test.txt",
    "XQuAD in German": "guard/multilingual/xquad.de.json",
}


ABOUT_THE_BOT = ("ai.yml", "botprofile.yml", "emotion.yml", "gossip.yml")


def _dialogue(data: DataFolder) -> Iterator[str]:
    """Turns of people who talk about something: orders, hobbies, topics."""
    for name in data.under("qa/dialog/chatterbot/"):
        if name.rsplit("/", 1)[-1] in ABOUT_THE_BOT:
            continue
        for talk in yaml.safe_load(data.text(name))["conversations"]:
            yield str(talk[0])
    for conversation in json.loads(data.text("qa/dialog/tm4/data_00.json")):
        yield from (turn["text"] for turn in conversation["utterances"] if turn["speaker"] == "user")
    for row in csv.DictReader(io.StringIO(data.text("qa/dialog/synthetic_persona_chat_valid.csv"))):
        # They greet first and take their leave last.
        for line in row["Best Generated Conversation"].splitlines()[4:-4]:
            yield line.partition(": ")[2]
    yield from data.text("guard/multilingual/pud.de.txt").splitlines()


def questions(data: DataFolder, written: Written) -> tuple[list[Utterance], list[Utterance]]:
    """Real questions, and turns that are about something, for training and for tuning: held out by the hash of their words."""
    words = set(written.vocabulary())
    small = {key_of(row.text) for row in written.training + written.held_out if row.label != "question"}
    asked = [(text, "en", "lists") for name in LISTS for text in _listed(data, name, "train")]
    asked += [(row.question, "en", row.source) for row in reading_sets.squad(data) if not held_out(row.title)]
    asked += [(row.question, "en", row.source) for row in reading_sets.med_quad(data) if not held_out(row.title)]
    asked += [(question, "en", "lfrqa") for _, question, _ in reading_sets.long_answers(data)]
    for text in _dialogue(data):
        # A turn without a word that is strange to small talk may well be some.
        if len(tokens_of(text)) >= 4 and any(token.isalpha() and token not in words for token in tokens_of(text)):
            asked.append((text, "en", "dialogue"))
    found: dict[str, Utterance] = {}
    for text, language, source in asked:
        if len(text) <= MAX_CHARS and (key := key_of(text)) and key not in small:
            found.setdefault(key, Utterance(text, "question", language, source))
    # A turn about something is no clean example of a question: it may train, it does not tune.
    tuning = [row for key, row in found.items() if held_out(key) and row.source != "dialogue"]
    return [row for key, row in found.items() if not held_out(key)], tuning


def graded_questions(data: DataFolder) -> dict[str, list[str]]:
    """Questions of evaluation files and of held-out articles, by set."""
    apart = data.apart()
    found = {title: list(dict.fromkeys(_listed(apart, name, "evaluate"))) for title, name in TEST_LISTS.items()}
    found["SQuAD, held-out articles"] = [row.question for row in reading_sets.squad(apart) if held_out(row.title)]
    found["MedQuAD, held-out topics"] = list(
        dict.fromkeys(row.question for row in reading_sets.med_quad(apart) if held_out(row.title))
    )
    return found
