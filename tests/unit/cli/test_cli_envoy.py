"""What Envoy is told: the facts that would be dear to lose, and that Envoy itself takes it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.parts import envoy_routes
from cli.parts.certificates import issue
from cli.parts.envoy import TEMPLATES, EnvoySettings, bootstrap, launch_spec
from cli.parts.envoy_routes import ClientFilesError, client_files
from cli.parts.keys import ensure_session_keys
from cli.parts.yaml_template import TemplateError, fill, load

FILTERS = ["health_check", "cors", "grpc_web", "local_ratelimit", "jwt_authn", "grpc_stats", "compressor", "router"]


@pytest.fixture
def settings(tmp_path: Path) -> EnvoySettings:
    return EnvoySettings(
        upstreams={"gateway": f"unix:{tmp_path}/g.sock", "retriever": f"unix:{tmp_path}/r.sock"},
        jwks_file=ensure_session_keys(tmp_path).jwks,
        admin_socket=tmp_path / "admin.sock",
        access_log=tmp_path / "access.log",
    )


def manager(tree: dict[str, Any], name: str) -> Any:
    listeners = {listener["name"]: listener for listener in tree["static_resources"]["listeners"]}
    return listeners[name]["filter_chains"][0]["filters"][0]["typed_config"]


def strings(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield key
            yield from strings(value)
    elif isinstance(tree, list):
        for item in tree:
            yield from strings(item)
    elif isinstance(tree, str):
        yield tree


def test_filters_stand_in_the_order_that_works(settings: EnvoySettings) -> None:
    names = [item["name"].removeprefix("envoy.filters.http.") for item in manager(bootstrap(settings), "public")["http_filters"]]
    assert names == FILTERS


def test_what_must_never_be_there(settings: EnvoySettings) -> None:
    words = set(strings(bootstrap(settings)))
    assert not {"grpc_timeout_header_max", "retry_policy", "retry_on", "envoy.filters.http.admission_control"} & words
    assert not any("${" in word for word in words)


def test_every_cluster_has_limits_that_somebody_chose(settings: EnvoySettings) -> None:
    for cluster in bootstrap(settings)["static_resources"]["clusters"]:
        (limits,) = cluster["circuit_breakers"]["thresholds"]
        assert limits["max_requests"] > 0
        assert limits["max_pending_requests"] > 0


def test_the_admin_interface_is_a_socket_for_the_owner_alone(settings: EnvoySettings) -> None:
    pipe = bootstrap(settings)["admin"]["address"]["pipe"]
    assert pipe["mode"] == 0o600


def test_nothing_is_sampled_unless_somebody_asks(settings: EnvoySettings) -> None:
    def sampled(given: EnvoySettings) -> Any:
        return bootstrap(given)["layered_runtime"]["layers"][0]["static_layer"]["tracing.random_sampling"]

    assert sampled(settings) == {"numerator": 0, "denominator": "MILLION"}
    assert sampled(replace(settings, sampling=0.05)) == {"numerator": 50_000, "denominator": "MILLION"}
    assert manager(bootstrap(settings), "public")["tracing"]["client_sampling"] == {"value": 0}


def test_each_method_of_the_contract_has_its_route(settings: EnvoySettings) -> None:
    def paths(listener: str) -> set[str]:
        hosts = manager(bootstrap(settings), listener)["route_config"]["virtual_hosts"]
        return {route["match"]["path"] for host in hosts for route in host["routes"] if "path" in route["match"]}

    gateway = {f"/ragmesh.gateway.v1.GatewayService/{name}" for name in envoy_routes.method_names(envoy_routes.GATEWAY_SERVICE)}
    documents = {
        f"/ragmesh.retriever.v1.DocumentService/{name}" for name in envoy_routes.method_names(envoy_routes.DOCUMENT_SERVICE)
    }
    assert paths("public") == gateway
    assert gateway | documents < paths("local")
    assert not any("guard" in path or "generator" in path or "RetrieverService" in path for path in paths("local"))


def test_what_needs_no_token_is_in_the_contract() -> None:
    assert set(envoy_routes.method_names(envoy_routes.GATEWAY_SERVICE)) > envoy_routes.ANONYMOUS_METHODS


@pytest.mark.parametrize(
    ("changes", "hosts"),
    [
        ({}, ("localhost", "127.0.0.1", "[::1]")),
        ({"public_host": "0.0.0.0"}, ("*",)),
        ({"public_host": "0.0.0.0", "public_hosts": ("rag.example",)}, ("rag.example", "localhost", "127.0.0.1", "[::1]")),
        ({"public_hosts": ("rag.example",)}, ("rag.example", "localhost", "127.0.0.1", "[::1]")),
    ],
)
def test_names_that_are_served(settings: EnvoySettings, changes: dict[str, Any], hosts: tuple[str, ...]) -> None:
    assert replace(settings, **changes).hosts == hosts


@pytest.mark.parametrize("variant", ["plain", "everything", "any host"])
def test_envoy_itself_takes_it(settings: EnvoySettings, tmp_path: Path, variant: str) -> None:
    if variant == "everything":
        (tmp_path / "dist").mkdir()
        (tmp_path / "dist" / "index.html").write_text("<p>" * 100_000)
        issue(tmp_path / "tls", days=1)
        settings = replace(
            settings,
            upstreams={"gateway": "127.0.0.1:1", "retriever": "127.0.0.1:2"},
            client_dir=tmp_path / "dist",
            tls_dir=tmp_path / "tls",
            allowed_origins=("https://a.example", "https://b.example"),
            public_hosts=("rag.example",),
            otlp_endpoint="collector.example:4317",
            sampling=1.0,
        )
    if variant == "any host":
        settings = replace(settings, public_host="0.0.0.0")
    spec = launch_spec(tmp_path / "work", settings)
    done = subprocess.run((*spec.argv, "--mode", "validate"), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower()


def test_too_large_and_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.js").write_bytes(b"x" * (envoy_routes.MAX_FILE_BYTES + 1))
    with pytest.raises(ClientFilesError, match=r"a\.js"):
        client_files(tmp_path)
    monkeypatch.setattr(envoy_routes, "MAX_FILES", 0)
    with pytest.raises(ClientFilesError, match="1 files"):
        client_files(tmp_path)


def test_templates_take_types_lists_and_text() -> None:
    tree = {"port": "${port}", "list": ["first", "${*more}"], "text": "a ${word} b", "nested": [{"x": "${port}"}]}
    filled = fill(tree, {"port": 8080, "more": [1, {"y": 2}], "word": "$& ${port}"})
    assert filled == {"port": 8080, "list": ["first", 1, {"y": 2}], "text": "a $& ${port} b", "nested": [{"x": 8080}]}


@pytest.mark.parametrize("tree", ["${missing}", "a ${missing}", ["${*missing}"], ["${*text}"]])
def test_a_template_without_its_value_is_an_error(tree: Any) -> None:
    with pytest.raises(TemplateError):
        fill(tree, {"text": "x"})


def test_every_template_says_what_it_is_for() -> None:
    for path in TEMPLATES.glob("*.yaml"):
        assert path.read_text().startswith("# "), path
        assert load(path)
