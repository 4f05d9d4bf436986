"""The guard: what may come in, what may be stored, what may leave. It knows no conversation, no store and no generator."""
