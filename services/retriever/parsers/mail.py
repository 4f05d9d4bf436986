"""Mails: who wrote to whom and when, then what was written. Attachments are named, and no more."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage, MIMEPart
from email.utils import parsedate_to_datetime

from services.retriever.canonical import BlockKind, CanonicalBuilder, CanonicalText, DocumentRejected
from services.retriever.parsers.html import add_fragment
from services.retriever.parsers.plain import add_plain

_HEADERS = ("From", "To", "Cc", "Date")
MAX_PARTS = 1_000
_MAX_HEADER_CHARS = 2_000


def parse_mail(data: bytes) -> CanonicalText:
    """Blocks of a mail; its title is its subject.

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
    names = [part.get_filename() or part.get_content_type() for part in message.iter_attachments()]
    for number, name in enumerate(names):
        builder.add(BlockKind.LINE, f"Attachment: {name}", tight=number > 0)
    warnings = [f"{len(names)} attachments were not read"] if names else []
    return builder.build(title=subject, published=_date(message), warnings=warnings)


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
