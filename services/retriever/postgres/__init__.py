"""The store of truth in PostgreSQL, for several retrievers at once. Imported only where it is used: its driver is an extra."""
