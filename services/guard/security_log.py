"""The security log: one entry for each text that was not simply let through. Who, when, which rule and action; hardly ever words.

An entry goes to a file that an operator follows and exports, and to the log of the service. Knows verdicts; decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard.judge import Sighting
from services.guard.policy import Policy
from services.guard.privacy import PiiFinder, apply
from services.guard.provenance import short
from services.guard.security_files import SecurityFiles
from services.mesh import context, telemetry
from services.mesh.log import get_logger

_log = get_logger(__name__)
_MAX_WORDS = 120
_MAX_TEXT = 4_000


class SecurityLog:
    """Writes entries.

    Args:
        files: where they go; None for none.
        finder: finds the personal data that an entry must not hold.
    """

    def __init__(self, files: SecurityFiles | None, finder: PiiFinder) -> None:
        self._files = files
        self.finder = finder
        """What finds it, for others too."""

    def record(
        self, kind: str, verdict: pb.Verdict, policy: Policy, *, seen: Sequence[Sighting] = (), text: str = "", subject: str = ""
    ) -> None:
        """Write down `verdict` on a `kind` of text (question, passage, draft); nothing where it passed without a reason.

        Args:
            kind: what was judged.
            verdict: what was concluded.
            policy: it says whether words are written down.
            seen: what the verdict rests on, for the words.
            text: what was judged.
            subject: name of the passage or document, where the text is of one.
        """
        if verdict.action == pb.ACTION_ALLOW:
            return
        who = context.principal_or_none()
        entry: dict[str, Any] = {
            "kind": kind,
            "action": short(pb.Action.Name(verdict.action)),
            "category": short(pb.Category.Name(verdict.category)),
            "rules": [finding.rule for finding in verdict.findings if finding.rule],
            "models": sorted({finding.model.name for finding in verdict.findings if finding.HasField("model")}),
            "views": sorted({finding.view for finding in verdict.findings if finding.view}),
            "score": max((finding.score for finding in verdict.findings), default=0.0),
            "subject": subject or None,
            "assistant": policy.assistant,
            "policy": policy.digest,
            "tenant": who.tenant if who is not None else None,
            "user": who.subject if who is not None else None,
            "request": context.request_id(),
        }
        if policy.log_text:
            entry["text"] = self._without_pii(text[:_MAX_TEXT], policy)
            entry["words"] = [self._without_pii(item.words[:_MAX_WORDS], policy) for item in seen]
        _log.info("guard.verdict", **entry)
        if self._files is not None:
            time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            self._files.append({"time": time, **entry, "trace": telemetry.current_trace_id() or None})

    def _without_pii(self, text: str, policy: Policy) -> str:
        return apply(text, self.finder.find(text), policy.pii_log).text

    def close(self) -> None:
        """Nothing is written any more."""
        if self._files is not None:
            self._files.close()
