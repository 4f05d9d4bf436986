"""From what was found to what is done: a verdict as the policy of an assistant has it.

Knows policies and verdicts; not how anything is found.
"""

from __future__ import annotations

from collections.abc import Iterable

from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard.policy import Policy

MAX_FINDINGS = 32
_ROUNDING = 1e-9


def ruled(verdict: pb.Verdict, policy: Policy, *, sums: bool) -> pb.Verdict:
    """`verdict` with the actions that `policy` names for its categories, and the policy's digest.

    A policy may be milder about one category. What else was found counts on: the text is judged by each category alone, and the
    gravest action is taken.

    Args:
        verdict: what was concluded without a policy. Changed in place.
        policy: whose actions count.
        sums: whether findings of a category add up to a block, as in questions. In a passage of a document they do not: there only
            the category that decided can block.
    """
    verdict.policy_digest = policy.digest
    if not policy.actions or verdict.action == pb.ACTION_ALLOW:
        return verdict
    natural = {verdict.category: verdict.action}
    scores: dict[pb.Category.ValueType, float] = {}
    for finding in verdict.findings:
        scores[finding.category] = scores.get(finding.category, 0.0) + finding.score
    for category, score in scores.items():
        if category not in natural and score >= policy.flag - _ROUNDING:
            natural[category] = pb.ACTION_BLOCK if sums and score >= policy.block - _ROUNDING else pb.ACTION_FLAG
    taken = {category: policy.actions.get(category, action) for category, action in natural.items()}
    # Of equal actions the category that decided before, which stands first.
    verdict.category = max(taken, key=lambda category: taken[category])
    verdict.action = taken[verdict.category]
    if verdict.action == pb.ACTION_ALLOW:
        verdict.category = pb.CATEGORY_UNSPECIFIED
    return verdict


def add(verdict: pb.Verdict, findings: Iterable[pb.Finding], action: pb.Action.ValueType) -> None:
    """Add what was found to `verdict`; it takes `action`, and the category of the first finding, where that is graver."""
    found = list(findings)
    for finding in found[: MAX_FINDINGS - len(verdict.findings)]:
        verdict.findings.append(finding)
    if found and action > verdict.action:
        verdict.action, verdict.category = action, found[0].category
