"""How Triton is launched: quickly, on loopback only, out of its work folder, with one clear line where something lacks."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import psutil
import pytest

from cli.parts import triton as part
from tests.service.triton_fixture import REPOSITORY, RunningTriton, triton_server

__all__ = ["triton_server"]


def test_triton_is_ready_soon_and_listens_on_loopback_only(triton_server: RunningTriton) -> None:
    # The promise is 6 s on an idle machine; a shared one is given more.
    assert triton_server.ready_after_s < 20
    listening = [c.laddr.ip for c in psutil.Process(triton_server.pid).net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert len(listening) == 2
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_the_spec_writes_into_its_work_folder_only(tmp_path: Path) -> None:
    work = tmp_path / "work"
    first = part.launch_spec(work, REPOSITORY, 1, 2, otlp_endpoint=None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["work"]
    assert first.cwd == work.resolve()
    assert "RAGMESH_OTLP_ENDPOINT" not in first.env
    again = part.launch_spec(work, REPOSITORY, 1, 2, otlp_endpoint="http://127.0.0.1:4317")
    assert again.argv == first.argv
    assert again.env["RAGMESH_OTLP_ENDPOINT"] == "http://127.0.0.1:4317"
    assert "--allow-metrics=false" in first.argv
    assert {a for a in first.argv if "-address=" in a} == {"--grpc-address=127.0.0.1", "--http-address=127.0.0.1"}


def test_a_missing_libpython_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part, "_LIBPYTHON_FOLDERS", ())
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: None)
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    with pytest.raises(
        part.TritonUnavailableError, match=r"libpython3\.\d+\.so\.1\.0: install the package libpython3\.\d+"
    ) as caught:
        part.launch_spec(tmp_path / "work", REPOSITORY, 1, 2, otlp_endpoint=None)
    assert "\n" not in str(caught.value)


def test_a_missing_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(part.TritonUnavailableError, match="no model repository"):
        part.launch_spec(tmp_path / "work", tmp_path / "nothing", 1, 2, otlp_endpoint=None)
