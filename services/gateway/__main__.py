"""Runs the gateway as a process."""

from services.gateway.build import build
from services.gateway.settings import GatewaySettings
from services.mesh.server import run

if __name__ == "__main__":
    run(GatewaySettings, build)
