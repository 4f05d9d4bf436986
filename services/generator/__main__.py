"""Runs the generator as a process."""

from services.generator.build import build
from services.generator.settings import GeneratorSettings
from services.mesh.server import run

if __name__ == "__main__":
    run(GeneratorSettings, build)
