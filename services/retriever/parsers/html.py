"""HTML to canonical blocks: headings, paragraphs, lists and tables of what a reader would see, without the furniture of a page.

What a browser hides is left out: hidden text is how instructions are smuggled into documents. Never fetches anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser, LexborNode

from services.retriever.canonical import BlockKind, CanonicalBuilder, CanonicalText, DocumentRejected

_SKIPPED_TAGS = """
    script style noscript template nav footer aside form button select option textarea iframe object embed svg math canvas
    audio video head title meta link map dialog
"""
_SKIPPED = frozenset(_SKIPPED_TAGS.split())
_BLOCK_TAGS = """
    address article blockquote body caption center dd details div dl dt fieldset figcaption figure header hgroup hr html li
    main menu ol p pre section summary table tbody td tfoot th thead tr ul h1 h2 h3 h4 h5 h6
"""
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_SPACES = re.compile(r"[^\S\u00a0]+")
_INVISIBLE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d]*[1-9])|opacity\s*:\s*0(?!\.[0-9]*[1-9])", re.IGNORECASE
)
_MAX_NODES = 2_000_000
_DATES = ("article:published_time", "date", "dcterms.date", "dc.date", "dcterms.created", "dcterms.issued")
"""Names of `meta` by which pages say when they were published."""


def parse_html(text: str) -> CanonicalText:
    """Blocks of an HTML page: of its `main` or `article` where it has exactly one, of its `body` otherwise; language and date.

    Raises:
        DocumentRejected: DOCUMENT_EMPTY, DOCUMENT_TOO_LARGE.
    """
    tree = LexborHTMLParser(text)
    builder = CanonicalBuilder()
    root = _root(tree)
    if root is not None:
        _Walk(builder).run(root)
    title = tree.css_first("head > title")
    return builder.build(
        title=builder.first_heading() or (title.text() if title is not None else ""),
        language=page_language(tree),
        published=_published(tree),
    )


def page_language(tree: LexborHTMLParser) -> str:
    """As the page says it; empty where it does not."""
    return (tree.root.attributes.get("lang") or "") if tree.root is not None else ""


def _published(tree: LexborHTMLParser) -> str:
    """The first of the dates that its head may name, as it stands there."""
    said = {
        str(node.attributes.get("property") or node.attributes.get("name") or "").lower(): node.attributes.get("content") or ""
        for node in tree.css("head > meta[content]")
    }
    return next((said[name] for name in _DATES if said.get(name)), "")


def add_fragment(builder: CanonicalBuilder, markup: str) -> None:
    """Adds the readable blocks of a piece of HTML, as Markdown may hold it."""
    body = LexborHTMLParser(markup).body
    if body is not None:
        _Walk(builder).run(body)


def remove_hidden(tree: LexborHTMLParser) -> None:
    """Takes out of `tree` what a browser would not show."""
    for node in tree.css("script, style, noscript, template, [hidden], [aria-hidden=true], [style]"):
        if node.tag in _SKIPPED or _hidden(node):
            node.decompose()


def _root(tree: LexborHTMLParser) -> LexborNode | None:
    for selector in ("main", "article"):
        found = tree.css(selector)
        if len(found) == 1 and found[0].text(deep=True, strip=True):
            return found[0]
    return tree.body


def _hidden(node: LexborNode) -> bool:
    attributes = node.attributes
    if "hidden" in attributes or attributes.get("aria-hidden") == "true":
        return True
    style = attributes.get("style")
    return style is not None and _INVISIBLE.search(style) is not None


@dataclass
class _Walk:
    """Goes through a tree without recursion, so that no depth of nesting can exhaust the stack."""

    builder: CanonicalBuilder
    inline: list[str] = field(default_factory=list)
    lists: list[list[int | None]] = field(default_factory=list)
    """One entry an open list: the number of its next item, None where it has bullets."""
    mark: str | None = None
    """Bullet or number that the next text of an item begins with."""
    row: list[str] | None = None
    preformatted: int = 0
    tight: bool = False
    seen: int = 0

    def run(self, root: LexborNode) -> None:
        stack: list[tuple[LexborNode, bool]] = [(root, False)]
        while stack:
            node, leaving = stack.pop()
            if leaving:
                self._leave(node.tag or "")
                continue
            self.seen += 1
            if self.seen > _MAX_NODES:
                raise DocumentRejected("DOCUMENT_TOO_LARGE", f"the page has more than {_MAX_NODES} nodes: split it")
            tag = node.tag or ""
            if tag == "-text":
                self.inline.append(node.text_content or "")
            elif tag == "br":
                self.inline.append("\n" if self.preformatted else "\x00")
            elif not tag.startswith(("-", "!")) and tag not in _SKIPPED and not _hidden(node):
                self._enter(tag, node)
                stack.append((node, True))
                stack.extend((child, False) for child in reversed(list(node.iter(include_text=True))))
        self._flush()

    def _enter(self, tag: str, node: LexborNode) -> None:
        if tag in _BLOCKS and self.row is None:
            self._flush()
        if tag in ("ul", "menu"):
            self.lists.append([None])
        elif tag == "ol":
            start = node.attributes.get("start") or "1"
            self.lists.append([int(start) if start.isdecimal() and len(start) < 9 else 1])
        elif tag == "li" and self.lists:
            number = self.lists[-1][0]
            self.mark = "- " if number is None else f"{number}. "
            if number is not None:
                self.lists[-1][0] = number + 1
        elif tag == "tr" and self.row is None:
            self.row = []
        elif tag == "pre":
            self.preformatted += 1

    def _leave(self, tag: str) -> None:
        if tag in _HEADINGS and self.row is None and not self.lists:
            self.builder.add(BlockKind.HEADING, self._take(), level=_HEADINGS[tag])
            self.tight = False
        elif tag in ("td", "th") and self.row is not None:
            self.row.append(self._take().replace("\n", " "))
        elif tag == "tr" and self.row is not None:
            self._end_row()
        elif tag in _BLOCKS and self.row is None:
            self._flush()
        if tag in ("ul", "ol", "menu") and self.lists:
            self.lists.pop()
            self.mark = None
            self.tight = bool(self.lists)
        elif tag == "table":
            self.tight = False
        elif tag == "pre":
            self.preformatted -= 1

    def _end_row(self) -> None:
        cells, self.row = self.row or [], None
        rest = self._take()
        if any(cells):
            self.builder.add(BlockKind.LINE, "| " + " | ".join(cells) + " |", tight=self.tight)
            self.tight = True
        elif rest:
            self.builder.add(BlockKind.PARAGRAPH, rest)

    def _take(self) -> str:
        text = "".join(self.inline)
        self.inline.clear()
        if self.preformatted:
            return text.strip("\n")
        return "\n".join(_SPACES.sub(" ", line).strip() for line in text.split("\x00")).strip()

    def _flush(self) -> None:
        preformatted = self.preformatted > 0
        text = self._take()
        if not text.strip():
            return
        if not self.lists:
            self.builder.add(BlockKind.LINE if preformatted else BlockKind.PARAGRAPH, text)
            self.tight = False
            return
        indent = "  " * (len(self.lists) - 1)
        self.builder.add(BlockKind.LINE, indent + (self.mark or "  ") + text, tight=self.tight)
        self.mark = None
        self.tight = True
