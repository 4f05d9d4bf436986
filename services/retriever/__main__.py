"""`python -m services.retriever` serves; `rebuild` embeds and indexes everything anew; `move-index` moves the index,
`move-truth` the documents, `check-truth` says how the store of these is, a line of JSON each."""

from __future__ import annotations

import sys

import orjson
import uvloop

from services.mesh import log
from services.mesh.errors import MeshError
from services.mesh.server import run
from services.retriever import index_move
from services.retriever.build import build
from services.retriever.rebuild import rebuild
from services.retriever.settings import RetrieverSettings
from services.retriever.truth_kinds import check_truth, move_truth
from services.retriever.truth_schema import TruthUnusable

_SWITCH_SECONDS = 0.001


def main(arguments: list[str]) -> int:
    """Exit status: 0 after a clean stop, 1 where the stores or the models do not allow a start, 2 for another command."""
    try:
        if not arguments:
            # Threads of imports and of what is learned compute in Python: a search that comes waits for each of them so long.
            sys.setswitchinterval(_SWITCH_SECONDS)
            run(RetrieverSettings, build)
        elif arguments == ["rebuild"]:
            settings = RetrieverSettings()
            log.configure(settings.log_level, "retriever")
            uvloop.run(rebuild(settings))
        elif arguments[0] == "move-index":
            settings = RetrieverSettings()
            log.configure(settings.log_level, "retriever")
            uvloop.run(index_move.run(settings, arguments[1:]))
        elif arguments == ["move-truth"]:
            move_truth(RetrieverSettings())
        elif arguments == ["check-truth"]:
            for checked in check_truth(RetrieverSettings()):
                print(orjson.dumps(checked).decode())
        else:
            print("usage: python -m services.retriever [rebuild | move-index KIND | move-truth | check-truth]", file=sys.stderr)
            return 2
    except (MeshError, TruthUnusable, index_move.MoveRefused) as error:
        print(f"retriever: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
