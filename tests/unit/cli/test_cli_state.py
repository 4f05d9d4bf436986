"""Settings, locks, state, keys, certificates, telemetry: the small files of a mesh."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from cli.errors import CliError
from cli.parts import logs, run_state
from cli.parts.certificates import NAMES, issue
from cli.parts.keys import AUDIENCE, ISSUER, KeyFileError, ensure_session_keys
from cli.parts.run_state import MeshState, ProcessRef, VarLayout
from cli.parts.telemetry_state import telemetry_file, write_telemetry
from cli.settings import file_environment, read_settings
from services.mesh.telemetry import TelemetryState


def state_of(pid: int, folder: Path) -> MeshState:
    process = ProcessRef.of(pid)
    assert process is not None
    return MeshState(supervisor=process, run_dir=folder, log_dir=folder, otlp_endpoint="127.0.0.1:4317")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_telemetry_file_is_what_the_services_read(tmp_path: Path) -> None:
    write_telemetry(tmp_path, "127.0.0.1:4317")
    assert TelemetryState.model_validate_json(telemetry_file(tmp_path).read_bytes()) == TelemetryState(
        endpoint="127.0.0.1:4317", ratio=0.0
    )
    write_telemetry(tmp_path, None)
    assert json.loads(telemetry_file(tmp_path).read_bytes()) == {"endpoint": None, "ratio": 0.0, "metrics": True}
    write_telemetry(tmp_path, "127.0.0.1:4317", metrics=False)
    assert not TelemetryState.model_validate_json(telemetry_file(tmp_path).read_bytes()).metrics
    assert [path.name for path in tmp_path.iterdir()] == ["telemetry.json"]


def test_session_keys_are_made_once_and_closed_to_others(tmp_path: Path) -> None:
    keys = ensure_session_keys(tmp_path)
    pem = keys.private_key.read_bytes()
    assert mode(keys.private_key) == 0o600
    assert mode(keys.private_key.parent) == 0o700
    keys.private_key.chmod(0o644)
    assert ensure_session_keys(tmp_path).private_key.read_bytes() == pem
    assert mode(keys.private_key) == 0o600
    (jwk,) = json.loads(keys.jwks.read_bytes())["keys"]
    assert "d" not in jwk
    token = jwt.encode({"iss": ISSUER, "aud": AUDIENCE, "sub": "sessions/1"}, pem, "ES256")
    assert jwt.decode(token, jwt.PyJWK(jwk).key, algorithms=["ES256"], audience=AUDIENCE)["sub"] == "sessions/1"


def test_a_key_file_that_holds_something_else_is_named(tmp_path: Path) -> None:
    keys = ensure_session_keys(tmp_path)
    keys.private_key.write_text("nonsense")
    with pytest.raises(KeyFileError, match=r"session\.pem"):
        ensure_session_keys(tmp_path)


def test_certificates_name_services_and_chain_to_their_authority(tmp_path: Path) -> None:
    issue(tmp_path, days=30)
    authority = x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes())
    assert not (tmp_path / "ca.key").exists()
    for name in NAMES:
        certificate = x509.load_pem_x509_certificate((tmp_path / f"{name}.pem").read_bytes())
        certificate.verify_directly_issued_by(authority)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"spiffe://ragmesh/{name}"]
        key = serialization.load_pem_private_key((tmp_path / f"{name}.key").read_bytes(), None)
        assert key.public_key() == certificate.public_key()
        assert mode(tmp_path / f"{name}.key") == 0o600
        assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_settings_come_from_file_environment_and_option_in_that_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("RAGMESH_")]:
        monkeypatch.delenv(name)
    (tmp_path / "ragmesh.env").write_text(
        "RAGMESH_PUBLIC_PORT=1\nRAGMESH_LOCAL_PORT=1\nRAGMESH_ALLOWED_ORIGINS=https://a.example, https://b.example\n"
        "RAGMESH_OTLP_ENDPOINT=http://collector:4317/\nRAGMESH_LOG_LEVEL=debug\nOTHER=1\n"
    )
    monkeypatch.setenv("RAGMESH_PUBLIC_PORT", "2")
    monkeypatch.setenv("RAGMESH_LOCAL_PORT", "2")
    found = read_settings(tmp_path, public_port=3, local_port=None)
    assert (found.public_port, found.local_port) == (3, 2)
    assert found.allowed_origins == ("https://a.example", "https://b.example")
    assert found.otlp_endpoint == found.viewer_endpoint == "collector:4317"
    assert "OTHER" not in file_environment(tmp_path)
    assert file_environment(tmp_path)["RAGMESH_LOG_LEVEL"] == "debug"


@pytest.mark.parametrize(
    ("name", "value"), [("PUBLIC_PORT", "http"), ("PUBLIC_PORT", "70000"), ("TRACE_RATIO", "2"), ("OTLP_ENDPOINT", "collector")]
)
def test_a_wrong_setting_is_one_line_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"RAGMESH_{name}", value)
    with pytest.raises(CliError) as caught:
        read_settings(tmp_path)
    assert f"RAGMESH_{name}" in caught.value.message
    assert "\n" not in caught.value.message


def test_only_one_mesh_holds_a_folder(tmp_path: Path) -> None:
    folders = run_state.layout(tmp_path)
    folders.make()
    with run_state.held_lock(folders):
        run_state.write_state(folders, state_of(os.getpid(), tmp_path).model_copy(update={"web_url": "http://127.0.0.1:1"}))
        with pytest.raises(CliError, match=r"runs in .* already at http://127\.0\.0\.1:1"), run_state.held_lock(folders):
            raise AssertionError("two locks")
    with run_state.held_lock(folders):
        pass


def test_a_long_path_gets_a_short_run_folder_of_its_own(tmp_path: Path) -> None:
    long = run_state.layout(tmp_path / ("x" * 120))
    try:
        long.make()
        assert len(os.fsencode(long.run_dir / "retriever.admin.sock")) <= 107
        assert mode(long.run_dir) == 0o700
        assert long.run_dir != run_state.layout(tmp_path / ("y" * 120)).run_dir
        assert long.state_file.parent != long.run_dir
    finally:
        long.run_dir.rmdir()
    short = VarLayout(Path("/v"))
    assert short.run_dir == short.state_dir


def test_the_state_of_a_mesh_that_is_gone_is_not_believed(tmp_path: Path) -> None:
    folders = run_state.layout(tmp_path)
    folders.make()
    assert run_state.read_state(folders) is None
    process = subprocess.Popen((sys.executable, "-c", "input()"), stdin=subprocess.PIPE)
    run_state.write_state(folders, state_of(process.pid, tmp_path))
    assert run_state.read_state(folders) is not None
    process.communicate()
    assert run_state.read_state(folders) is None
    folders.state_file.write_text("{")
    assert run_state.read_state(folders) is None


def test_leftovers_are_ended_and_strangers_with_the_same_number_are_not(tmp_path: Path) -> None:
    folders = run_state.layout(tmp_path)
    folders.make()
    left, stranger = (
        subprocess.Popen((sys.executable, "-c", "input()"), stdin=subprocess.PIPE, start_new_session=True) for _ in range(2)
    )
    try:
        state = state_of(os.getpid(), tmp_path)
        mine = ProcessRef.of(left.pid)
        assert mine is not None
        state.processes = {"guard": mine, "envoy": ProcessRef(pid=stranger.pid, create_time=1.0)}
        run_state.write_state(folders, state)
        assert run_state.end_leftovers(folders) == ["guard"]
        assert left.wait(10) < 0
        assert stranger.poll() is None
        assert not folders.state_file.exists()
    finally:
        for process in (left, stranger):
            process.kill()
            process.communicate()


def test_a_log_that_grew_too_large_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_LOG_BYTES", 10)
    path = tmp_path / "a.log"
    with logs.open_log(path) as log:
        log.write(b"first line\nsecond line\n")
        logs.trim(path)
        log.write(b"third line\n")
    assert path.read_bytes() == b"third line\n"
    assert (tmp_path / "a.log.1").read_bytes() == b"first line\nsecond line\n"
    assert logs.last_words(path, lines=1) == "third line"
    assert logs.last_words(tmp_path / "none.log") == ""


def test_what_troubles_a_service_is_read_from_its_log(tmp_path: Path) -> None:
    path, now = tmp_path / "a.log", datetime(2026, 1, 2, tzinfo=UTC)
    lines = [
        '{"event": "old", "level": "error", "timestamp": "2026-01-01T00:00:00Z"}',
        '{"event": "late", "reason": "load", "level": "warning", "timestamp": "2026-01-02T00:00:01Z"}',
        "Traceback",
        '{"event": "rpc", "level": "info", "timestamp": "2026-01-02T00:00:02Z"}',
    ]
    path.write_text("\n".join(lines))
    assert logs.last_trouble(path, now) == "late: load"
    lines += ['{"event": "index.away", "reason": "no replica", "level": "error", "timestamp": "2026-01-02T00:00:03Z"}', lines[1]]
    path.write_text("\n".join(lines))
    assert logs.last_trouble(path, now) == "index.away: no replica"
    assert logs.last_trouble(tmp_path / "none.log", now) == ""
