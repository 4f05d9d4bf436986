"""Whether the disk has room for more: an index is mapped into memory, and a write that finds no room there ends the process."""

from __future__ import annotations

import shutil
from pathlib import Path

from services.mesh.errors import MeshError
from services.mesh.log import get_logger

log = get_logger(__name__)

_MIB = 1024 * 1024


class DiskRoom:
    """The disk of a folder.

    Args:
        least: bytes that must be free for an import; 0: nobody looks.
    """

    def __init__(self, folder: Path, least: int) -> None:
        self._folder = folder
        self._least = least

    def require(self) -> None:
        """
        Raises:
            MeshError: STORE_UNAVAILABLE, where too little is free.
        """
        if self._least == 0 or (free := shutil.disk_usage(self._folder).free) >= self._least:
            return
        log.error("disk.full", folder=str(self._folder), free=free, least=self._least)
        raise MeshError(
            "STORE_UNAVAILABLE",
            f"the disk of the documents has {free // _MIB} MiB left, and below {self._least // _MIB} MiB nothing is imported:"
            " make room there",
            metadata={"store": "disk"},
        )
