"""QuarantineService: shows what is held back, and releases it. For editors; a passage of others is one that is not there."""

from __future__ import annotations

from typing import Any

import grpc
from ragmesh.guard.v1.guard_service_pb2 import CATEGORY_UNSPECIFIED, Category
from ragmesh.retriever.v1 import quarantine_service_pb2 as pb
from ragmesh.retriever.v1.quarantine_service_pb2_grpc import QuarantineServiceServicer

from services.mesh import context as call
from services.mesh.paging import Pager, page_size
from services.retriever.documents import reader_of, timestamp
from services.retriever.quarantine import Quarantine, QuarantinedPassage
from services.retriever.records import DocumentKey

_EDITOR = "editor"
_DEFAULT_PAGE = 50
_MAX_PAGE = 200
_MAX_HEADINGS = 32


class QuarantineServicer(QuarantineServiceServicer):
    """See `proto/ragmesh/retriever/v1/quarantine_service.proto`."""

    def __init__(self, quarantine: Quarantine, pager: Pager) -> None:
        self._quarantine = quarantine
        self._pager = pager

    async def ListQuarantinedPassages(
        self, request: pb.ListQuarantinedPassagesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListQuarantinedPassagesResponse:
        """Pages through what is held back."""
        principal = call.require_role(_EDITOR)
        listing = f"quarantine of {request.parent}"
        position = self._pager.position(listing, principal, request.page_token)
        after = (str(position[0]), bytes.fromhex(str(position[1]))) if position else ("", b"")
        size = page_size(request.page_size, default=_DEFAULT_PAGE, most=_MAX_PAGE)
        found = await self._quarantine.listing(reader_of(principal), request.parent, after, size + 1)
        token = ""
        if len(found) > size:
            last = found[size - 1].note
            token = self._pager.token(listing, principal, [last.document, last.digest.hex()])
        return pb.ListQuarantinedPassagesResponse(passages=[_passage(item) for item in found[:size]], next_page_token=token)

    async def ReleasePassage(
        self, request: pb.ReleasePassageRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ReleasePassageResponse:
        """Lets a passage be found."""
        reader = reader_of(call.require_role(_EDITOR))
        document, _, digest = request.name.partition("/quarantine/")
        key = DocumentKey.parse(reader.tenant, document)
        return pb.ReleasePassageResponse(found=await self._quarantine.release(reader, key, bytes.fromhex(digest)))


def _passage(item: QuarantinedPassage) -> pb.QuarantinedPassage:
    note = item.note
    return pb.QuarantinedPassage(
        name=f"{note.document}/quarantine/{note.digest.hex()}",
        title_path=item.title_path[:_MAX_HEADINGS],
        text=item.text,
        category=Category.Value(note.category) if note.category in Category.keys() else CATEGORY_UNSPECIFIED,  # noqa: SIM118
        rules=note.rules,
        create_time=timestamp(note.time),
        stored=item.stored,
    )
