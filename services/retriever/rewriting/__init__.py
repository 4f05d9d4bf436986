"""From a question to what is searched for, without asking a language model. Every change is named, and can be left out."""
