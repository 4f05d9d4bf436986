"""A turn as a terminal shows it: stages on one line, sentences as they are released, numbered citations, the sources below.

A fold of TurnEvents that prints on its way. Knows nothing of how events arrive.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ragmesh.evidence.v1.evidence_pb2 import Claim, Evidence
from ragmesh.gateway.v1 import turn_pb2 as pb
from rich.markup import escape

from cli.console import err, out

_STAGES = {
    pb.STAGE_CHECKING: "Checking",
    pb.STAGE_SEARCHING: "Searching {} documents",
    pb.STAGE_READING: "Reading {} passages",
    pb.STAGE_WRITING: "Writing",
}
_REFUSALS = {
    pb.BLOCK_REASON_INSTRUCTION_OVERRIDE: "it tries to change my instructions",
    pb.BLOCK_REASON_PROMPT_EXTRACTION: "it asks for my instructions",
    pb.BLOCK_REASON_UNSAFE_CONTENT: "it holds hidden text or code",
    pb.BLOCK_REASON_UNREADABLE: "it holds no text that I can read",
    pb.BLOCK_REASON_TOO_LONG: "it is too long",
    pb.BLOCK_REASON_UNSUPPORTED: "what I would have said was not carried by the documents",
    pb.BLOCK_REASON_OFF_TOPIC: "it is not about what this assistant is for",
    pb.BLOCK_REASON_LANGUAGE: "it is not in a language that this assistant answers in",
    pb.BLOCK_REASON_PERSONAL_DATA: "it holds personal data or a password",
}


def stage_words(entered: pb.StageEntered) -> str:
    """A stage in words, with its count where there is one."""
    words = _STAGES.get(entered.stage, "Working")
    count = f"{entered.count} " if entered.HasField("count") else ""
    return words.replace("{} ", count)


@dataclass
class AnswerPrinter:
    """Prints a turn while it runs."""

    evidence: dict[str, Evidence] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    """Evidence -> its number, by first use."""
    quotes: dict[str, list[str]] = field(default_factory=dict)
    text: bytearray = field(default_factory=bytearray)
    finished: pb.TurnFinished | None = None
    _held: str = ""
    """White space that was released but not printed, so that a citation stands behind its sentence."""

    def event(self, event: pb.TurnEvent) -> None:
        """Takes the next event; one that it does not know is passed over."""
        kind = event.WhichOneof("event")
        if kind == "stage":
            err.print(f"{stage_words(event.stage)} ...", style="dim", markup=False)
        elif kind == "evidence":
            self.evidence |= {found.name: found for found in event.evidence.evidence}
        elif kind == "delta":
            self._delta(event.delta.text)
        elif kind == "claim":
            self._claim(event.claim.claim)
        elif kind == "retracted":
            self._say("[The last sentence was taken back.]")
        elif kind == "degraded":
            err.print(f"Without {event.degraded.skipped} ({event.degraded.reason}).", style="yellow", markup=False)
        elif kind == "finished":
            self._finish(event.finished)

    def _delta(self, text: str) -> None:
        self.text += text.encode()
        shown = self._held + text
        body = shown.rstrip()
        self._held = shown[len(body) :]
        out.print(body, end="", markup=False)

    def _claim(self, claim: Claim) -> None:
        marks = []
        for ref in claim.refs:
            found = self.evidence.get(ref.evidence)
            if found is None:
                continue
            number = self.numbers.setdefault(ref.evidence, len(self.numbers) + 1)
            marks.append(number)
            spans = [(quote.start, quote.end) for quote in ref.quotes]
            self.quotes.setdefault(ref.evidence, []).extend(quoted for span in spans if (quoted := quote_of(found, *span)))
        if marks:
            out.print(" " + "".join(f"[{number}]" for number in dict.fromkeys(marks)), end="", style="cyan", markup=False)

    def _say(self, words: str) -> None:
        out.print(f"{self._held}{words}", style="yellow", markup=False)
        self._held = ""

    def _finish(self, finished: pb.TurnFinished) -> None:
        self.finished = finished
        if self.text:
            out.print()
        if finished.outcome == pb.OUTCOME_ABSTAINED:
            self._abstention(finished.abstention)
        elif finished.outcome == pb.OUTCOME_BLOCKED:
            out.print(f"I do not answer this: {_REFUSALS.get(finished.block_reason, 'it was refused')}.", markup=False)
        elif finished.outcome == pb.OUTCOME_STOPPED:
            err.print("Stopped.", style="yellow")
        elif finished.outcome == pb.OUTCOME_PARTIAL:
            err.print("The documents answer this only in part.", style="yellow")
        self._sources()

    def _abstention(self, abstention: pb.Abstention) -> None:
        if not self.text:
            out.print("The documents do not say.")
        err.print(f"Searched {abstention.documents_searched} documents.", style="dim")
        if abstention.nearest:
            out.print("Nearest: " + "; ".join(near.title for near in abstention.nearest), markup=False)

    def _sources(self) -> None:
        if not self.numbers:
            return
        out.print()
        for name, number in self.numbers.items():
            found = self.evidence[name]
            title = " > ".join(found.title_path) or found.document
            out.print(f"[cyan]\\[{number}][/cyan] {escape(title)}  [dim]{escape(found.source_uri)}[/dim]")
            for quoted in dict.fromkeys(self.quotes.get(name, ())):
                out.print(f'    "{quoted}"', markup=False, style="italic")


def quote_of(evidence: Evidence, start: int, end: int) -> str:
    """The words of a range of the canonical text, as far as `evidence.text` holds them; empty where it holds none."""
    raw = evidence.text.encode()
    position = 0
    words: list[str] = []
    for span in evidence.spans:
        low, high = max(start, span.start), min(end, span.end)
        if low < high:
            offset = position - span.start
            words.append(raw[low + offset : high + offset].decode("utf8", "replace"))
        position += span.end - span.start
    return " ... ".join(words)
