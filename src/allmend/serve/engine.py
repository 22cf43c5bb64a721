"""The one thread that generates: requests wait in a bounded queue and take turns, a token each."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass

from allmend.model import Drawn, Loaded, generate
from allmend.serve.errors import ApiError

MOST_WAITING = 32
"""Requests that may wait; one more is turned away at once, so that nobody waits for what will not come soon."""
SIDE_BY_SIDE = 4
"""Requests that take turns: a short one needn't wait for a long one to end."""


Tokens = Generator[Drawn, None, None]


@dataclass(frozen=True)
class Wish:
    """What to generate. `max_tokens` already fits the model's context."""

    tokens: tuple[int, ...]
    max_tokens: int
    temperature: float
    top_p: float
    seed: int
    top_logprobs: int = 0


class Ticket:
    """A wish on its way: the thread puts tokens in, the event loop takes them out. Anyone may `cancel` it."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.cancelled = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._given: asyncio.Queue[Drawn | BaseException | None] = asyncio.Queue()

    def give(self, event: Drawn | BaseException | None) -> None:
        """From the thread: a token, an error, or None at the end."""
        try:
            self._loop.call_soon_threadsafe(self._given.put_nowait, event)
        except RuntimeError:  # the loop is closed: nobody is there to read it
            self.cancelled.set()

    def cancel(self) -> None:
        self.cancelled.set()

    async def __aiter__(self) -> AsyncIterator[Drawn]:
        """Tokens as they come. Leaving early stops the generation."""
        try:
            while (event := await self._given.get()) is not None:
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            self.cancel()


class Engine:
    """Generates with one model, in one thread."""

    def __init__(self, loaded: Loaded, most_waiting: int = MOST_WAITING) -> None:
        self.loaded = loaded
        self._most_waiting = most_waiting
        self._waiting: deque[Ticket] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="generation", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Let no new wish in, give up those that wait or run, and wait for the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def submit(self, wish: Wish) -> Ticket:
        """Queue a wish; to be called in the event loop.

        Raises:
            ApiError: 503, the queue is full or the server is going down.
        """
        ticket = Ticket(wish)
        with self._changed:
            if self._closing:
                raise ApiError(503, "this server is shutting down.", code="shutting_down", kind="server_error")
            if len(self._waiting) >= self._most_waiting:
                raise ApiError(
                    503, f"{self._most_waiting} requests are waiting already; try again in a moment.",
                    code="queue_full", kind="server_error", retry_after_s=1,
                )  # fmt: skip
            self._waiting.append(ticket)
            self._changed.notify()
        return ticket

    def _work(self) -> None:
        active: deque[tuple[Ticket, Tokens]] = deque()
        while self._admit(active):
            if not active:
                continue
            ticket, tokens = active.popleft()
            if ticket.cancelled.is_set():
                tokens.close()
                continue
            try:
                drawn = next(tokens, None)
            except Exception as error:
                drawn = None
                ticket.give(error)
            ticket.give(drawn)
            if drawn is not None:
                active.append((ticket, tokens))
        for ticket, _ in active:
            ticket.give(ApiError(503, "this server shut down.", code="shutting_down", kind="server_error"))

    def _admit(self, active: deque[tuple[Ticket, Tokens]]) -> bool:
        """Wait if there is nothing to do; take in what waits. False once the engine closes."""
        with self._changed:
            while not self._closing and not active and not self._waiting:
                self._changed.wait()
            while self._waiting and (self._closing or len(active) < SIDE_BY_SIDE):
                ticket = self._waiting.popleft()
                if not ticket.cancelled.is_set():
                    active.append((ticket, self._tokens(ticket.wish)))
            return not self._closing

    def _tokens(self, wish: Wish) -> Tokens:
        specials = self.loaded.specials
        never = [specials[name] for name in ("pad", "bod", "withdrawn") if name in specials]
        return generate(
            self.loaded, wish.tokens, max_tokens=wish.max_tokens, temperature=wish.temperature, top_p=wish.top_p,
            seed=wish.seed, top_logprobs=wish.top_logprobs, never=never,
        )  # fmt: skip
