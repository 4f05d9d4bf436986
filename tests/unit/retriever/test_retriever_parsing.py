"""Documents to canonical text: what a reader sees stays, marks go, bytes that are no text are refused."""

from __future__ import annotations

import unicodedata

import pytest

from services.retriever.canonical import BlockKind, CanonicalText, DocumentRejected
from services.retriever.parsing import media_type_of, parse


def markdown(text: str) -> CanonicalText:
    return parse(text.encode(), "text/markdown")


def html(text: str) -> CanonicalText:
    return parse(text.encode(), "text/html")


def plain(text: str) -> CanonicalText:
    return parse(text.encode(), "text/plain")


def rejection(data: bytes, media_type: str) -> str:
    with pytest.raises(DocumentRejected) as caught:
        parse(data, media_type)
    assert caught.value.message
    return caught.value.reason


def pieces(document: CanonicalText, kind: BlockKind) -> list[str]:
    return [document.slice(block.start, block.end) for block in document.blocks if block.kind is kind]


def test_markdown_keeps_words_and_drops_marks() -> None:
    document = markdown(
        "# Title\n\nA **bold** and *slanted* [link](https://example.org) to `code` &amp; ~~more~~ ![picture](x.png).\n"
    )
    assert document.text.decode() == "Title\n\nA bold and slanted link to code & more picture."
    assert document.title == "Title"


def test_markdown_front_matter_names_title_and_topic() -> None:
    document = markdown("---\ntitle: Named\ntopic: safety\nupdated: 2026-01-01\n---\n\n# Heading\n\nText.\n")
    assert (document.title, document.topic) == ("Named", "safety")
    assert document.text == b"Heading\n\nText."


@pytest.mark.parametrize(
    ("front", "language", "published"),
    [
        ("language: de\ndate: 2024-05-17", "de", "2024-05-17T00:00:00"),
        ("lang: en-GB\ndate: 2024-05-17T08:30:00+02:00", "en-GB", "2024-05-17T08:30:00+02:00"),
        ("lang: [de, en]\ndate: last spring", "", ""),
    ],
)
def test_markdown_front_matter_says_language_and_date(front: str, language: str, published: str) -> None:
    document = markdown(f"---\ntitle: Named\n{front}\n---\n\nText.\n")
    assert (document.language, document.published) == (language, published)


@pytest.mark.parametrize(
    "text", ["---\n: [ : bad\n---\n\nText.", "---\n\nText.", "---\n- a\n- b\n---\n\nText.", "---\njust words\n---\nText."]
)
def test_what_only_looks_like_front_matter_is_text(text: str) -> None:
    assert "Text." in markdown(text).text.decode()


def test_front_matter_title_that_is_no_text_is_passed_over() -> None:
    assert markdown("---\ntitle: [a, b]\n---\n\n# Heading\n\nText.").title == "Heading"


def test_markdown_lists_stay_readable() -> None:
    document = markdown("- one\n- two\n  - below\n\n    more of below\n- three\n\n1. first\n2. second\n")
    assert document.text.decode() == "- one\n- two\n  - below\n    more of below\n- three\n\n1. first\n2. second"


def test_markdown_tables_keep_their_rows() -> None:
    document = markdown("| Dose | Effect |\n|---|:--|\n| 5 mg | *none* |\n| 10 mg | sleep |\n")
    assert document.text.decode() == "| Dose | Effect |\n| 5 mg | none |\n| 10 mg | sleep |"


def test_markdown_code_and_quotes_and_html() -> None:
    document = markdown(
        "> said\n\n```python\nx = 1\n  y = 2\n```\n\n<div>shown<!-- hidden --></div>\n\nA line<br>break and <b>bold</b>.\n"
    )
    assert document.text.decode() == "said\n\nx = 1\n  y = 2\n\nshown\n\nA line\nbreak and bold."


def test_wrapped_lines_of_markdown_are_one_sentence() -> None:
    assert markdown("A sentence that\ngoes on here.\n").text == b"A sentence that goes on here."


def test_html_keeps_structure_and_leaves_out_the_page() -> None:
    document = html(
        "<html><head><title>Page</title><style>p{}</style></head><body><nav>Menu</nav><main>"
        "<h1>Head</h1><div>Intro <b>bold</b></div>"
        "<ul><li>one<ul><li>below</li></ul></li><li>two</li></ul><ol start=3><li>third</ol>"
        "<table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td>2</td></tr></table><pre>a\n  b</pre>"
        "<h2>Sub</h2><p>caf&eacute;<br>second line</p><script>run()</script></main><footer>Imprint</footer></body></html>"
    )
    assert document.text.decode() == (
        "Head\n\nIntro bold\n\n- one\n  - below\n- two\n\n3. third\n\n| A | B |\n| 1 | 2 |\n\na\n  b\n\nSub\n\ncafé\nsecond line"
    )
    assert document.title == "Head"
    assert pieces(document, BlockKind.HEADING) == ["Head", "Sub"]


@pytest.mark.parametrize(
    ("head", "published"),
    [
        ('<meta name="date" content="2023-02-01">', "2023-02-01T00:00:00"),
        (
            '<meta name="DCTERMS.date" content="2022"><meta property="article:published_time" content="2023-02-01T10:00:00Z">',
            "2023-02-01T10:00:00+00:00",
        ),
        ('<meta name="date" content="yesterday"><meta name="viewport">', ""),
    ],
)
def test_html_says_language_and_date(head: str, published: str) -> None:
    document = html(f"<html lang='de'><head>{head}</head><body><p>Text.</p></body></html>")
    assert (document.language, document.published) == ("de", published)


def test_html_without_a_heading_takes_its_title() -> None:
    assert html("<title>Page &amp; more</title><p>Text.</p>").title == "Page & more"


@pytest.mark.parametrize(
    "hidden",
    [
        '<p style="display: none">ignore all</p>',
        '<p style="color:red;visibility:hidden">ignore all</p>',
        "<p hidden>ignore all</p>",
        '<span aria-hidden="true">ignore all</span>',
        '<p style="font-size:0">ignore all</p>',
        "<!-- ignore all -->",
        "<template>ignore all</template>",
        "<noscript>ignore all</noscript>",
    ],
)
def test_html_that_no_reader_sees_is_not_text(hidden: str) -> None:
    document = html(f"<p>Seen.</p>{hidden}<p style='font-size:0.9em;opacity:0.5'>Small.</p>")
    assert document.text == b"Seen.\n\nSmall."


def test_html_nested_beyond_any_stack() -> None:
    document = html("<div>" * 5_000 + "deep" + "</div>" * 5_000)
    assert document.text == b"deep"


def test_plain_text_headings_and_wrapping() -> None:
    wrapped = "This line of a letter was broken by a program at some\ncolumn, and so was this line which goes on and\nends here."
    document = plain(f"The title\n\nFirst paragraph.\nKept line.\n\nSECTION ONE\n\n{wrapped}\n\nUnder\n-----\nBody.")
    assert document.title == "The title"
    assert pieces(document, BlockKind.HEADING) == ["The title", "SECTION ONE", "Under"]
    assert wrapped.replace("\n", " ") in document.text.decode()
    assert "First paragraph.\nKept line." in document.text.decode()


def test_canonical_text_is_nfc_with_line_feeds_and_no_controls() -> None:
    document = plain("A cafe\u0301 here.\r\nB\x00\x07ell\u2028C.\r\rD\ufeff.".replace("\x00", ""))
    text = document.text.decode()
    assert unicodedata.is_normalized("NFC", text)
    assert "café" in text
    assert "Bell" in text
    assert not {"\r", "\x07", "\u2028", "\ufeff"} & set(text)


def test_blocks_are_exact_ranges_in_order() -> None:
    document = markdown("# Grüße\n\nΑλφα βήτα. Привет!\n\n- 日本語\n- naïve\n")
    assert pieces(document, BlockKind.LINE) == ["- 日本語", "- naïve"]
    assert pieces(document, BlockKind.PARAGRAPH) == ["Αλφα βήτα. Привет!"]
    ends = [0]
    for block in document.blocks:
        assert block.start >= ends[-1]
        ends.append(block.end)
    assert ends[-1] == len(document.text)


GERMAN = "Die Grüße aus Köln kamen über die schöne Straße, und die Mühe war groß. Später hörte man nichts mehr von den Gästen."
RUSSIAN = "Каннабидиол изучают в клинических исследованиях, и его действие описано в научных статьях. Врач должен знать о нём."


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_unicode_encodings(encoding: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    assert parse((mark + GERMAN).encode(encoding), "text/plain").text.decode() == GERMAN


@pytest.mark.parametrize(("text", "encoding"), [(GERMAN, "cp1252"), (RUSSIAN, "cp1251"), (RUSSIAN, "koi8-r")])
def test_older_encodings_are_told(text: str, encoding: str) -> None:
    assert parse(text.encode(encoding), "text/plain").text.decode() == text
    assert parse(text.encode(encoding), f"text/plain; charset={encoding}").text.decode() == text


def test_html_names_its_encoding() -> None:
    page = f"<meta charset='windows-1251'><p>{RUSSIAN}</p>".encode("cp1251")
    assert parse(page, "text/html").text.decode() == RUSSIAN


@pytest.mark.parametrize("charset", ["rot13", "no-such", "base64"])
def test_an_encoding_that_is_none_is_not_believed(charset: str) -> None:
    assert parse(GERMAN.encode("cp1252"), f"text/plain; charset={charset}").text.decode() == GERMAN


def test_a_named_encoding_that_does_not_fit_is_unreadable() -> None:
    assert rejection("Grüße".encode("cp1252"), "text/plain; charset=utf-16") == "DOCUMENT_UNREADABLE"


@pytest.mark.parametrize("data", [b"", b"   \n\t ", b"\xef\xbb\xbf", b"<html><body><script>x</script></body></html>"])
def test_empty_documents(data: bytes) -> None:
    assert rejection(data, "text/html") == "DOCUMENT_EMPTY"


@pytest.mark.parametrize(
    "data", [b"%PDF-1.7\n...", b"PK\x03\x04" + b"x" * 50, b"\x89PNG\r\n\x1a\n", b"text\0with zero", bytes(range(1, 32)) * 20]
)
def test_binary_is_no_text(data: bytes) -> None:
    assert rejection(data, "text/plain") == "MEDIA_TYPE_UNSUPPORTED"


def test_media_types() -> None:
    assert media_type_of('Text/Markdown; charset="UTF-8"; x=y') == ("text/markdown", {"charset": "utf-8", "x": "y"})
    for unknown in ("application/zip", "text", "text/rtf", ""):
        assert rejection(b"text", unknown) == "MEDIA_TYPE_UNSUPPORTED"
