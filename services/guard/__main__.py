"""Runs the guard as a process."""

import os

# Before NumPy is loaded. A matrix of one question is multiplied in 20 us; threads for it cost more, and on a busy machine they wait
# for each other for milliseconds.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from services.guard.build import build
from services.guard.settings import GuardSettings
from services.mesh.server import run

if __name__ == "__main__":
    run(GuardSettings, build)
