"""Settings: where they come from, what they refuse, what follows from them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from services.mesh.settings import SERVICES, MeshSettings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_without_a_word_every_service_has_a_socket_of_its_own(tmp_path: Path) -> None:
    settings = MeshSettings()
    addresses = {settings.target(service) for service in SERVICES} | {settings.admin_address(service) for service in SERVICES}
    assert len(addresses) == 2 * len(SERVICES)
    assert all(address.startswith(f"unix:{tmp_path}/var/run/") for address in addresses)
    assert settings.listen_address("guard") == settings.target("guard"), "a service is where the others look for it"


def test_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGMESH_RUN_DIR", "elsewhere")
    monkeypatch.setenv("RAGMESH_TARGETS__GUARD", "127.0.0.1:9001")
    monkeypatch.setenv("RAGMESH_LISTEN", "127.0.0.1:9000")
    settings = MeshSettings()
    assert settings.run_dir == Path("elsewhere")
    assert settings.target("guard") == "127.0.0.1:9001"
    assert settings.target("gateway").endswith("/elsewhere/gateway.sock")
    assert settings.listen_address("gateway") == "127.0.0.1:9000"


def test_the_file_counts_and_the_environment_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "ragmesh.env").write_text("RAGMESH_DRAIN_SECONDS=1\nRAGMESH_TRITON=127.0.0.1:1\nRAGMESH_OTHER=x\n")
    monkeypatch.setenv("RAGMESH_TRITON", "127.0.0.1:2")
    settings = MeshSettings()
    assert settings.drain_seconds == 1
    assert settings.triton == "127.0.0.1:2"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_CONCURRENT_CALLS", "0"),
        ("MAX_REQUEST_BYTES", "17000000"),
        ("DRAIN_SECONDS", "-1"),
        ("READINESS_SECONDS", "0"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_what_is_out_of_bounds_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"RAGMESH_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        MeshSettings()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        MeshSettings().triton = "127.0.0.1:1"  # type: ignore[misc]
