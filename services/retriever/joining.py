"""Calls that many documents make at the same time become one: what waits while a call is under way goes into the next together.

Nobody waits for company: a caller that is alone is served at once. Knows no model.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from services.mesh.errors import MeshError

R = TypeVar("R")


@dataclass(eq=False)
class _Caller(Generic[R]):
    texts: Sequence[str]
    future: asyncio.Future[list[R]]
    context: contextvars.Context
    asked: int = 0
    """How many of its texts were sent."""
    found: list[R] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Part(Generic[R]):
    """What a call holds of one caller."""

    caller: _Caller[R]
    texts: Sequence[str]


class Joined(Generic[R]):
    """One result for each text, in order.

    Args:
        ask: one call: a result for each text.
        most: texts in one call.
        most_chars: characters in one call; a text that alone is longer is a call of its own.
        portion: what of either the next call may have.
    """

    def __init__(
        self,
        ask: Callable[[list[str]], Awaitable[Sequence[R]]],
        *,
        most: int,
        most_chars: int,
        portion: Callable[[int], int] = int,
    ) -> None:
        self._ask = ask
        self._most = most
        self._most_chars = most_chars
        self._portion = portion
        self._waiting: deque[_Caller[R]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, texts: Sequence[str]) -> list[R]:
        """Raises what the call raises."""
        if not texts:
            return []
        caller: _Caller[R] = _Caller(texts, asyncio.get_running_loop().create_future(), contextvars.copy_context())
        self._waiting.append(caller)
        self._next()
        return await caller.future

    def _next(self) -> None:
        if self._running is not None:
            return
        parts = self._parts()
        if parts:
            # In the context of the first: its trace, its principal.
            self._running = asyncio.create_task(self._serve(parts), context=parts[0].caller.context.copy())
            self._running.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._running = None
        if not task.cancelled():
            task.result()
        self._next()

    def _parts(self) -> list[_Part[R]]:
        """The next call: something of each caller in turn, so that a long document does not hold up the short ones."""
        parts: list[_Part[R]] = []
        room, chars = self._portion(self._most), self._portion(self._most_chars)
        for _ in range(len(self._waiting)):
            caller = self._waiting.popleft()
            if caller.future.done():  # it went away, or what it asked for failed
                continue
            taken: list[str] = []
            for text in caller.texts[caller.asked : caller.asked + room]:
                if chars < len(text) and (parts or taken):
                    break
                taken.append(text)
                chars -= len(text)
            room -= len(taken)
            caller.asked += len(taken)
            if taken:
                parts.append(_Part(caller, taken))
            if caller.asked < len(caller.texts):
                # Behind the others where it got something; still first where it did not.
                (self._waiting.append if taken else self._waiting.appendleft)(caller)
            if not room or chars <= 0 or not taken:
                break
        return parts

    async def _serve(self, parts: Sequence[_Part[R]]) -> None:
        try:
            found = await self._ask([text for part in parts for text in part.texts])
        except MeshError as error:
            if len(parts) == 1:
                _fail(parts[0].caller, error)
                return
            # It may be the fault of one of them, which is not the others'.
            for part in parts:
                await self._serve([part])
            return
        except BaseException as error:
            for part in parts:
                _fail(part.caller, error)
            if not isinstance(error, Exception):
                raise
            return
        at = 0
        for part in parts:
            caller = part.caller
            caller.found.extend(found[at : at + len(part.texts)])
            at += len(part.texts)
            if len(caller.found) == len(caller.texts) and not caller.future.done():
                caller.future.set_result(caller.found)


def _fail(caller: _Caller[R], error: BaseException) -> None:
    if not caller.future.done():
        caller.future.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
