"""The gateway: conversations, turns and their logs, and the one place that knows the order of a turn.

It calls guard, retriever and generator; none of them knows of it. It finds nothing, writes nothing and judges nothing itself.
"""
