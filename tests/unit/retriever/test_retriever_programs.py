"""Programs beside this process: how they end is known, and none outlives its block."""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path

import pytest

from services.retriever.programs import running


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


async def test_how_one_ends_and_what_it_said_is_known() -> None:
    with running(
        python("import os, sys; sys.stderr.write('x' * 9000 + os.environ['WORD']); sys.exit(3)"), environment={"WORD": "why"}
    ) as one:
        assert await one.end() == 3
        assert one.ended() == 3
        assert one.said().endswith("xwhy")
        assert len(one.said()) == 4096
    with running(python("import os; os.kill(os.getpid(), 9)")) as one:
        assert await one.end() == -9
        assert one.said() == ""
    with pytest.raises(FileNotFoundError), running(["no-such-program-here"]):
        pass


_PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write(str(child.pid))
child.wait()
"""


@pytest.mark.parametrize("alone", [False, True])
async def test_none_outlives_its_block(alone: bool, tmp_path: Path) -> None:
    told = tmp_path / "pid"
    os.mkfifo(told)
    with pytest.raises(ValueError, match="enough"), running([*python(_PARENT), str(told)], alone=alone) as one:
        grandchild = int(told.read_text())
        handle = os.pidfd_open(grandchild)
        assert one.ended() is None
        raise ValueError("enough")
    assert one.ended() == -9
    if not alone:
        os.kill(grandchild, 9)
    ended, _, _ = select.select([handle], [], [], 30)
    os.close(handle)
    assert ended == [handle]
