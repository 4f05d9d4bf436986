"""The trained classifier of injections: NumPy alone, in the guard's process. Knows nothing of rules, verdicts or requests.

`features`, `hashing`, `concepts`, `linear` and `suffix` import nothing else of ours, so that the recipe trains on exactly what is
served.
"""
