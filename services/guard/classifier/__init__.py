"""The trained classifier of injections: NumPy alone, in the guard's process. Knows nothing of rules, verdicts or requests.

`features` and `network` import nothing of ours, so that the recipe trains on exactly what is served.
"""
