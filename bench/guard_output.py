"""What a draft costs the guard beside the models: microseconds a token and a draft, by what kind of text it is.

    python -m bench.guard_output             # writes its section of RESULTS.md
    python -m bench.guard_output --print

A draft is up to six segments, beside five passages of the sample corpus as a search finds them, sent as the generator sends them:
the text of a segment, then its end. No verifier is asked (`bench.guard_claims` has its time): claims leave marked as unverified,
so that everything else is done. What it takes is processor time of the one thread. A token is a word or a sign.

A token's time is that of the segments behind the first over their tokens; the rest of the time of its draft is the draft's own:
its beginning, what is read of its evidence when the first claim asks for it, and its end. The same drafts come once more in pieces
of a few characters; every answer must be the same, byte for byte.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import re
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.duration_pb2 import Duration
from ragmesh.evidence.v1 import evidence_pb2 as ev
from ragmesh.evidence.v1 import text_pb2
from ragmesh.guard.v1 import guard_service_pb2 as pb
from ragmesh.guard.v1 import policy_pb2

from bench.guard_calls import ASSISTANT, ROOT
from bench.sections import replaced
from services.guard.checks import CheckBuilder
from services.guard.detection.engines import engine
from services.guard.judge import Judge
from services.guard.output.begin import ClaimChecks, begin
from services.guard.output.check import OutputCheck
from services.guard.output.claims import sentences
from services.guard.output.draft import Draft
from services.guard.output.garbage import garbage
from services.guard.output.hallucination import Given, lacks
from services.guard.output.patterns import Patterns
from services.guard.output.quotes import Passages
from services.guard.policy.policy import resolve
from services.guard.privacy import PiiFinder
from services.guard.settings import GuardSettings
from services.guard.understanding.language import LanguageFinder
from services.mesh.assistant import Assistant, load_assistants

RESULTS = Path(__file__).with_name("RESULTS.md")
NAME = "guard output"
DATA = ROOT / "tests" / "data" / "guard" / "output"
_TOKEN = re.compile(r"\w+|[^\w\s]")
_SEGMENTS = 6
_PASSAGES = 5
_DRAFTS = 60
_ROUNDS = 7
_SEED = 11
_PIECE = 7
_ASKED_US = 5.0


@dataclass(frozen=True, slots=True)
class Drafted:
    """A draft: the segments, each as it joins on, and the evidence that each of them cites the first of."""

    segments: tuple[str, ...]
    evidence: tuple[ev.Evidence, ...]
    language: str
    copied: bool = False
    """Whether the segments are sentences of the first passage and are sent as copies of it."""


def _passages() -> list[str]:
    """Passages of running text of the sample corpus, as long as chunks are."""
    found = []
    for path in sorted((ROOT / "corpus" / "chatcbd").rglob("*.md")):
        body = path.read_text(encoding="utf-8").split("---", 2)[-1]
        paragraphs = [one.strip() for one in body.split("\n\n")]
        kept = [one for one in paragraphs if len(one) > 200 and not one.startswith(("#", "|", "-"))]
        found += [" ".join(pair) for pair in zip(kept[::2], kept[1::2], strict=False)]
    return found


def _evidence(texts: Sequence[str]) -> tuple[ev.Evidence, ...]:
    return tuple(
        ev.Evidence(
            name=f"e{number}",
            text=text,
            spans=[text_pb2.TextRange(start=0, end=len(text.encode()))],
            title_path=["Hemp", "What is known of it"],
            source_uri=f"https://example.org/hemp/{number}",
        )
        for number, text in enumerate(texts)
    )


def _lines(name: str) -> list[str]:
    rows = [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").split("\n") if line]
    return [row["text"] for row in rows]


def drafts() -> dict[str, list[Drafted]]:
    """Drafts by kind, always the same ones."""
    chance = random.Random(_SEED)
    passages = _passages()
    found: dict[str, list[Drafted]] = {"prose, composed": [], "prose, copied": []}
    for text in chance.sample(passages, min(_DRAFTS, len(passages))):
        said = tuple(text[start:end] for start, end in sentences(text))[:_SEGMENTS]
        others = [one for one in chance.sample(passages, _PASSAGES) if one != text][: _PASSAGES - 1]
        evidence = _evidence([text, *others])
        found["prose, composed"].append(Drafted(said, evidence, "en"))
        found["prose, copied"].append(Drafted(said, evidence, "en", copied=True))
    for kind, name in (("awkward clean text", "awkward.jsonl"), ("garbage", "garbage.jsonl")):
        lines = _lines(name)
        chance.shuffle(lines)
        groups = [tuple(lines[at : at + _SEGMENTS]) for at in range(0, len(lines) - _SEGMENTS, _SEGMENTS)][:_DRAFTS]
        found[kind] = [Drafted(group, _evidence(chance.sample(passages, _PASSAGES)), "und") for group in groups]
    return found


def _claim(drafted: Drafted, start: int, text: str) -> ev.Claim:
    passage = drafted.evidence[0]
    at = len(passage.text[: passage.text.find(text)].encode()) if drafted.copied else 0
    quote = text_pb2.TextRange(start=at, end=at + len(text.encode()) if drafted.copied else passage.spans[0].end)
    return ev.Claim(
        range=text_pb2.TextRange(start=start, end=start + len(text.encode())),
        refs=[ev.EvidenceRef(evidence=passage.name, quotes=[quote])],
    )


def _steps(drafted: Drafted) -> Iterator[tuple[str, ev.Segment]]:
    """Text and segment as the generator sends them; a segment begins with the space that joins it on."""
    origin = ev.ORIGIN_COPIED if drafted.copied else ev.ORIGIN_COMPOSED
    reached = 0
    for number, said in enumerate(drafted.segments):
        joint = "" if number == 0 else " "
        end = reached + len((joint + said).encode())
        claim = _claim(drafted, reached + len(joint), said)
        yield joint + said, ev.Segment(range=text_pb2.TextRange(start=reached, end=end), origin=origin, claims=[claim])
        reached = end


class Bench:
    """The shipped guard without a verifier."""

    def __init__(self, data_dir: Path) -> None:
        settings = GuardSettings(assistant_dir=ROOT / "corpus" / "assistants", data_dir=data_dir)
        assistants = load_assistants(settings.assistant_dir)
        self.assistant: Assistant = assistants[ASSISTANT]
        self.policy = resolve(policy_pb2.GuardPolicy(assistant=ASSISTANT, release_unverified=True), ROOT)
        self.judge: Judge = CheckBuilder(settings, assistants, engine)(self.policy).judge
        self._claims = ClaimChecks(None, LanguageFinder().find, 0.3, PiiFinder())

    def check(self, drafted: Drafted) -> OutputCheck:
        """The check of one draft, begun."""
        start = pb.CheckOutputStart(evidence=drafted.evidence, assistant=ASSISTANT, language=drafted.language)
        start.history.add(role=text_pb2.ROLE_USER, text="What is known about hemp?")
        start.budgets.per_claim.CopyFrom(Duration(nanos=300_000_000))
        return begin(start, judge=self.judge, policy=self.policy, assistant=self.assistant, claims=self._claims)

    def draft(self, drafted: Drafted) -> Draft:
        """What the patterns of a draft are laid beside."""
        return Draft(Passages(drafted.evidence), self.assistant, language=drafted.language, question="What is known about hemp?")


@dataclass(slots=True)
class Took:
    """Microseconds of one draft."""

    whole: float
    later: float
    """Of the segments behind the first."""
    answers: bytes


async def _run(bench: Bench, drafted: Drafted, piece: int = 0) -> Took:
    steps = list(_steps(drafted))
    began = time.thread_time_ns()
    check = bench.check(drafted)
    answers = []
    later = began
    for number, (text, segment) in enumerate(steps):
        if number == 1:
            later = time.thread_time_ns()
        for at in range(0, len(text), piece or len(text)):
            check.text(text[at : at + (piece or len(text))])
        answers += await check.segment(segment)
    ended = time.thread_time_ns()
    answers += await check.finish()
    whole = time.thread_time_ns() - began
    spent = (ended - later) / 1e3 if len(steps) > 1 else 0.0
    return Took(whole / 1e3, spent, b"".join(answer.SerializeToString(deterministic=True) for answer in answers))


def tokens(text: str) -> int:
    """How many there are."""
    return len(_TOKEN.findall(text))


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians of all rounds over the drafts of a kind."""

    drafts: int
    tokens: int
    """Of a draft, the mean."""
    token_us: float
    draft_us: float
    pieces: float
    """How many times as long it takes in pieces."""


async def measured(bench: Bench, found: Sequence[Drafted]) -> Figures:
    """One kind.

    Raises:
        SystemExit: a draft gets another answer in pieces.
    """
    counts = [[tokens(text) for text in one.segments] for one in found]
    rates, fixed, shares = [], [], []
    for _ in range(_ROUNDS):
        whole = [await _run(bench, one) for one in found]
        split = [await _run(bench, one, _PIECE) for one in found]
        for one, other, drafted in zip(whole, split, found, strict=True):
            if one.answers != other.answers:
                raise SystemExit(f"another answer in pieces: {drafted.segments!r}")
        rate = sum(one.later for one in whole) / sum(sum(count[1:]) for count in counts)
        rates.append(rate)
        fixed.append(statistics.median(one.whole - rate * sum(count) for one, count in zip(whole, counts, strict=True)))
        shares.append(sum(one.whole for one in split) / sum(one.whole for one in whole))
    every = sum(map(sum, counts))
    return Figures(len(found), every // len(found), statistics.median(rates), statistics.median(fixed), statistics.median(shares))


def parts(bench: Bench, found: Sequence[Drafted]) -> dict[str, float]:
    """Microseconds a token of each part, alone and with what it reads of the evidence made before."""
    drafted = [(one, bench.draft(one), Patterns(bench.draft(one))) for one in found]
    given: list[Given] = [draft.given(["e0"]) for _, draft, _ in drafted]
    count = sum(tokens(text) for one in found for text in one.segments)
    took: dict[str, list[float]] = {"rules for output": [], "patterns, all": [], "of them garbage": [], "of them facts": []}
    for _ in range(_ROUNDS):
        for name in took:
            began = time.thread_time_ns()
            for (one, draft, patterns), facts in zip(drafted, given, strict=True):
                for text in one.segments:
                    if name == "rules for output":
                        bench.judge.draft(text)
                    elif name == "patterns, all":
                        patterns.composed(text, ["e0"])
                    elif name == "of them garbage":
                        garbage(text)
                    else:
                        lacks(text, facts, draft.language)
            took[name].append((time.thread_time_ns() - began) / 1e3 / count)
    return {name: statistics.median(times) for name, times in took.items()}


def section(bench: Bench) -> str:
    """What is measured, as Markdown."""
    found = drafts()
    for kind in found.values():
        asyncio.run(measured(bench, kind[:8]))
    gc.collect()
    gc.freeze()
    figures = {name: asyncio.run(measured(bench, kind)) for name, kind in found.items()}
    alone = {name: parts(bench, kind) for name, kind in found.items() if not kind[0].copied}
    lines = [
        "## Drafts",
        "",
        f"`python -m bench.guard_output`: drafts of up to {_SEGMENTS} segments beside {_PASSAGES} passages, without a verifier;",
        "processor time of the guard's thread, medians. What a draft takes besides its tokens is its beginning, reading its",
        f"evidence for facts, and its end. Asked of the patterns: {_ASKED_US:g} us a token. Every draft has the same answers in",
        f"pieces of {_PIECE} characters.",
        f"Load of the machine: {os.getloadavg()[0]:.1f}.",
        "",
        "| drafts | n | tokens each | us a token | us a draft besides | in pieces |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in figures.items():
        lines.append(f"| {name} | {one.drafts} | {one.tokens} | {one.token_us:.1f} | {one.draft_us:.0f} | {one.pieces:.2f} times |")
    names = list(next(iter(alone.values())))
    lines += ["", f"| us a token of composed segments, alone | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    lines += [f"| {kind} | {' | '.join(f'{took[name]:.1f}' for name in names)} |" for kind, took in alone.items()]
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--print", action="store_true", help="print the section, do not write it")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ragmesh-") as folder:
        text = section(Bench(Path(folder)))
    if not asked.print:
        RESULTS.write_text(replaced(RESULTS.read_text(encoding="utf-8"), NAME, text), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
