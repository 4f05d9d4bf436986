"""What a person can set for `ragmesh up` and the commands beside it.

Read from the environment (prefix `RAGMESH_`) and from `{var}/ragmesh.env`; an option of the command line wins. Services read
their own settings from the same places; see `services/*/settings.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cli.errors import EXIT_USAGE, CliError

REPOSITORY = Path(__file__).resolve().parents[1]
DEFAULT_VAR = REPOSITORY / "var"

Port = Annotated[int, Field(ge=0, le=65_535)]
Words = Annotated[tuple[str, ...], NoDecode]


class UpSettings(BaseSettings):
    """Settings of the edge and of the supervisor."""

    model_config = SettingsConfigDict(env_prefix="RAGMESH_", extra="ignore", frozen=True)

    public_host: str = "127.0.0.1"
    """Address that browsers reach."""
    public_port: Port = 8080
    """0: any free port."""
    local_host: str = "127.0.0.1"
    """Address of plain gRPC. Who reaches it acts as the owner of this machine: leave it on loopback."""
    local_port: Port = 8081
    """0: any free port."""
    public_hosts: Words = ()
    """Names that browsers may use for this machine, separated by commas."""
    allowed_origins: Words = ()
    """Origins of other pages that may call, for example `https://example.org`, separated by commas."""
    public_refresh: bool = False
    """Whether builds of sites may call `DocumentService.Refresh` at the public address, signed with their source's secret."""
    otlp_endpoint: str | None = None
    """`host:port` of an OTLP gRPC receiver that gets the traces. None: none, until `ragmesh traces`."""
    trace_ratio: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of the turns that are traced where there is a receiver."""
    tls_dir: Path | None = None
    """Folder that `ragmesh certs` filled. Set: the services speak mTLS with each other."""
    triton_runtime: Literal["auto", "onnxruntime", "tensorrt"] = "auto"
    """What runs the models. `auto`: TensorRT engines where `make engines` made them and a GPU is there, else ONNX Runtime.
    `tensorrt` fails at start where an engine cannot run, and says why."""
    store: Literal["embedded", "weaviate"] = "embedded"
    """Where the index of the documents stands: in files of the mesh, or on a Weaviate that is started with it."""
    start_seconds: Annotated[float, Field(gt=0, le=600)] = 60.0
    """How long everything may take to become ready."""
    sample_corpus: bool = True
    """Whether `ragmesh up` loads the ChatCBD sample documents."""

    @field_validator("public_hosts", "allowed_origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(word.strip() for word in value.split(",") if word.strip())
        return value

    @field_validator("otlp_endpoint", mode="before")
    @classmethod
    def _no_scheme(cls, value: Any) -> Any:
        if isinstance(value, str):
            bare = value.removeprefix("http://").strip("/")
            host, _, port = bare.rpartition(":")
            if not bare:
                return None
            if not host or not port.isdigit():
                raise ValueError("must be host:port")
            return bare
        return value

    @property
    def viewer_endpoint(self) -> str:
        """Where a trace viewer listens: the receiver that is set, else the usual port on loopback."""
        return self.otlp_endpoint or "127.0.0.1:4317"


def env_file(var_dir: Path) -> Path:
    """The file of settings that belongs to a var folder."""
    return var_dir / "ragmesh.env"


def read_settings(var_dir: Path, **changes: Any) -> UpSettings:
    """Settings of the environment and of `{var_dir}/ragmesh.env`, with `changes` over them; a change of None counts as unset.

    Raises:
        CliError: a setting has a value that it cannot have.
    """
    given: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
    given["_env_file"] = env_file(var_dir)
    try:
        return UpSettings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = "RAGMESH_" + "_".join(str(part) for part in first["loc"]).upper()
        raise CliError(
            f"The setting {name} cannot be {first['input']!r}: {first['msg']}.",
            f"Change it in the environment or in {env_file(var_dir)}.",
            exit_code=EXIT_USAGE,
        ) from error


def file_environment(var_dir: Path) -> dict[str, str]:
    """What `{var_dir}/ragmesh.env` says, as environment variables for the services."""
    found = dotenv_values(env_file(var_dir))
    return {name: value for name, value in found.items() if name.startswith("RAGMESH_") and value is not None}
