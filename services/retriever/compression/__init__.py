"""Evidence within a budget of tokens: the sentences that say most stay, each a byte-exact range of the canonical text."""
