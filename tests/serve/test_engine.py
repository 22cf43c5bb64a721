"""The thread that generates: turns, the bounded queue, cancelling, errors."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from allmend.model import Drawn
from allmend.serve import Engine, Served, app_of
from allmend.serve.engine import SIDE_BY_SIDE, Wish
from allmend.serve.errors import ApiError

WISH = Wish((1,), 50, 0.0, 1.0, 0)


class Endless:
    """Stands in for `generate`: tokens without end, counting those that run and those that were given up."""

    def __init__(self) -> None:
        self.started, self.ended = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, loaded: Any, tokens: Any, **settings: Any) -> Iterator[Drawn]:
        self.started.release()
        try:
            while True:
                time.sleep(0.001)
                yield Drawn(40, -1.0, ())
        finally:
            self.ended.release()


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> Endless:
    made = Endless()
    monkeypatch.setattr("allmend.serve.engine.generate", made)
    return made


def run(served: Served, work: Any, **settings: Any) -> Any:
    """Run a coroutine function with a started engine, and close it."""

    async def inside() -> Any:
        engine = Engine(served.loaded, **settings)
        engine.start()
        try:
            return await asyncio.wait_for(work(engine), 60)
        finally:
            await asyncio.to_thread(engine.close)

    return asyncio.run(inside())


def test_every_wish_is_met_with_its_own_tokens(served: Served) -> None:
    async def work(engine: Engine) -> list[list[int]]:
        async def collect(seed: int) -> list[int]:
            return [each.token async for each in engine.submit(Wish((1,), 30, 1.0, 1.0, seed))]

        alone = [await collect(seed) for seed in range(10)]
        assert await asyncio.gather(*map(collect, range(10))) == alone
        return alone

    assert len(set(map(tuple, run(served, work)))) > 1


def test_leaving_early_stops_the_generation(served: Served, endless: Endless) -> None:
    async def work(engine: Engine) -> None:
        tokens = engine.submit(WISH).__aiter__()
        await anext(tokens)
        await tokens.aclose()
        assert await asyncio.to_thread(endless.ended.acquire, timeout=30)

    run(served, work)


def test_a_wish_cancelled_while_it_waits_is_never_begun(served: Served, endless: Endless) -> None:
    async def work(engine: Engine) -> None:
        running = [engine.submit(WISH) for _ in range(SIDE_BY_SIDE)]
        for _ in running:
            assert await asyncio.to_thread(endless.started.acquire, timeout=30)
        waiting = engine.submit(WISH)
        waiting.cancel()
        for each in running:
            each.cancel()
        after = engine.submit(WISH)
        assert await asyncio.to_thread(endless.started.acquire, timeout=30)
        await anext(after.__aiter__())
        assert not endless.started.acquire(blocking=False)

    run(served, work)


def test_a_full_queue_turns_the_next_away(served: Served, endless: Endless) -> None:
    async def work(engine: Engine) -> None:
        for _ in range(SIDE_BY_SIDE):
            engine.submit(WISH)
            assert await asyncio.to_thread(endless.started.acquire, timeout=30)
        for _ in range(2):
            engine.submit(WISH)
        with pytest.raises(ApiError, match="2 requests are waiting already") as caught:
            engine.submit(WISH)
        assert (caught.value.status, caught.value.retry_after_s) == (503, 1)

    run(served, work, most_waiting=2)


def test_closing_ends_what_runs_with_an_error(served: Served, endless: Endless) -> None:
    async def work(engine: Engine) -> None:
        tokens = engine.submit(WISH).__aiter__()
        await anext(tokens)
        await asyncio.to_thread(engine.close)
        with pytest.raises(ApiError, match="shut down"):
            async for _ in tokens:
                pass
        with pytest.raises(ApiError, match="shutting down"):
            engine.submit(WISH)

    run(served, work)


def breaks(loaded: Any, tokens: Any, **settings: Any) -> Iterator[Drawn]:
    yield Drawn(40, -1.0, ())
    raise ValueError("a bug")


def test_an_error_in_the_middle_of_a_stream_is_an_event_and_not_done(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("allmend.serve.engine.generate", breaks)
    with TestClient(app_of(served), raise_server_exceptions=False) as client:
        body = {"model": served.id, "prompt": "All", "stream": True}
        text = client.post("/v1/completions", json=body).text
        assert '"error":{' in text and "[DONE]" not in text and "a bug" not in text
        whole = client.post("/v1/completions", json={**body, "stream": False})
        assert whole.status_code == 500 and whole.json()["error"]["type"] == "server_error"
        monkeypatch.undo()
        assert client.post("/v1/completions", json=body).text.endswith("[DONE]\n\n")
