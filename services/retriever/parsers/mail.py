"""Mails: who wrote to whom and when, what was written, then what is attached, each under its name.

An attachment of a kind that can be read is read as a document of that kind would be; any other is named. What cannot be read of it
is a warning: a mail is not worth less for what came with it.
"""

from __future__ import annotations

import email
import email.policy
import mimetypes
from email.message import EmailMessage, MIMEPart
from email.utils import parsedate_to_datetime

from services.retriever.canonical import BlockKind, CanonicalBuilder, CanonicalText, DocumentRejected
from services.retriever.parsers.html import add_fragment
from services.retriever.parsers.plain import add_plain
from services.retriever.parsing import MEDIA_TYPES, parse

_HEADERS = ("From", "To", "Cc", "Date")
MAX_PARTS = 1_000
MAX_ATTACHMENTS = 16
"""That are read; more are named."""
MAX_ATTACHMENT_BYTES = 16 * 1024 * 1024
MAX_ATTACHED_BYTES = 32 * 1024 * 1024
"""Of all that are read together."""
MAX_DEPTH = 2
"""Mails within mails that are read."""
_MAX_HEADER_CHARS = 2_000
_MAIL = "message/rfc822"
_LOWEST_LEVEL = 6


def parse_mail(data: bytes, depth: int = 0) -> CanonicalText:
    """Blocks of a mail; its title is its subject.

    Args:
        depth: in how many mails it lies.

    Raises:
        DocumentRejected: DOCUMENT_EMPTY, DOCUMENT_ENCRYPTED, DOCUMENT_TOO_LARGE, MEDIA_TYPE_UNSUPPORTED.
    """
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    if not any(name in message for name in ("From", "Date", "Subject", "Message-ID")):
        raise DocumentRejected("MEDIA_TYPE_UNSUPPORTED", "the bytes are no mail: they have no sender, date or subject")
    if message.get_content_type() in ("multipart/encrypted", "application/pkcs7-mime"):
        raise DocumentRejected("DOCUMENT_ENCRYPTED", "the mail is encrypted: save it as your mail program shows it")
    if sum(1 for _ in message.walk()) > MAX_PARTS:
        raise DocumentRejected("DOCUMENT_TOO_LARGE", f"the mail has more than {MAX_PARTS} parts")
    subject = _header(message, "Subject")
    builder = CanonicalBuilder()
    builder.add(BlockKind.HEADING, subject, level=1)
    for number, name in enumerate(name for name in _HEADERS if name in message):
        builder.add(BlockKind.LINE, f"{name}: {_header(message, name)}", tight=number > 0)
    body = message.get_body(("plain", "html"))
    if body is not None:
        text = _text(body)
        if body.get_content_type() == "text/html":
            add_fragment(builder, text)
        else:
            add_plain(builder, text)
    warnings = _add_attachments(builder, message, depth)
    return builder.build(title=subject, published=_date(message), warnings=warnings)


def _add_attachments(builder: CanonicalBuilder, message: EmailMessage, depth: int) -> list[str]:
    """What could not be read of them."""
    warnings: list[str] = []
    left, unread = MAX_ATTACHED_BYTES, 0
    for number, part in enumerate(message.iter_attachments()):
        name = part.get_filename() or part.get_content_type()
        kind = _kind(part, name)
        if kind not in MEDIA_TYPES or number >= MAX_ATTACHMENTS or (kind == _MAIL and depth >= MAX_DEPTH):
            builder.add(BlockKind.LINE, f"Attachment: {name}", tight=unread > 0)
            unread += 1
            continue
        builder.add(BlockKind.HEADING, f"Attachment: {name}", level=2)
        try:
            data = _bytes(part)
            if len(data) > min(left, MAX_ATTACHMENT_BYTES):
                raise DocumentRejected("DOCUMENT_TOO_LARGE", "the attachment is too large")
            left -= len(data)
            _add(builder, parse_mail(data, depth + 1) if kind == _MAIL else parse(data, kind))
        except DocumentRejected as rejected:
            warnings.append(f"attachment {name}: {rejected.message} ({rejected.reason})")
    if unread:
        warnings.append(f"{unread} attachments were not read")
    return warnings


def _kind(part: MIMEPart, name: str) -> str:
    """Media type, by the name where the mail does not say it."""
    kind = part.get_content_type()
    return kind if kind != "application/octet-stream" else mimetypes.guess_type(name)[0] or kind


def _bytes(part: MIMEPart) -> bytes:
    if part.get_content_type() == _MAIL:
        inner = part.get_payload()
        return inner[0].as_bytes() if isinstance(inner, list) and inner and isinstance(inner[0], EmailMessage) else b""
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


def _add(builder: CanonicalBuilder, read: CanonicalText) -> None:
    """The blocks of an attachment, its headings below its name."""
    end = -1
    for block in read.blocks:
        level = min(_LOWEST_LEVEL, block.level + 2) if block.level else 0
        builder.add(block.kind, read.slice(block.start, block.end), level=level, tight=end >= 0 and block.start == end + 1)
        end = block.end


def _header(message: EmailMessage, name: str) -> str:
    return " ".join(str(message.get(name, "")).split())[:_MAX_HEADER_CHARS]


def _text(part: MIMEPart) -> str:
    try:
        content = part.get_content()
    except (LookupError, UnicodeError, ValueError):
        payload = part.get_payload(decode=True)
        content = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
    return content if isinstance(content, str) else ""


def _date(message: EmailMessage) -> str:
    try:
        return parsedate_to_datetime(str(message.get("Date", ""))).isoformat()
    except (ValueError, TypeError, IndexError):
        return ""
