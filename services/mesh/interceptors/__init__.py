"""The named interceptor chain in front of every method, one file each.

An interceptor is a coroutine around the whole call, with a look at each message; it works alike for all four kinds of
method. The order is fixed in `chain.py` and asserted in a test.
"""
