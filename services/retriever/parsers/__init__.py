"""Formats of documents: for each a function from its content to canonical blocks. Knows no store, no stream and no network."""
