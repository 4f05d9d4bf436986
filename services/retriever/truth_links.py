"""Links between documents that say nearly the same, in the store of truth. Part of the transaction that makes a version current.

What counts as nearly the same is said in `near_duplicates`.
"""

from __future__ import annotations

from services.retriever.near_duplicates import SIMILAR, bands, similarity
from services.retriever.truth import Connection

MAX_CANDIDATES = 200
"""Most documents that one is compared with."""


def link(connection: Connection, collection: int, document: int, signature: str) -> int:
    """Puts a document into the cluster of the one that it resembles most, or into none; forgets what it resembled before.

    Returns:
        The number of the cluster; 0 for none.
    """
    connection.execute("DELETE FROM band WHERE document_id = ?", (document,))
    connection.execute("DELETE FROM minhash WHERE document_id = ?", (document,))
    if not signature:
        connection.execute("UPDATE document SET cluster = 0 WHERE id = ?", (document,))
        return 0
    mine = list(enumerate(bands(signature)))
    # One question for all bands: PostgreSQL's answer to each is waited for.
    listed = ", ".join(["(?, ?)"] * len(mine))
    rows = connection.execute(
        f"WITH mine (number, value) AS (VALUES {listed})"
        " SELECT document_id, signature FROM minhash WHERE document_id IN (SELECT band.document_id FROM mine CROSS JOIN band"
        " WHERE band.collection_id = ? AND band.number = mine.number AND band.value = mine.value)"
        " ORDER BY document_id LIMIT ?",
        (*(one for pair in mine for one in pair), collection, MAX_CANDIDATES),
    )
    candidates: dict[int, str] = {row[0]: row[1] for row in rows}
    best = max(candidates, key=lambda one: (similarity(signature, candidates[one]), -one), default=0)
    cluster = 0
    if best and similarity(signature, candidates[best]) >= SIMILAR:
        cluster = int(connection.execute("SELECT cluster FROM document WHERE id = ?", (best,)).fetchone()[0]) or best
        connection.execute("UPDATE document SET cluster = ? WHERE id = ?", (cluster, best))
    connection.execute("UPDATE document SET cluster = ? WHERE id = ?", (cluster, document))
    connection.execute("INSERT INTO minhash VALUES (?, ?)", (document, signature))
    connection.executemany(
        "INSERT INTO band VALUES (?, ?, ?, ?)", [(collection, number, value, document) for number, value in mine]
    )
    return cluster
