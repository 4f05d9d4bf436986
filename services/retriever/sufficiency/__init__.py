"""Whether evidence holds the answer to a question: features of a search, a calibrated model over them, a ladder of decisions."""
