"""`allmend serve` as a process on loopback: OpenAI's own client, clients that leave, the end by a signal."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("torch", reason="needs the package torch")
openai = pytest.importorskip("openai", reason="needs the package openai")
uvicorn = pytest.importorskip("uvicorn", reason="needs the package uvicorn")

from allmend.serve import app_of, open_model  # noqa: E402
from tests.serve.test_engine import Endless  # noqa: E402
from tests.serve.world import make_model, make_workspace, served  # noqa: E402

pytestmark = pytest.mark.system
MODEL = "village/model"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("village") / "ledger"
    make_workspace(folder)
    with served(MODEL, "--workspace", str(folder)) as (url, _):
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> Any:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


def test_the_official_client_lists_the_model(client: Any) -> None:
    listed = client.models.list().data
    assert [model.id for model in listed] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("village/other")
    assert caught.value.code == "model_not_found"


def test_the_official_client_completes(client: Any) -> None:
    settings = {"model": MODEL, "prompt": "All human beings", "max_tokens": 20, "seed": 4, "logprobs": 2}
    answer = client.completions.create(**settings)
    streamed = list(client.completions.create(**settings, stream=True, stream_options={"include_usage": True}))
    assert answer.choices[0].text == "".join(event.choices[0].text for event in streamed if event.choices)
    assert streamed[-1].usage == answer.usage
    assert len(answer.choices[0].logprobs.tokens) == answer.usage.completion_tokens


def test_the_official_client_chats(client: Any) -> None:
    settings = {"model": MODEL, "messages": [{"role": "user", "content": "All human beings"}], "temperature": 0}
    settings |= {"max_tokens": 15, "logprobs": True, "top_logprobs": 2}
    answer = client.chat.completions.create(**settings)
    streamed = list(client.chat.completions.create(**settings, stream=True))
    said = "".join(event.choices[0].delta.content or "" for event in streamed)
    assert answer.choices[0].message.content == said and answer.choices[0].finish_reason == "length"
    found = [token for event in streamed for token in (event.choices[0].logprobs or _Nothing).content]
    assert b"".join(map(bytes, (token.bytes for token in found))).decode(errors="replace") == said


class _Nothing:
    content: tuple[()] = ()


def test_the_official_clients_helper_streams(client: Any) -> None:
    with client.chat.completions.stream(
        model=MODEL, messages=[{"role": "user", "content": "All"}], max_tokens=10, seed=1
    ) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
        assert stream.current_completion_snapshot.choices[0].message.content == text


def test_the_official_client_raises_its_own_errors(client: Any) -> None:
    def ask(**more: Any) -> None:
        client.completions.create(**{"model": MODEL, "prompt": "All", **more})

    with pytest.raises(openai.NotFoundError):
        ask(model="gpt-4")
    with pytest.raises(openai.BadRequestError) as caught:
        ask(temperature=7)
    assert caught.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as caught:
        ask(prompt="word " * 300)
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.APIStatusError) as caught:
        ask(prompt="x" * 2**21)
    assert caught.value.status_code == 413


def test_answers_side_by_side_are_those_given_one_by_one(client: Any) -> None:
    def ask(seed: int) -> str:
        text: str = client.completions.create(model=MODEL, prompt="All", max_tokens=30, seed=seed).choices[0].text
        return text

    found: dict[int, str] = {}
    threads = [threading.Thread(target=lambda seed=seed: found.update({seed: ask(seed)})) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {seed: ask(seed) for seed in range(12)}


@pytest.fixture
def endless_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int, Endless]]:
    """A real server in this process whose model never ends, so that only a client's leaving can stop it."""
    endless = Endless()
    monkeypatch.setattr("allmend.serve.engine.generate", endless)
    make_model(tmp_path / "endless")
    server = uvicorn.Server(uvicorn.Config(app_of(open_model(None, str(tmp_path / "endless"))), log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield "127.0.0.1", listening.getsockname()[1], endless
        server.should_exit = True
        thread.join(60)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_stops_the_generation(endless_server: tuple[str, int, Endless], stream: bool) -> None:
    host, port, endless = endless_server
    connection = http.client.HTTPConnection(host, port, timeout=60)
    body = {"model": "local/endless", "prompt": "All", "stream": stream, "max_tokens": 100}
    connection.request("POST", "/v1/completions", json.dumps(body), {"content-type": "application/json"})
    assert endless.started.acquire(timeout=60)
    response = connection.getresponse() if stream else None
    if response:
        assert response.readline().startswith(b"data: ")
        response.close()
    connection.close()
    assert endless.ended.acquire(timeout=60)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_lets_a_running_answer_end(tmp_path: Path, number: signal.Signals, code: int) -> None:
    make_model(tmp_path / "long", context=600)
    with served("long", folder=tmp_path) as (url, process):
        place = urlsplit(url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        body = {"model": "local/long", "prompt": "All", "stream": True, "max_tokens": 500, "temperature": 2, "seed": 1}
        connection.request("POST", "/v1/completions", json.dumps(body))
        response = connection.getresponse()
        first = response.readline()
        process.send_signal(number)
        assert first.startswith(b"data: ") and response.read().endswith(b"data: [DONE]\n\n")
        assert process.wait(60) == code


def test_a_port_in_use_is_one_paragraph(tmp_path: Path) -> None:
    make_model(tmp_path / "model")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "allmend.cli.main", "serve", str(tmp_path / "model"), "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "choose one with --port" in done.stderr and "Traceback" not in done.stderr
