"""The check of drafts: what of an answer may leave, with which verdict on each claim."""
