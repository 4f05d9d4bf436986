"""Reads an owner's documents (Markdown, HTML, plain text) into titled sections, for `ragmesh train`.

The libraries are those of the retriever's own readers, the reading is thinner: headings and running text, no tables, no lists of
links. A file that cannot be read is left out and named. This module does not know questions or models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import frontmatter
import yaml
from charset_normalizer import from_bytes
from markdown_it import MarkdownIt
from selectolax.lexbor import LexborHTMLParser, LexborNode

SUFFIXES = {".md": "markdown", ".markdown": "markdown", ".html": "html", ".htm": "html", ".txt": "text"}
MAX_FILES = 20_000
MAX_FILE_BYTES = 32 * 1024 * 1024
_PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
_UNSEEN = "script, style, noscript, template, nav, footer, aside, form, button, select, iframe, svg, table"
_BLANK = re.compile(r"\n\s*\n")


@dataclass(frozen=True)
class OwnDocument:
    """One document of the owner."""

    path: str
    """Below the folder, its key for splits."""
    title: str
    sections: list[tuple[str, str]]
    """(heading or empty, running text under it)"""

    source: str = "own"
    glossary: list[tuple[str, str]] = field(default_factory=list)


def read_folder(folder: Path) -> tuple[list[OwnDocument], list[str]]:
    """(documents in the order of their paths, what was left out and why)."""
    found: list[OwnDocument] = []
    refused: list[str] = []
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    for path in paths[:MAX_FILES]:
        relative = path.relative_to(folder).as_posix()
        if any(part.startswith(".") for part in relative.split("/")):
            continue
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise ValueError("it is too large")
            document = read_document(path.read_bytes(), relative)
        except (OSError, ValueError) as error:
            refused.append(f"{relative}: {error}")
            continue
        if document.sections:
            found.append(document)
        else:
            refused.append(f"{relative}: it has no running text")
    return found, refused


def read_document(content: bytes, path: str) -> OwnDocument:
    """One document by the kind that its name tells.

    Raises:
        ValueError: its bytes are no text.
    """
    text = _decoded(content)
    kind = SUFFIXES[Path(path).suffix.lower()]
    if kind == "markdown":
        title, blocks = _markdown(text)
    elif kind == "html":
        title, blocks = _html(text)
    else:
        title, blocks = "", [("text", " ".join(part.split())) for part in _BLANK.split(text) if part.strip()]
    return OwnDocument(path, title or _title_of(path), _sections(title, blocks))


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        best = from_bytes(content[:1_000_000]).best()
        if best is None:
            raise ValueError("its encoding is not known") from None
        return content.decode(best.encoding, errors="replace")


def _title_of(path: str) -> str:
    name = re.sub(r"[-_]+", " ", Path(path).stem).strip()
    return name[:1].upper() + name[1:]


def _sections(title: str, blocks: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Blocks (`heading` or `text`, words) to (heading, running text), paragraphs apart by a line."""
    sections: list[tuple[str, list[str]]] = []
    heading = ""
    for kind, words in blocks:
        if kind == "heading":
            heading = "" if words == title else words
            sections.append((heading, []))
        elif words:
            if not sections:
                sections.append((heading, []))
            sections[-1][1].append(words)
    return [(heading, "\n\n".join(parts)) for heading, parts in sections if parts]


def _markdown(text: str) -> tuple[str, list[tuple[str, str]]]:
    title = ""
    if text.startswith("---"):
        try:
            metadata, text = frontmatter.parse(text)
            title = str(metadata.get("title") or "")
        except (yaml.YAMLError, ValueError, TypeError, AttributeError):
            pass
    blocks: list[tuple[str, str]] = []
    tokens = _PARSER.parse(text)
    skipped = 0
    for index, token in enumerate(tokens):
        skipped += {"table_open": 1, "table_close": -1}.get(token.type, 0)
        if token.type != "inline" or skipped:
            continue
        words = " ".join("".join(child.content or " " for child in token.children or [] if child.type != "image").split())
        heading = tokens[index - 1].type == "heading_open"
        title = title or (words if heading else "")
        blocks.append(("heading" if heading else "text", words))
    return title, blocks


def _html(text: str) -> tuple[str, list[tuple[str, str]]]:
    tree = LexborHTMLParser(text)
    head = tree.css_first("head > title")
    root = next((found[0] for tag in ("main", "article") if len(found := tree.css(tag)) == 1), tree.body)
    if root is None:
        return "", []
    for unseen in root.css(_UNSEEN):
        unseen.decompose()
    blocks = list(_html_blocks(root))
    first = next((words for kind, words in blocks if kind == "heading"), "")
    return first or (head.text(strip=True) if head is not None else ""), blocks


def _html_blocks(root: LexborNode) -> Iterator[tuple[str, str]]:
    for node in root.css("h1, h2, h3, h4, h5, h6, p, li, dd, blockquote"):
        if node.tag in ("li", "dd", "blockquote") and node.css_first("p") is not None:
            continue
        yield ("heading" if (node.tag or "").startswith("h") else "text"), " ".join(node.text().split())
