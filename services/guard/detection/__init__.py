"""The rules: read from files, compiled, matched. Knows nothing of requests, and of verdicts only what a rule adds to one."""
