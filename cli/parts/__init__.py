"""The running parts of the mesh: how each is started, watched, and stopped. Knows no question and no document."""
