"""A Weaviate as callers that block see it: clients of its nodes on a loop in a thread of their own, a limit of time, the next node
where one is away. Knows nothing of indexes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

import httpx
import weaviate
from weaviate import WeaviateAsyncClient
from weaviate.classes.init import AdditionalConfig, Auth, Timeout
from weaviate.exceptions import UnexpectedStatusCodeError, WeaviateBaseError

from services.retriever.index import IndexAway
from services.retriever.weaviate_settings import WeaviateNode, WeaviateSettings

T = TypeVar("T")
_MAX_WORDS = 300
Work = Callable[[WeaviateAsyncClient], Coroutine[Any, Any, T]]

_WATCH_SECONDS = 1.0
"""How often it is looked whether a node that is at work still lives."""
_LIVE_SECONDS = 5.0
"""How long a node may take to say so. It does nothing for it but answer."""


class WeaviateServer:
    """Clients of the nodes on an event loop in a thread of its own, for callers that block."""

    def __init__(self, settings: WeaviateSettings) -> None:
        self.settings = settings
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="weaviate", daemon=True)
        self._thread.start()
        self._clients = [_client(settings, node) for node in settings.nodes]
        self._watch = httpx.AsyncClient(trust_env=False, timeout=_LIVE_SECONDS)
        self._connecting = asyncio.Lock()
        self._first = 0
        """Which node is asked first: the last one that answered."""

    def run(self, work: Work[T], seconds: float) -> T:
        """Runs `work` for at most `seconds`, with the next node where one is away; what is late is cancelled, in Weaviate too.

        Raises:
            IndexAway: no node answers.
        """
        if not self._thread.is_alive():
            raise IndexAway("the connection to Weaviate was closed")
        future = asyncio.run_coroutine_threadsafe(self._within(work, seconds), self._loop)
        try:
            return future.result(seconds + 1.0)
        except FutureTimeoutError:
            future.cancel()
            raise IndexAway("Weaviate does not answer in time") from None

    async def _within(self, work: Work[T], seconds: float) -> T:
        ends = self._loop.time() + seconds
        failure = IndexAway("Weaviate does not answer in time")
        first, count = self._first, len(self._clients)
        for tried in range(count):
            at = (first + tried) % count
            # A node that hangs must leave time for the others.
            share = (ends - self._loop.time()) / (count - tried)
            try:
                async with asyncio.timeout(share):
                    client = self._clients[at]
                    async with self._connecting:  # two calls that connect at once would leave one connection behind
                        if not client.is_connected():
                            await client.connect()
                    answer = await self._watched(work(client), self.settings.nodes[at])
                self._first = at
                return answer
            except TimeoutError:
                failure = IndexAway("Weaviate does not answer in time")
            except (httpx.HTTPError, OSError) as error:
                failure = IndexAway(f"Weaviate cannot be reached: {type(error).__name__}")
            except UnexpectedStatusCodeError as error:
                failure = IndexAway(f"Weaviate refused ({error.status_code}): {_words(error)}")
            except WeaviateBaseError as error:  # its text may hold addresses
                failure = IndexAway(f"Weaviate failed: {type(error).__name__}")
        raise failure

    async def _watched(self, work: Coroutine[Any, Any, T], node: WeaviateNode) -> T:
        """The answer of `work`. Where the node is gone it ends soon: the client would try it again and again, for a minute.

        Raises:
            ConnectionResetError: the node does not live.
        """
        task = asyncio.ensure_future(work)
        try:
            while True:
                done, _ = await asyncio.wait({task}, timeout=_WATCH_SECONDS)
                if done:
                    return task.result()
                if not await self._lives(node) and not task.done():
                    raise ConnectionResetError("the node does not live")
        finally:
            task.cancel()

    async def _lives(self, node: WeaviateNode) -> bool:
        scheme = "https" if self.settings.secure else "http"
        try:
            await self._watch.get(f"{scheme}://{node.host}:{node.http_port}/v1/.well-known/live")
        except httpx.HTTPError:
            return False
        return True

    def close(self) -> None:
        """Ends the client and its thread; again is fine."""
        if self._loop.is_closed() or not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        self._loop.close()

    async def _close(self) -> None:
        for client in self._clients:
            await client.close()
        await self._watch.aclose()


def _client(settings: WeaviateSettings, node: WeaviateNode) -> WeaviateAsyncClient:
    return weaviate.use_async_with_custom(
        http_host=node.host,
        http_port=node.http_port,
        http_secure=settings.secure,
        grpc_host=node.host,
        grpc_port=node.grpc_port,
        grpc_secure=settings.secure,
        auth_credentials=Auth.api_key(settings.api_key) if settings.api_key else None,
        additional_config=AdditionalConfig(
            timeout=Timeout(init=settings.change_seconds, query=settings.search_seconds, insert=settings.change_seconds)
        ),
        # They ask a package registry for the newest version of the client.
        skip_init_checks=True,
    )


def _words(error: UnexpectedStatusCodeError) -> str:
    """Why Weaviate refused, as it says it: for example that it has fewer nodes than there are to be copies."""
    said: Any = error.error
    reasons = said.get("error", ()) if isinstance(said, dict) else ()
    messages = [str(one.get("message", "")) for one in reasons if isinstance(one, dict)]
    return " ".join("; ".join(messages or [str(said or "without a reason")]).split())[:_MAX_WORDS]
