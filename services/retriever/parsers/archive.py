"""Zip files that documents come in, opened so that no bomb goes off: entries and sizes are bounded before a byte is inflated.

Knows nothing of what the entries mean.
"""

from __future__ import annotations

import io
import zipfile

from services.retriever.canonical import DocumentRejected

MAX_ENTRIES = 20_000
MAX_INFLATED_BYTES = 256 * 1024 * 1024
"""Of all entries together. What is read of an entry never exceeds what its directory says, so that a lie is cut off as well."""
MAX_RATIO = 200
"""Text inflates to about 20 times its size; a bomb to a thousand."""
_RATIO_FROM_BYTES = 8 * 1024 * 1024
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED = 0x1


def open_archive(data: bytes, kind: str) -> zipfile.ZipFile:
    """The archive that a document of type `kind` is.

    Raises:
        DocumentRejected: DOCUMENT_ENCRYPTED, DOCUMENT_TOO_LARGE for a bomb, MEDIA_TYPE_UNSUPPORTED for what is no zip file.
    """
    if data.startswith(_OLE):
        # Office wraps an encrypted file into the container of its old formats; from outside the two look alike.
        raise DocumentRejected(
            "DOCUMENT_ENCRYPTED", "the file is encrypted, or of an Office before 2007: save it without a password in today's format"
        )
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise DocumentRejected("MEDIA_TYPE_UNSUPPORTED", f"the bytes are no {kind}: they are no zip file") from error
    entries = archive.infolist()
    if any(entry.flag_bits & _ENCRYPTED for entry in entries):
        raise DocumentRejected("DOCUMENT_ENCRYPTED", "the file is encrypted: save it without a password")
    inflated = sum(entry.file_size for entry in entries)
    bomb = inflated > _RATIO_FROM_BYTES and inflated > MAX_RATIO * len(data)
    if len(entries) > MAX_ENTRIES or inflated > MAX_INFLATED_BYTES or bomb:
        raise DocumentRejected(
            "DOCUMENT_TOO_LARGE",
            f"the file inflates to {inflated} bytes in {len(entries)} entries; the limits are {MAX_INFLATED_BYTES} bytes,"
            f" {MAX_ENTRIES} entries and {MAX_RATIO} times its size",
        )
    return archive


def entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of an entry.

    Raises:
        DocumentRejected: DOCUMENT_UNREADABLE where it is missing or damaged.
    """
    try:
        return archive.read(name)
    except (KeyError, zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise DocumentRejected("DOCUMENT_UNREADABLE", f"the file lacks {name[:100]!r}, or it is damaged: save it again") from error
