"""What `ragmesh eval` measures: reading, retrieval, verification and whole answers, each through the models as they are served.

`rows` and `squad` read files, `figures` computes from per-item marks, `run` keeps a run, `compare` tells two runs apart. Commands
are in `cli/commands/eval.py`.
"""
