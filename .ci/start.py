"""Starts everything and ends it: run where no more is installed than `make run` installs, because the tests install more."""

import asyncio
import tempfile
from pathlib import Path

from cli.parts.supervisor import Mesh


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="rmc") as name:
        async with Mesh.start(Path(name), public_port=0, local_port=0, start_seconds=180):
            print("everything is up")


asyncio.run(main())
