"""The web application: OpenAI's doors, the trace, the page. Bodies are bounded, answers stream, nothing is stored."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from allmend.serve.answers import Answer, ChatAnswer, TextAnswer, Tokens
from allmend.serve.asked import LARGEST_BODY_BYTES, Asked, chat_asked, read_body, text_asked, trace_asked
from allmend.serve.engine import Engine, Ticket, Wish
from allmend.serve.errors import ApiError, dump
from allmend.serve.guard import Guard
from allmend.serve.pages import Pages
from allmend.serve.served import Served
from allmend.serve.sources import LONGEST_TEXT
from allmend.serve.text import Piece, TextStream

BROKEN = ApiError(500, "something went wrong in this server; its log says what.", kind="server_error")


def app_of(served: Served, hosts: tuple[str, ...] = (), engine: Engine | None = None) -> Starlette:
    """The application that serves one model.

    Args:
        hosts: names that a request's Host may have; empty: any.
        engine: another than a fresh one, for tests.
    """
    doors = Doors(served, engine or Engine(served.loaded))
    pages = Pages(served)
    routes = [
        Route("/v1/models", doors.models),
        Route("/v1/models/{id:path}", doors.model),
        Route("/v1/completions", doors.completions, methods=["POST"]),
        Route("/v1/chat/completions", doors.chat, methods=["POST"]),
        Route("/v1/trace", doors.trace, methods=["POST"]),
        *pages.routes(),
    ]

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        doors.engine.start()
        yield
        await asyncio.to_thread(doors.engine.close)

    handlers: Mapping[Any, Any] = {ApiError: _api_error, HTTPException: pages.http_error, Exception: _our_error}
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
    app.add_middleware(Guard, hosts=hosts)
    return app


@dataclass
class Doors:
    """The endpoints for programs."""

    served: Served
    engine: Engine

    def __post_init__(self) -> None:
        self._tokens = Tokens(self.served.loaded.tokenizer)

    async def models(self, request: Request) -> Response:
        return _json({"object": "list", "data": [self.served.card()]})

    async def model(self, request: Request) -> Response:
        self._known(request.path_params["id"])
        return _json(self.served.card())

    async def completions(self, request: Request) -> Response:
        return await self._answer(request, text_asked(await _body(request)), TextAnswer)

    async def chat(self, request: Request) -> Response:
        asked = chat_asked(await _body(request))
        if self.served.has_chat_template:
            raise ApiError(400, self.served.chat_note, code="chat_template_not_applied")
        return await self._answer(request, asked, ChatAnswer)

    async def trace(self, request: Request) -> Response:
        text = trace_asked(await _body(request), LONGEST_TEXT)
        if self.served.sources is None:
            raise ApiError(404, "no index of training text is served here: start with --index NAME.", code="no_index")
        return _json(await asyncio.to_thread(self.served.sources.trace, text))

    async def _answer(self, request: Request, asked: Asked, kind: type[Answer]) -> Response:
        self._known(asked.model)
        wish = await asyncio.to_thread(self._wish, asked)  # a megabyte takes the tokenizer a while
        answer = kind(self.served.id, f"fp_{self.served.digest[:12] or 'local'}", self._tokens, asked.logprobs)
        ticket = self.engine.submit(wish)
        running = Running(ticket, TextStream(self.served.loaded.tokenizer, asked.stops))
        if asked.stream:
            events = _events(running, answer, asked.include_usage)
            return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-store"})
        pieces = await _while_there(request, running)
        return _json(answer.whole(pieces, running.reason, running.usage()))

    def _known(self, model: str) -> None:
        if model != self.served.id:
            raise ApiError(
                404, f"the model {model!r} is not served here; there is {self.served.id!r}.", "model", "model_not_found"
            )

    def _wish(self, asked: Asked) -> Wish:
        """The request in tokens, fitted to the context."""
        specials, shape = self.served.loaded.specials, self.served.loaded.shape
        tokens = asked.prompt
        if isinstance(tokens, str):
            start = [specials["bod"]] if "bod" in specials else []
            tokens = (*start, *self.served.loaded.tokenizer.encode(tokens, add_special_tokens=False).ids)
        if any(token >= shape.vocab for token in tokens):
            raise ApiError(400, f"prompt has a token id beyond the vocabulary of {shape.vocab:,}.", "prompt")
        room = shape.context - len(tokens)
        if room < 1 or not tokens:
            raise ApiError(
                400,
                f"the prompt has {len(tokens):,} tokens; the model's context is {shape.context:,} with the answer.",
                "prompt",
                "context_length_exceeded",
            )
        most = min(asked.max_tokens or room, room)
        return Wish(tokens, most, asked.temperature, asked.top_p, asked.seed, asked.top_logprobs)


class Running:
    """An answer as it is made: pieces of text, then why it ended and what was used."""

    def __init__(self, ticket: Ticket, text: TextStream) -> None:
        self.ticket = ticket
        self.reason = "stop"
        self._text = text
        self._count = 0

    async def pieces(self) -> AsyncIterator[Piece]:
        async with contextlib.aclosing(self.ticket.__aiter__()) as tokens:
            async for drawn in tokens:
                self._count += 1
                if piece := self._text.push(drawn):
                    yield piece
                if self._text.stopped:
                    break
        if not self._text.stopped and self._count == self.ticket.wish.max_tokens:
            self.reason = "length"
        last = self._text.end()
        if last.text or last.drawn:
            yield last

    def usage(self) -> dict[str, int]:
        read = len(self.ticket.wish.tokens)
        return {"prompt_tokens": read, "completion_tokens": self._count, "total_tokens": read + self._count}


async def _events(running: Running, answer: Answer, shows_usage: bool) -> AsyncIterator[bytes]:
    """Server-sent events. An error in the middle is an event of its own, and then `[DONE]` doesn't come."""
    try:
        if opening := answer.opening():
            yield _event(answer.chunk(opening, None, shows_usage))
        async with contextlib.aclosing(running.pieces()) as pieces:
            async for piece in pieces:
                yield _event(answer.chunk(answer.piece(piece), None, shows_usage))
        yield _event(answer.chunk(answer.closing(running.reason), None, shows_usage))
        if shows_usage:
            yield _event(answer.chunk(None, running.usage(), True))
        yield b"data: [DONE]\n\n"
    except ApiError as error:
        yield _event(error.envelope())
    except Exception:
        logging.getLogger("uvicorn.error").exception("an answer broke off")
        yield _event(BROKEN.envelope())
    finally:
        running.ticket.cancel()


async def _while_there(request: Request, running: Running) -> list[Piece]:
    """All pieces; generation stops if the client goes away before."""

    async def collected() -> list[Piece]:
        return [piece async for piece in running.pieces()]

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    work, watch = asyncio.create_task(collected()), asyncio.create_task(gone())
    try:
        await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientDisconnect
        return work.result()
    finally:
        running.ticket.cancel()
        for task in (work, watch):
            task.cancel()
        await asyncio.gather(work, watch, return_exceptions=True)


async def _body(request: Request) -> Mapping[str, Any]:
    """The request's JSON object, read no further than the limit."""
    too_long = ApiError(413, f"the body is longer than {LARGEST_BODY_BYTES:,} bytes.", code="body_too_long")
    if int(request.headers.get("content-length") or 0) > LARGEST_BODY_BYTES:
        raise too_long
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > LARGEST_BODY_BYTES:
            raise too_long
    return read_body(bytes(raw))


def _json(value: Any) -> Response:
    return Response(dump(value), media_type="application/json", headers={"cache-control": "no-store"})


def _event(value: Any) -> bytes:
    return b"data: " + dump(value) + b"\n\n"


async def _api_error(request: Request, error: ApiError) -> Response:
    return error.response()


async def _our_error(request: Request, error: Exception) -> Response:
    return BROKEN.response()
