"""What the injection classifier is trained on: texts with the stretch that attacks, if one does.

Real data are the open jailbreaks (without the clusters that validate), open questions, chats and plain text; everything else is
drawn from patterns written here. Knows no network.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from training import injection_advice as advice
from training import injection_forms as forms
from training import injection_sources as sources
from training.injection_grammar import LANGUAGES, Grammar
from training.injection_material import Material
from training.injection_requests import Requests
from training.injection_second import Applications
from training.injection_sources import Kind, Text
from training.sources import DataFolder

DRAWN: dict[str, Any] = {
    "attacks": {"en": 3_600, "other": 1_000},
    "benign": {"en": 2_500, "other": 700},
    "application": 2_500,
    "second": 4_000,
    "suffix": 7_000,
    "jailbreaks": 8,
    "asked": 14_000,
    "passages": 5_000,
    "documents": 9_000,
    "own": 4,
    "repeated": 800,
    "advice": 2_000,
    "faq": 6_000,
    "numbered": 2_000,
}
_FAMILIES = {"override": 5, "extraction": 5, "persona": 4, "hijack": 5, "authority": 2, "delimiter": 2, "smuggle": 2,
             "subtle": 3, "pressure": 5, "favour": 2, "debug": 3, "renewed": 3, "forced": 3, "exfil": 3, "channel": 3,
             "steps": 3, "memory": 3, "consensus": 3}  # fmt: skip


@dataclass(frozen=True)
class Example:
    """A text and the stretch of it that is judged."""

    text: str
    attack: bool
    kind: Kind
    source: str
    payload: tuple[int, int] | None = None
    """Half-open range in characters of what attacks in a document; None in one that does not."""


class Drawing:
    """Draws examples, the same for the same seed."""

    def __init__(self, data: DataFolder, material: Material, seed: int, *, held_out: bool = False) -> None:
        self._rng = random.Random(seed)
        self._material = material
        self._prose: dict[str, list[str]] = {}
        for row in sources.sentences(data, held_out=False):
            self._prose.setdefault(row.lang, []).append(row.text)
        self._grammars = {
            lang: Grammar(lang, self._rng, material.questions if lang == "en" else self._prose.get(lang, material.questions))
            for lang in LANGUAGES
        }
        self._requests = Requests(self._rng, material)
        self._applications = Applications(self._rng, material)
        self._tasks = [task for found in sources.tasks(data, held_out=held_out).values() for task in found]

    def _honest(self, lang: str) -> str:
        rng = self._rng
        if lang == "en":
            return self._requests.draw() if rng.random() < 0.3 else rng.choice(self._material.questions)
        if lang in self._prose and rng.random() < 0.5:
            return rng.choice(self._prose[lang])
        return self._grammars[lang].benign()

    def _attack(self, lang: str, family: str | None = None) -> str:
        grammar = self._grammars[lang]
        known = {name: weight for name, weight in _FAMILIES.items() if name in grammar.families}
        return grammar.attack(family or self._rng.choices(list(known), list(known.values()))[0])

    def attacks(self, lang: str, count: int) -> list[Example]:
        """Attacks alone, and beside honest words."""
        found = []
        for _ in range(count):
            text = self._attack(lang)
            place = self._rng.random()
            if place < 0.22:
                text = forms.around(self._rng, text, self._honest(lang))
            elif place < 0.34:
                text = forms.around(self._rng, text, self._attack(lang))
            elif place < 0.40 and lang != "en":
                text = forms.around(self._rng, text, self._honest("en"))
            found.append(Example(text, True, "question", f"drawn:{lang}"))
        return found

    def benign(self, lang: str, count: int) -> list[Example]:
        """Honest texts with an attack's words, and plain ones."""
        grammar = self._grammars[lang]
        found = []
        for _ in range(count):
            text = grammar.benign()
            if self._rng.random() < 0.3:
                text = forms.around(self._rng, text, self._honest(lang))
            found.append(Example(text, False, "question", f"drawn:{lang}"))
        return found

    def applications(self, count: int) -> list[Example]:
        """Prompts of applications, every second with an injection."""
        found, rng = [], self._rng
        for index in range(count):
            injected = None
            if index % 2:
                draw = rng.random()
                order = self._task()
                if draw < 0.1:
                    injected = order
                elif draw < 0.4:
                    injected = f"{self._attack('en', 'override')} {order}"
                elif draw < 0.66:
                    injected = forms.completed(rng, order)
                else:
                    injected = self._attack(
                        "en", rng.choice(("hijack", "hijack", "hijack", "override", "delimiter", "extraction", "subtle"))
                    )
            text = forms.application(rng, self._material.passages, self._material.questions, injected)
            found.append(Example(text, injected is not None, "question", "application"))
        return found

    def written(self, count: int) -> list[Example]:
        """Prompts of applications from injection_second.yaml: two of five with words of an attack and a task, the others honest."""
        found, rng = [], self._rng
        for index in range(count):
            if index % 5 > 1:
                found.append(Example(self._applications.honest(), False, "question", "application"))
                continue
            family = rng.choice(("override", "override", "hijack", "renewed", "forced", "delimiter", "extraction", "subtle"))
            attack = self._attack("en", family)
            if family == "override" and rng.random() < 0.7:
                task = self._applications.task()
                attack = f"{attack} {rng.choice(('', '', 'Please ', 'Now ', 'Instead, '))}{task}"
            found.append(Example(self._applications.injected(attack), True, "question", "application"))
        return found

    def _task(self) -> str:
        """Something that an assistant could be asked to do; honest by itself."""
        draw = self._rng.random()
        if draw < 0.25:
            return self._rng.choice(self._tasks)
        if draw < 0.45:
            return self._requests.draw()
        return self._grammars["en"].order() if draw < 0.8 else self._rng.choice(self._material.questions)

    def own(self, times: int) -> list[Example]:
        """Lines of our own attack set that do not validate, each alone and beside honest words."""
        found = []
        for row in sources.own_attacks(held_out=False):
            for number in range(times):
                text = row.text if number < 2 else forms.around(self._rng, row.text, self._honest(row.lang))
                kind: Kind = "question" if row.family != "indirect" or number % 2 else "document"
                if kind == "question":
                    found.append(Example(text, True, kind, "own"))
                    continue
                lines, glue = self._document()
                found.append(self._hidden(lines, glue, row.text))
        return found

    def suffixes(self, count: int) -> list[Example]:
        """Requests with an optimised suffix."""
        found = []
        rng = self._rng
        for _ in range(count):
            draw = rng.random()
            asked = (
                rng.choice(self._material.questions) if draw < 0.5 else self._task() if draw < 0.75 else self._grammars["en"].harm()
            )
            searched = forms.suffix if rng.random() < 0.8 else forms.soup
            found.append(Example(f"{asked} {searched(rng, self._material.words)}", True, "question", "suffix"))
        return found

    def jailbreaks(self, rows: list[Text], times: int) -> list[Example]:
        """Each as a whole, and pieces of the long ones."""
        found = []
        for row in rows:
            found += [Example(row.text, True, "question", row.source)] * (2 if len(row.text) < 400 else times // 2)
            parts = row.text.split("\n")
            for _ in range(times // 2 if len(parts) > 3 else 0):
                first = self._rng.randint(0, len(parts) // 3)
                found.append(Example("\n".join(parts[first : first + max(3, len(parts) // 2)]), True, "question", row.source))
        return found

    def honest(self, questions: int, passages: int) -> list[Example]:
        """Questions, plain text, text to work on, and tasks by themselves."""
        rng, material = self._rng, self._material
        found = [Example(rng.choice(material.questions), False, "question", "asked") for _ in range(questions)]
        for _ in range(passages):
            text = rng.choice(material.passages)
            draw = rng.random()
            if draw < 0.15:
                sentences = [f"{one}." for one in text.replace("\n", " ").split(". ")]
                text = forms.page(rng, sentences, material.titles, material.words, material.questions)
            elif draw < 0.3:
                text = f"{self._grammars['en'].benign()}\n{text}"
            elif draw < 0.5:
                text = f"{rng.choice(material.questions)}\n\n{text}\n{rng.choice(material.passages)}"
            elif draw < 0.6:
                text = "\n".join(forms.table(rng, material.words))
            elif draw < 0.7:
                text = "\n".join(rng.sample(material.questions, rng.randint(2, 6)))
            found.append(Example(text, False, "question", "passages"))
        found += [Example(self._requests.draw(), False, "question", "requests") for _ in range(round(questions * 0.9))]
        found += [Example(self._requests.brief(), False, "question", "requests") for _ in range(questions // 2)]
        found += [Example(rng.choice(material.exercises), False, "question", "exercises") for _ in range(questions // 4)]
        found += [
            Example(f"{rng.choice(material.questions)} {self._requests.blob()}", False, "question", "blobs")
            for _ in range(questions // 12)
        ]
        found += [Example(self._task(), False, "question", "tasks") for _ in range(questions // 6)]
        found += [Example(text, False, "question", f"pud:{lang}") for lang, texts in self._prose.items() for text in texts]
        return found

    def advice(self, count: int) -> list[Example]:
        """Honest pages of headings and advice; half of them in English."""
        found, rng = [], self._rng
        for _ in range(count):
            lang = "en" if rng.random() < 0.5 else rng.choice(LANGUAGES)
            text = advice.page(rng, lang, rng.choice(self._material.titles))
            if rng.random() < 0.5:
                headings = rng.sample(self._material.headings, 4)
                text = "\n".join([*headings[:2], "", text, *headings[2:], rng.choice(self._material.passages)[:600]])
            found.append(Example(text, False, "document", "advice"))
        return found

    def faq(self, count: int) -> list[Example]:
        """Honest questions and titles, as a passage of their own, below one another, and above what answers them."""
        return [Example(self._faq(), False, "document", "faq") for _ in range(count)]

    def _faq(self) -> str:
        rng, material = self._rng, self._material
        lang = "en" if rng.random() < 0.45 else rng.choice(LANGUAGES)

        def asked() -> str:
            draw = rng.random()
            if draw < 0.1:
                return advice.heading(rng, lang)
            if draw < 0.2 and lang == "en":
                return rng.choice(material.headings if rng.random() < 0.5 else material.titles)
            return advice.question(rng, lang, rng.choice(material.titles) if lang == "en" and draw < 0.35 else None)

        draw, mark = rng.random(), rng.choice(("", "", "", "# ", "## ", "### ", "- ", "1. ", "Q: "))
        if draw < 0.45:
            return f"{mark}{asked()}"
        if draw < 0.6:
            return "\n".join(f"{mark}{asked()}" for _ in range(rng.randint(2, 6)))
        if draw < 0.75:
            told = [advice.report(rng, lang) for _ in range(rng.choice((1, 1, 2, 3)))]
            return rng.choice((" ", "\n")).join([*([asked()] if rng.random() < 0.3 else []), *told])
        lines = [asked()] if rng.random() < 0.5 else []
        for _ in range(rng.randint(1, 3)):
            prose = material.passages if lang == "en" else self._prose.get(lang, material.titles)
            below = " ".join(rng.choices(prose, k=1 if lang == "en" else 2))[:400]
            lines += [f"{mark}{asked()}", *([""] if rng.random() < 0.5 else []), below]
        return "\n".join(lines)

    def numbered(self, count: int) -> list[Example]:
        """Honest notes, entries, pages and the like with a number: alone, in front of a text, below the path of their document."""
        return [Example(self._numbered(), False, "document", "numbered") for _ in range(count)]

    def _numbered(self) -> str:
        rng, material = self._rng, self._material
        lang = "en" if rng.random() < 0.45 else rng.choice(LANGUAGES)
        prose = material.passages if lang == "en" else self._prose.get(lang, material.titles)
        label, number = advice.label(rng, lang), rng.choice((rng.randint(1, 20), rng.randint(1, 120), rng.randint(1, 9_999)))
        lines = []
        if rng.random() < 0.6:
            named = advice.numbered(rng, lang, label, number)
            lines = [*([rng.choice(material.titles)] if rng.random() < 0.3 else []), named, *([""] if rng.random() < 0.7 else [])]
        for step in range(rng.choice((1, 1, 1, 2, 4))):
            titled = label if rng.random() < 0.7 else advice.label(rng, lang)
            told = rng.choice(prose).split(". ")[0][:200] if rng.random() < 0.75 else ""
            lines.append(f"{advice.numbered(rng, lang, titled, number + step)}{rng.choice((' ', ' ', chr(10)))}{told}".strip())
        return "\n".join(lines)

    def repeated(self, count: int) -> list[Example]:
        """Something honest, over and over: what is nowhere suspicious adds up to nothing suspicious."""
        return [Example(self._over_and_over(), False, "question", "repeated") for _ in range(count)]

    def _over_and_over(self) -> str:
        rng, draw = self._rng, self._rng.random()
        if draw < 0.3:
            text = " ".join(rng.choices(self._material.words, k=rng.randint(1, 4)))
        elif draw < 0.6:
            text = rng.choice(rng.choice(self._material.passages).split(". "))[:120]
        else:
            text = self._honest(rng.choice(LANGUAGES))[:200]
        return rng.choice((" ", ". ", "\n", "! ")).join([text] * rng.randint(3, 60))

    def documents(self, count: int) -> list[Example]:
        """Documents, two of three with an instruction hidden in them."""
        found = []
        for index in range(count):
            parts = self._document()
            if index % 3 == 0:
                found.append(Example(parts[1].join(parts[0]), False, "document", "documents"))
                continue
            payload = self._payload()
            found.append(self._hidden(*parts, payload))
        return found

    def _hidden(self, lines: list[str], glue: str, payload: str) -> Example:
        """A document with an instruction at its beginning, its end, or anywhere."""
        at = self._rng.choice((0, len(lines), self._rng.randint(0, len(lines))))
        before = glue.join(lines[:at])
        start = len(before) + len(glue) if at else 0
        text = glue.join([*lines[:at], payload, *lines[at:]])
        return Example(text, True, "document", "documents", (start, start + len(payload)))

    def _payload(self) -> str:
        rng = self._rng
        draw = rng.random()
        if draw < 0.22:
            return rng.choice(self._tasks)
        if draw < 0.62:
            return self._grammars["en"].attack("indirect")
        if draw < 0.78:
            lang = rng.choice([one for one in LANGUAGES if one != "en"])
            return self._grammars[lang].attack(rng.choice(("indirect", "override", "hijack")))
        if draw < 0.9:
            return self._attack("en", rng.choice(("override", "hijack", "extraction", "authority", "delimiter")))
        return f"{self._attack('en', 'override')} {self._task()}"

    def _document(self) -> tuple[list[str], str]:
        """Pieces of a document and what joins them."""
        rng, material = self._rng, self._material
        draw = rng.random()
        if draw < 0.14:
            return forms.table(rng, material.words), "\n"
        if draw < 0.22 and self._prose:
            lang = rng.choice(list(self._prose))
            told = [advice.advice(rng, lang) for _ in range(rng.choice((0, 0, 1, 3)))]
            return [*rng.sample(self._prose[lang], rng.randint(3, 8)), *told], " "
        if draw < 0.30:
            lang = "en" if rng.random() < 0.5 else rng.choice(LANGUAGES)
            return advice.page(rng, lang, rng.choice(material.titles)).split("\n"), "\n"
        sentences = rng.choice(material.passages).replace("\n", " ").split(". ")
        if rng.random() < 0.5:
            sentences += rng.choice(material.passages).replace("\n", " ").split(". ")
        sentences = [one if one.endswith((".", "!", "?")) else f"{one}." for one in sentences if one.strip()][:24]
        if rng.random() < 0.35:
            told = [
                rng.choice(forms.REPORTS) if rng.random() < 0.7 else self._grammars["en"].benign() for _ in range(rng.randint(1, 3))
            ]
            for one in told:
                sentences.insert(rng.randint(0, len(sentences)), one)
        if draw < 0.45:
            titles = material.headings if rng.random() < 0.7 else material.titles
            return forms.page(rng, sentences, titles, material.words, material.questions).split("\n"), "\n"
        if draw < 0.57:
            return forms.mail(rng, sentences[:8]).split("\n"), "\n"
        if sentences and rng.random() < 0.6:
            # As a passage is judged: what it stands under, then its text.
            path = [rng.choice(material.titles), *rng.sample(material.headings, rng.randint(1, 2))]
            sentences[0] = "\n".join([*path, "", sentences[0]])
        return sentences, rng.choice((" ", " ", "\n", "\n\n"))


def draw(data: DataFolder, material: Material, seed: int, share: float = 1.0) -> list[Example]:
    """All examples of a run, shuffled.

    Args:
        share: of the counts in DRAWN.
    """
    drawing = Drawing(data, material, seed)

    def count(value: int) -> int:
        return max(1, round(value * share))

    found: list[Example] = []
    for lang in LANGUAGES:
        size = "en" if lang == "en" else "other"
        found += drawing.attacks(lang, count(DRAWN["attacks"][size]))
        found += drawing.benign(lang, count(DRAWN["benign"][size]))
    found += drawing.applications(count(DRAWN["application"])) + drawing.suffixes(count(DRAWN["suffix"]))
    found += drawing.written(count(DRAWN["second"]))
    trained, _ = sources.split(sources.attacks(data))
    found += drawing.own(DRAWN["own"])
    found += drawing.jailbreaks(trained, DRAWN["jailbreaks"])
    found += drawing.honest(count(DRAWN["asked"]), count(DRAWN["passages"])) + drawing.documents(count(DRAWN["documents"]))
    random.Random(seed).shuffle(found)
    later = Drawing(data, material, seed + 2)
    found += later.repeated(count(DRAWN["repeated"])) + later.advice(count(DRAWN["advice"])) + later.faq(count(DRAWN["faq"]))
    found += later.numbered(count(DRAWN["numbered"]))
    # A step learns from a run of them: what is honest in documents stands among what is not.
    hidden = [row for row in found if row.kind == "document"]
    random.Random(seed).shuffle(hidden)
    return [row for row in found if row.kind == "question"] + hidden
