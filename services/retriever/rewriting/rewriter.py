"""Makes the plan of a search out of a question. Knows no index."""

from __future__ import annotations

from ragmesh.evidence.v1.search_pb2 import RewriteKind

from services.retriever.query import make_query
from services.retriever.rewriting.plan import Asked, Change, Plan


class Rewriter:
    """Rewrites questions."""

    def plan(self, asked: Asked) -> Plan:
        """What is searched for."""
        query = make_query(asked.question, asked.history)
        before = query.text.removesuffix(asked.question).strip()
        changes = (Change(RewriteKind.REWRITE_KIND_HISTORY, asked.question, query.text),) if before else ()
        return Plan(query.text, (query,), changes=changes)
