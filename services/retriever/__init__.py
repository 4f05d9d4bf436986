"""The retriever: keeps documents, finds evidence for a question. Knows neither conversations nor answers."""
