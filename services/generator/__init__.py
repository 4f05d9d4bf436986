"""The generator: drafts answers, every claim tied to evidence, with the models in Triton.

It holds no conversation, searches nothing and judges nothing: what it sends is a draft, and only the guard decides what is shown.
"""
