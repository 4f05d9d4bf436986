"""What the owner of an assistant lets the guard do: read from a file, checked whole, and put in force while the guard runs.

Knows no text and no verdict; `services.guard.ruling` applies a policy to what was found.
"""

from services.guard.policy.policy import Policy, PolicyError
from services.guard.policy.store import PolicyStore

__all__ = ["Policy", "PolicyError", "PolicyStore"]
