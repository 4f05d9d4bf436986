"""Runs the guard as a process."""

from services.guard.build import build
from services.guard.settings import GuardSettings
from services.mesh.server import run

if __name__ == "__main__":
    run(GuardSettings, build)
