"""The parser process: reads documents on standard input, answers with canonical texts on standard output, until its input ends.

A process of its own, because a parser may loop, swell or crash on a hostile document, and the service must not. A frame is two
big-endian uint32 lengths, a JSON header and a body. Knows no gRPC and holds no channel.
"""

from __future__ import annotations

import os
import resource
import struct
import sys
from dataclasses import fields
from typing import BinaryIO

import orjson

from services.retriever.canonical import Block, BlockKind, CanonicalText, DocumentRejected
from services.retriever.parsing import parse

LENGTHS = struct.Struct(">II")
_NICENESS = 5


def frame(header: dict[str, object], body: bytes) -> bytes:
    """A message of either direction."""
    head = orjson.dumps(header)
    return LENGTHS.pack(len(head), len(body)) + head + body


def unpack(header: bytes, body: bytes) -> CanonicalText:
    """The canonical text in an answer.

    Raises:
        DocumentRejected: as the parser raised it.
    """
    answer = orjson.loads(header)
    if "reason" in answer:
        raise DocumentRejected(answer["reason"], answer["message"])
    blocks = tuple(Block(BlockKind(kind), start, end, level) for kind, start, end, level in answer.pop("blocks"))
    lists = {name: tuple(value) for name, value in answer.items() if isinstance(value, list)}
    return CanonicalText(body, blocks, **{**answer, **lists})


def _answer(media_type: str, data: bytes, url: str) -> bytes:
    try:
        parsed = parse(data, media_type, url)
    except DocumentRejected as rejected:
        return frame({"reason": rejected.reason, "message": rejected.message}, b"")
    except MemoryError:
        return frame({"reason": "DOCUMENT_TOO_LARGE", "message": "the document needs too much memory to be parsed: split it"}, b"")
    blocks = [(block.kind.value, block.start, block.end, block.level) for block in parsed.blocks]
    rest = {one.name: getattr(parsed, one.name) for one in fields(parsed) if one.name not in ("text", "blocks")}
    return frame({**rest, "blocks": blocks}, parsed.text)


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answers until `source` ends."""
    while len(lengths := source.read(LENGTHS.size)) == LENGTHS.size:
        head_size, body_size = LENGTHS.unpack(lengths)
        header = orjson.loads(source.read(head_size))
        sink.write(_answer(header["media_type"], source.read(body_size), header["url"]))
        sink.flush()


if __name__ == "__main__":
    # A parse that has begun cannot give way: somebody who waits for a search comes first at the processor.
    os.nice(_NICENESS)
    limit = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    serve(sys.stdin.buffer, sys.stdout.buffer)
