"""What the Triton models and their training share: text analysis, features, tokenisation, tracing, identity.

The Triton launcher puts this folder's parent on PYTHONPATH, so that a `model.py` and a training recipe read the same bytes the
same way. Nothing in here knows the mesh, its protos or its services; only `triton_io` and the `model.py` files know Triton.
"""
