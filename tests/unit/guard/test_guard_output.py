"""The check of drafts: copies byte for byte over multi-byte text, coordinates mapped once, limits, nothing unreviewed released."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import protovalidate
import pytest
from ragmesh.evidence.v1 import evidence_pb2 as ev
from ragmesh.evidence.v1.text_pb2 import TextRange
from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard.output import check as output
from services.guard.output.check import OutputCheck
from services.guard.output.quotes import Passage, Passages, QuoteError
from services.mesh.errors import MeshError
from tests.unit.guard.drafts import EVIDENCE, FIRST, SECOND, DraftWriter, canonical, evidence, ref
from tests.unit.guard.output_parts import ASSISTANT, SaidVerifier, made

OPENED = "Das Café — das älteste in Zürich — öffnete 1911."
PRICE = "🥐 Croissants kosten 3 €."


def checker(*, release_unverified: bool = False, most: int = output.MAX_RELEASED_BYTES) -> OutputCheck:
    return made(EVIDENCE, release_unverified=release_unverified, most=most)


async def run(
    writer: DraftWriter, segments: Sequence[ev.Segment], check: OutputCheck | None = None
) -> list[pb.CheckOutputResponse]:
    """All answers to a draft that is fed segment by segment; each is a valid message."""
    check = check or checker()
    answers: list[pb.CheckOutputResponse] = []
    for text, segment in zip(writer.texts, segments, strict=True):
        check.text(text)
        answers += await check.segment(segment)
    answers += await check.finish()
    for answer in answers:
        protovalidate.validate(answer)
    return answers


def kinds(answers: Sequence[pb.CheckOutputResponse]) -> list[str]:
    return [str(answer.WhichOneof("decision")) for answer in answers]


def refusal(answer: pb.CheckOutputResponse) -> pb.Category.ValueType:
    return answer.withheld.verdict.category


async def test_copies_are_released_verified_with_claims_in_released_coordinates() -> None:
    writer = DraftWriter()
    segments = [
        writer.copied(OPENED, ref("e1", OPENED), highlight="1911"),
        writer.copied(SECOND, ref("e2", SECOND), joint=" ", highlight="42"),
    ]
    answers = await run(writer, segments)
    assert kinds(answers) == ["released", "released", "finished"]
    whole = "".join(answer.released.text for answer in answers).encode()
    assert whole.decode() == f"{OPENED} {SECOND}"
    for answer, words, short in zip(answers, (OPENED, SECOND), ("1911", "42"), strict=False):
        (claim,) = answer.released.claims
        assert whole[claim.range.start : claim.range.end].decode() == words
        assert whole[claim.highlight.start : claim.highlight.end].decode() == short
        assert (claim.support, claim.verdict, claim.origin) == (
            ev.SUPPORT_FULL,
            ev.CLAIM_VERDICT_VERIFIED,
            ev.ORIGIN_COPIED,
        )
    assert answers[1].released.start == len(OPENED.encode())
    finished = answers[-1].finished
    assert (finished.verdict.action, finished.released_bytes, finished.released_segments) == (pb.ACTION_ALLOW, len(whole), 2)


async def test_a_quote_over_two_spans_is_the_text_of_both() -> None:
    writer = DraftWriter()
    # The document has more between the two parts; the passage, and so the quote, has not.
    joined = evidence("e3", OPENED, SECOND)
    check = made([joined])
    answers = await run(writer, [writer.copied(OPENED + SECOND, ref("e3", OPENED, SECOND))], check)
    assert kinds(answers) == ["released", "finished"]


async def test_what_is_only_quoted_of_a_passage_is_no_evidence() -> None:
    marked = evidence("e1", FIRST)
    marked.quoted.append(canonical(PRICE))
    writer = DraftWriter()
    segments = [
        writer.copied(PRICE, ref("e1", PRICE)),
        writer.copied(OPENED, ref("e1", OPENED), joint=" "),
        writer.copied(FIRST, ref("e1", FIRST), joint=" "),
    ]
    answers = await run(writer, segments, made([marked]))
    assert kinds(answers)[:3] == ["withheld", "released", "withheld"]
    verifier = SaidVerifier()
    writer = DraftWriter()
    assert kinds(await run(writer, [writer.composed(PRICE, ref("e1", PRICE))], made([marked], verifier=verifier)))[0] == "withheld"
    assert PRICE not in str(verifier.asked)


async def test_the_same_words_may_be_cited_from_two_passages() -> None:
    check = made([*EVIDENCE, evidence("e4", OPENED)])
    writer = DraftWriter()
    assert kinds(await run(writer, [writer.copied(OPENED, ref("e1", OPENED), ref("e4", OPENED))], check))[0] == "released"


def _other_word(writer: DraftWriter) -> ev.Segment:
    return writer.copied(OPENED.replace("1911", "1912"), ref("e1", OPENED))


def _decomposed(writer: DraftWriter) -> ev.Segment:
    return writer.copied(OPENED.replace("é", "e\u0301"), ref("e1", OPENED))


def _longer_quote(writer: DraftWriter) -> ev.Segment:
    return writer.copied(OPENED, ref("e1", FIRST))


def _unknown_evidence(writer: DraftWriter) -> ev.Segment:
    return writer.copied(OPENED, ref("e9", OPENED))


def _evidence_of_another_passage(writer: DraftWriter) -> ev.Segment:
    return writer.copied(OPENED, ref("e2", OPENED))


def _one_of_two_refs_is_wrong(writer: DraftWriter) -> ev.Segment:
    return writer.copied(OPENED, ref("e1", OPENED), ref("e2", SECOND))


def _no_claim(writer: DraftWriter) -> ev.Segment:
    segment = writer.copied(OPENED, ref("e1", OPENED))
    del segment.claims[:]
    return segment


def _no_ref(writer: DraftWriter) -> ev.Segment:
    return writer.copied(OPENED)


def _words_outside_of_the_claim(writer: DraftWriter) -> ev.Segment:
    segment = writer.copied(OPENED, ref("e1", OPENED), joint="Also: ")
    assert segment.claims[0].range.start == len("Also: ")
    return segment


def _claim_past_the_segment(writer: DraftWriter) -> ev.Segment:
    segment = writer.copied(OPENED, ref("e1", OPENED))
    segment.claims[0].range.end += 1
    return segment


def _claim_splits_a_code_point(writer: DraftWriter) -> ev.Segment:
    segment = writer.copied(PRICE, ref("e1", PRICE))
    segment.claims[0].range.start += 1
    return segment


def _quote_splits_a_code_point(writer: DraftWriter) -> ev.Segment:
    segment = writer.copied(PRICE, ref("e1", PRICE))
    segment.claims[0].refs[0].quotes[0].start += 1
    return segment


def _quote_leaves_the_span(writer: DraftWriter) -> ev.Segment:
    segment = writer.copied(PRICE, ref("e1", PRICE))
    segment.claims[0].refs[0].quotes[0].end += 1
    return segment


def _highlight_outside_of_the_claim(writer: DraftWriter) -> ev.Segment:
    segment = writer.copied(OPENED, ref("e1", OPENED), joint=" ", highlight="1911")
    segment.claims[0].highlight.start = 0
    return segment


@pytest.mark.parametrize(
    "wrong",
    [
        _other_word,
        _decomposed,
        _longer_quote,
        _unknown_evidence,
        _evidence_of_another_passage,
        _one_of_two_refs_is_wrong,
        _no_claim,
        _no_ref,
        _words_outside_of_the_claim,
        _claim_past_the_segment,
        _claim_splits_a_code_point,
        _quote_splits_a_code_point,
        _quote_leaves_the_span,
        _highlight_outside_of_the_claim,
    ],
)
async def test_what_is_no_exact_copy_is_withheld(wrong: Callable[[DraftWriter], ev.Segment]) -> None:
    writer = DraftWriter()
    answers = await run(writer, [wrong(writer)])
    assert kinds(answers) == ["withheld", "finished"]
    assert refusal(answers[0]) == pb.CATEGORY_CITATION_MISMATCH
    finished = answers[-1].finished
    assert (finished.verdict.action, finished.verdict.category) == (pb.ACTION_BLOCK, pb.CATEGORY_CITATION_MISMATCH)
    assert (finished.released_bytes, finished.withheld_segments) == (0, 1)


async def test_after_a_withheld_segment_coordinates_close_up() -> None:
    writer = DraftWriter()
    segments = [
        _other_word(writer),
        writer.copied(SECOND, ref("e2", SECOND), joint=" "),
        writer.copied(PRICE, ref("e1", PRICE), joint=" ", highlight="3 €"),
    ]
    answers = await run(writer, segments)
    assert kinds(answers) == ["withheld", "released", "released", "finished"]
    # Nothing was released before it, so its joint joins nothing.
    assert answers[1].released.text == SECOND
    assert answers[1].released.start == 0
    assert answers[1].released.draft_range == TextRange(start=segments[1].range.start + 1, end=segments[1].range.end)
    whole = "".join(answer.released.text for answer in answers).encode()
    (claim,) = answers[2].released.claims
    assert whole[claim.range.start : claim.range.end].decode() == PRICE
    assert whole[claim.highlight.start : claim.highlight.end].decode() == "3 €"
    assert answers[-1].finished.verdict.action == pb.ACTION_FLAG


async def test_templates_are_compared_word_for_word() -> None:
    for language in ("en", "de"):
        writer = DraftWriter()
        answers = await run(writer, [writer.template(ASSISTANT.template("abstain", language), "abstain")])
        assert kinds(answers) == ["released", "finished"]
    for text, template_id in (
        ("I could not find an answer to that.", "abstain"),
        (ASSISTANT.template("abstain", "en"), "greeting"),
        (ASSISTANT.template("abstain", "en"), "unheard_of"),
        (ASSISTANT.template("abstain", "en"), ""),
    ):
        writer = DraftWriter()
        answers = await run(writer, [writer.template(text, template_id)])
        assert refusal(answers[0]) == pb.CATEGORY_UNSUPPORTED


async def test_a_template_carries_no_claims() -> None:
    writer = DraftWriter()
    segment = writer.template(ASSISTANT.template("abstain", "en"), "abstain")
    segment.claims.add(range=segment.range, refs=[ref("e1", OPENED)])
    assert refusal((await run(writer, [segment]))[0]) == pb.CATEGORY_UNSUPPORTED


async def test_composed_text_that_nothing_verified_gives_way_to_what_it_cites() -> None:
    writer = DraftWriter()
    segment = writer.composed("It opened in 1911.", ref("e1", OPENED))
    (released, _) = await run(writer, [segment])
    assert released.released.text == OPENED
    (claim,) = released.released.claims
    assert (claim.verdict, claim.origin) == (ev.CLAIM_VERDICT_VERIFIED, ev.ORIGIN_COPIED)
    assert claim.range == TextRange(start=0, end=len(OPENED.encode()))
    uncited = DraftWriter()
    answers = await run(uncited, [uncited.composed("It opened in 1911.")])
    assert refusal(answers[0]) == pb.CATEGORY_UNSUPPORTED


async def test_composed_text_that_nothing_verified_leaves_marked_where_the_policy_lets_it() -> None:
    writer = DraftWriter()
    segment = writer.composed("It opened in 1911.", ref("e1", OPENED))
    (claim,) = (await run(writer, [segment], checker(release_unverified=True)))[0].released.claims
    assert (claim.verdict, claim.support) == (ev.CLAIM_VERDICT_UNVERIFIED, ev.SUPPORT_UNSPECIFIED)


async def test_composed_text_with_a_reference_into_nothing_never_leaves() -> None:
    writer = DraftWriter()
    segment = writer.composed("It opened in 1911.", ref("e9", OPENED))
    assert refusal((await run(writer, [segment], checker(release_unverified=True)))[0]) == pb.CATEGORY_CITATION_MISMATCH


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("Look: <script>alert(1)</script>", pb.CATEGORY_MARKUP),
        ("Look: ![x](https://example.org/a.png?q=secret)", pb.CATEGORY_MARKUP),
        ("<|im_start|>system", pb.CATEGORY_PROMPT_LEAK),
        ("My system prompt says that I must be brief.", pb.CATEGORY_PROMPT_LEAK),
        ("A bell \x07 rings", pb.CATEGORY_MALFORMED),
        (" \n ", pb.CATEGORY_GARBAGE),
    ],
)
async def test_markup_leaks_and_control_characters_are_withheld(text: str, category: pb.Category.ValueType) -> None:
    writer = DraftWriter()
    segment = writer.composed(text)
    del segment.claims[:]
    assert refusal((await run(writer, [segment], checker(release_unverified=True)))[0]) == category


async def test_an_exact_copy_of_active_markup_is_withheld_too() -> None:
    text = "Type <img src=x onerror=alert(1)> here."
    item = ev.Evidence(name="x", text=text, spans=[TextRange(start=7, end=7 + len(text))])
    check = made([item])
    writer = DraftWriter()
    cited = ev.EvidenceRef(evidence="x", quotes=[TextRange(start=7, end=7 + len(text))])
    assert refusal((await run(writer, [writer.copied(text, cited)], check))[0]) == pb.CATEGORY_MARKUP


async def test_text_that_never_became_a_segment_is_withheld() -> None:
    check = checker()
    check.text("Das Café")
    answers = await check.finish()
    assert kinds(answers) == ["withheld", "finished"]
    assert answers[0].withheld.draft_range == TextRange(start=0, end=len("Das Café".encode()))
    assert answers[1].finished.released_bytes == 0


async def test_an_empty_draft_is_allowed() -> None:
    (answer,) = await checker().finish()
    assert answer.finished.verdict.action == pb.ACTION_ALLOW


async def test_segments_join_on_without_gap_and_inside_the_text() -> None:
    for start, end in ((1, 4), (0, 40), (0, 0), (5, 4)):
        check = checker()
        check.text("Some text.")
        with pytest.raises(MeshError) as refused:
            await check.segment(ev.Segment(range=TextRange(start=start, end=end), origin=ev.ORIGIN_TEMPLATE))
        assert refused.value.reason == "INVALID_REQUEST"


async def test_a_segment_may_not_split_a_code_point() -> None:
    check = checker()
    check.text("Café")
    with pytest.raises(MeshError, match="code point"):
        await check.segment(ev.Segment(range=TextRange(start=0, end=4), origin=ev.ORIGIN_TEMPLATE))


def test_unreviewed_text_is_bounded() -> None:
    check = checker()
    check.text("x" * output.MAX_UNREVIEWED_BYTES)
    with pytest.raises(MeshError) as refused:
        check.text("y")
    assert refused.value.reason == "REQUEST_TOO_LARGE"
    assert refused.value.metadata == {"limit_bytes": str(output.MAX_UNREVIEWED_BYTES)}


async def test_a_draft_has_an_end() -> None:
    check = checker()
    with pytest.raises(MeshError) as refused:
        for number in range(output.MAX_DRAFT_BYTES // 1000 + 2):
            check.text("x" * 1000)
            await check.segment(
                ev.Segment(range=TextRange(start=number * 1000, end=number * 1000 + 1000), origin=ev.ORIGIN_TEMPLATE)
            )
    assert refused.value.reason == "REQUEST_TOO_LARGE"


async def test_segments_are_counted() -> None:
    check = checker()
    with pytest.raises(MeshError) as refused:
        for number in range(output.MAX_SEGMENTS + 1):
            check.text("x")
            await check.segment(ev.Segment(range=TextRange(start=number, end=number + 1), origin=ev.ORIGIN_TEMPLATE))
    assert refused.value.metadata == {"limit_segments": str(output.MAX_SEGMENTS)}


async def test_what_may_be_released_is_bounded() -> None:
    writer = DraftWriter()
    segments = [writer.copied(OPENED, ref("e1", OPENED)), writer.copied(SECOND, ref("e2", SECOND), joint=" ")]
    exact = len(OPENED.encode()) + 1 + len(SECOND.encode())
    assert kinds(await run(writer, segments, checker(most=exact))) == ["released", "released", "finished"]
    answers = await run(writer, segments, checker(most=exact - 1))
    assert kinds(answers) == ["released", "withheld", "finished"]
    assert refusal(answers[1]) == pb.CATEGORY_TOO_LONG


@pytest.mark.parametrize(
    "spans",
    [
        [TextRange(start=0, end=5)],
        [TextRange(start=0, end=7)],
        [TextRange(start=3, end=6), TextRange(start=0, end=3)],
        [TextRange(start=0, end=4), TextRange(start=3, end=5)],
        [TextRange(start=0, end=0), TextRange(start=0, end=6)],
    ],
)
def test_evidence_whose_spans_do_not_add_up_is_refused(spans: list[TextRange]) -> None:
    with pytest.raises(QuoteError):
        Passage(ev.Evidence(name="x", text="sample", spans=spans))


def test_two_passages_of_one_name_are_refused() -> None:
    with pytest.raises(QuoteError, match="one name"):
        Passages([EVIDENCE[0], EVIDENCE[0]])


def test_every_quote_of_a_passage_is_its_slice_of_the_document() -> None:
    passage = Passage(evidence("x", "# Café Müller\n\n", OPENED, "## Später\n\n", SECOND))
    whole = "# Café Müller\n\n" + OPENED
    assert passage.cut([canonical(whole)]).decode() == whole  # the first two parts touch in the document
    with pytest.raises(QuoteError):
        passage.cut([canonical(PRICE)])
    with pytest.raises(QuoteError):
        passage.cut([TextRange(start=canonical(OPENED).start, end=canonical(SECOND).end)])  # over the hole between
    with pytest.raises(QuoteError):
        passage.cut([TextRange(start=3, end=3)])
