"""Places that documents come from and are read again: web sites, feeds, git repositories. Knows nothing of chunks."""
