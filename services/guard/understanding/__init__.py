"""What a question is for and in which language it is. Knows nothing of rules, verdicts and requests."""
