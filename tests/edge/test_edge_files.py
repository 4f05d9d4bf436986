"""The client's files: types, cache rules, compression, and what is not served."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.edge.conftest import Edge
from tests.edge.wire import exchange


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/assets/app-0123456789ab.css", "text/css; charset=utf-8"),
        ("/icon.png", "image/png"),
    ],
)
async def test_a_file_is_served_with_its_type(edge: Edge, client_dir: Path, path: str, content_type: str) -> None:
    reply = await exchange(edge.public_port, "GET", path)
    assert reply.status == 200
    assert reply.headers["content-type"] == content_type
    assert reply.body == (client_dir / ("index.html" if path == "/" else path[1:])).read_bytes()


async def test_300_kilobytes_arrive_whole_and_compressed_where_asked(edge: Edge, client_dir: Path) -> None:
    whole = (client_dir / "app.js").read_bytes()
    assert len(whole) > 300_000
    plain = await exchange(edge.public_port, "GET", "/app.js")
    assert plain.body == whole
    packed = await exchange(edge.public_port, "GET", "/app.js", {"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < len(whole) / 10
    assert gzip.decompress(packed.body) == whole


async def test_head_has_the_length_and_no_body(edge: Edge) -> None:
    reply = await exchange(edge.public_port, "HEAD", "/app.js")
    assert (reply.status, reply.headers["content-length"], reply.body) == (200, "312000", b"")


async def test_a_name_with_a_hash_is_kept_for_good_and_any_other_asked_for_again(edge: Edge) -> None:
    hashed = await exchange(edge.public_port, "GET", "/assets/app-0123456789ab.css")
    assert hashed.headers["cache-control"] == "public, max-age=31536000, immutable"
    index = await exchange(edge.public_port, "GET", "/")
    assert index.headers["cache-control"] == "no-cache"


async def test_what_the_browser_has_is_not_sent_again(edge: Edge) -> None:
    first = await exchange(edge.public_port, "GET", "/app.js", {"accept-encoding": "gzip"})
    again = await exchange(edge.public_port, "GET", "/app.js", {"if-none-match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    other = await exchange(edge.public_port, "GET", "/app.js", {"if-none-match": 'W/"0"'})
    assert other.status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/app.js.map",
        "/.env",
        "/assets/",
        "/no-such-file",
        "/../envoy.log",
        "/assets/../../envoy.log",
        "/%2e%2e/envoy.log",
        "/ragmesh.gateway.v1.GatewayService",
        "/ragmesh.gateway.v1.GatewayService/NoSuchMethod",
        "/ragmesh.retriever.v1.DocumentService/ListDocuments",
        "/server_info",
        "/runtime_modify?tracing.random_sampling=100",
    ],
)
async def test_nothing_else_is_served(edge: Edge, path: str) -> None:
    assert (await exchange(edge.public_port, "GET", path)).status in (400, 404)
    assert (await exchange(edge.public_port, "POST", path, body=b"")).status in (400, 404)


async def test_a_file_takes_no_post(edge: Edge) -> None:
    assert (await exchange(edge.public_port, "POST", "/app.js", body=b"x")).status == 404


async def test_escaped_slashes_are_refused(edge: Edge) -> None:
    assert (await exchange(edge.public_port, "GET", "/assets%2fapp.js")).status == 400
