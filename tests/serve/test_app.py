"""The doors and pages in process: shapes of answers, errors, traces, escaping, headers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from allmend.kinds.errors import UsageError
from allmend.ledger import Ledger
from allmend.serve import Served, app_of, open_model
from allmend.serve.asked import LARGEST_BODY_BYTES
from allmend.serve.pages import marked
from tests.serve.world import DOCUMENTS, WITHDRAWN_HOST, id_of, make_model

MODEL = "village/model"


def ask(client: TestClient, **body: Any) -> Any:
    return client.post("/v1/completions", json={"model": MODEL, "prompt": "All", "max_tokens": 4, **body})


def chat(client: TestClient, **body: Any) -> Any:
    messages = [{"role": "user", "content": "All human"}]
    return client.post("/v1/chat/completions", json={"model": MODEL, "messages": messages, "max_tokens": 4, **body})


def events(response: Any) -> list[dict[str, Any]]:
    parts = response.text.split("\n\n")
    assert parts[-2:] == ["data: [DONE]", ""]
    return [json.loads(part.removeprefix("data: ")) for part in parts[:-2]]


def test_a_completion_has_the_shape_of_openais(client: TestClient) -> None:
    answer = ask(client, temperature=0).json()
    assert answer["object"] == "text_completion" and answer["model"] == MODEL
    assert answer["usage"]["completion_tokens"] <= 4
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"]
    choice = answer["choices"][0]
    assert (choice["index"], choice["logprobs"], choice["finish_reason"]) == (0, None, "length")


def test_a_stream_has_the_text_of_the_whole_answer(client: TestClient) -> None:
    whole = ask(client, temperature=1, seed=5, max_tokens=40).json()
    streamed = events(ask(client, temperature=1, seed=5, max_tokens=40, stream=True))
    assert "".join(event["choices"][0]["text"] for event in streamed) == whole["choices"][0]["text"]
    assert streamed[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert len({event["id"] for event in streamed}) == 1
    assert not any("usage" in event for event in streamed)


def test_usage_comes_in_a_last_event_if_asked_for(client: TestClient) -> None:
    streamed = events(chat(client, stream=True, stream_options={"include_usage": True}))
    assert streamed[0]["choices"][0]["delta"]["role"] == "assistant"
    assert streamed[-1]["choices"] == [] and streamed[-1]["usage"]["completion_tokens"] == 4
    assert all(event["usage"] is None for event in streamed[:-1])


def test_the_same_seed_gives_the_same_text(client: TestClient) -> None:
    texts = [ask(client, seed=seed, max_tokens=30).json()["choices"][0]["text"] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_chat_continues_the_text_of_its_messages(client: TestClient) -> None:
    settings = {"temperature": 0, "max_tokens": 20}
    said = chat(
        client, messages=[{"role": "system", "content": "Be free"}, {"role": "user", "content": "All"}], **settings
    )
    continued = ask(client, prompt="Be free\nAll", **settings)
    assert said.json()["choices"][0]["message"]["content"] == continued.json()["choices"][0]["text"]
    assert said.json()["usage"] == continued.json()["usage"]


def test_the_card_says_how_a_chat_is_answered(client: TestClient) -> None:
    cards = client.get("/v1/models").json()["data"]
    assert [card["id"] for card in cards] == [MODEL]
    assert "without a chat template" in cards[0]["allmend"]["chat"] and cards[0]["allmend"]["trace"] is True
    assert client.get(f"/v1/models/{MODEL}").json() == cards[0]
    assert client.get("/v1/models/village/other").json()["error"]["code"] == "model_not_found"


def test_the_prompt_may_be_tokens(client: TestClient, served: Served) -> None:
    ids = [1, *served.loaded.tokenizer.encode("All human").ids]
    texts = [
        ask(client, prompt=prompt, temperature=0).json()["choices"][0]["text"] for prompt in ("All human", ids, [ids])
    ]
    assert len(set(texts)) == 1


def test_no_text_forges_a_special_token(client: TestClient) -> None:
    usage = ask(client, prompt="<eod>").json()["usage"]
    assert usage["prompt_tokens"] > 2


def test_log_probabilities_name_each_token(client: TestClient) -> None:
    answer = ask(client, logprobs=2, max_tokens=10, seed=3).json()
    choice, found = answer["choices"][0], answer["choices"][0]["logprobs"]
    assert len(found["tokens"]) == len(found["token_logprobs"]) == answer["usage"]["completion_tokens"]
    assert all(logprob <= 0 for logprob in found["token_logprobs"])
    assert found["text_offset"][0] == 0 and choice["text"]

    content = chat(client, logprobs=True, top_logprobs=3, temperature=0).json()["choices"][0]["logprobs"]["content"]
    assert [len(each["top_logprobs"]) for each in content] == [3] * 4
    for each in content:
        best = each["top_logprobs"][0]
        assert (best["bytes"], best["logprob"]) == (each["bytes"], pytest.approx(each["logprob"]))


def test_a_stop_ends_the_answer_and_is_not_in_it(client: TestClient) -> None:
    text = ask(client, temperature=0, max_tokens=60).json()["choices"][0]["text"]
    stop = text[6:8]
    answer = ask(client, temperature=0, max_tokens=60, stop=[stop]).json()
    assert answer["choices"][0]["text"] == text[: text.index(stop)]
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_an_answer_ends_with_the_context(client: TestClient) -> None:
    answer = ask(client, max_tokens=100_000, temperature=2, seed=1).json()
    if answer["choices"][0]["finish_reason"] == "length":
        assert answer["usage"]["total_tokens"] == 128


WRONG = [
    ({"model": None}, 400, "model"), ({"model": "gpt-4"}, 404, "model"), ({"prompt": [[1], [2]]}, 400, "prompt"),
    ({"prompt": [-1]}, 400, "prompt"), ({"prompt": [10**6]}, 400, "prompt"), ({"prompt": []}, 400, "prompt"),
    ({"prompt": "word " * 500}, 400, "prompt"), ({"max_tokens": 0}, 400, "max_tokens"),
    ({"max_tokens": True}, 400, "max_tokens"), ({"temperature": 3}, 400, "temperature"),
    ({"temperature": "hot"}, 400, "temperature"), ({"top_p": -1}, 400, "top_p"), ({"n": 2}, 400, "n"),
    ({"echo": True}, 400, "echo"), ({"stop": [""]}, 400, "stop"), ({"stop": list("abcde")}, 400, "stop"),
    ({"logprobs": 9}, 400, "logprobs"), ({"seed": 1.5}, 400, "seed"), ({"stream": "yes"}, 400, "stream"),
    ({"stream_options": {"include_usage": True}}, 400, "stream_options"), ({"logit_bias": {"1": 5}}, 400, "logit_bias"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "status", "parameter"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_request_names_its_field(
    client: TestClient, wrong: dict[str, Any], status: int, parameter: str
) -> None:
    response = ask(client, **wrong)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (status, parameter)
    assert set(error) == {"message", "type", "param", "code"} and error["message"].endswith(".")


@pytest.mark.parametrize(
    "messages",
    [
        None,
        [],
        "hi",
        [{"role": "tool", "content": "x"}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": [{"type": "image_url"}]}],
    ],
)
def test_wrong_messages_are_refused(client: TestClient, messages: Any) -> None:
    response = chat(client, messages=messages)
    assert response.status_code == 400 and response.json()["error"]["param"].startswith("messages")


def test_neutral_settings_of_other_servers_are_let_pass(client: TestClient) -> None:
    assert ask(client, n=1, echo=False, presence_penalty=0, logit_bias={}, user="me", suffix=None).status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"temperature": NaN}', b"\xff", b"[" * 100_000], ids=range(6))
def test_a_body_that_is_no_json_object_is_refused(client: TestClient, body: bytes) -> None:
    response = client.post("/v1/completions", content=body)
    assert response.status_code == 400 and response.json()["error"]["type"] == "invalid_request_error"


def test_a_body_that_is_too_long_is_refused_with_or_without_a_length(client: TestClient) -> None:
    body = b'{"prompt": "' + b"x" * LARGEST_BODY_BYTES + b'"}'
    assert client.post("/v1/completions", content=body).status_code == 413
    assert client.post("/v1/completions", content=iter([body[:9], body[9:]])).status_code == 413


def test_unknown_addresses_have_the_envelope_or_a_page(client: TestClient) -> None:
    assert client.get("/v1/nothing").json()["error"]["code"] == "unknown_url"
    assert client.get("/v1/completions").status_code == 405
    page = client.get("/nothing<b>")
    assert page.status_code == 404 and page.headers["content-type"].startswith("text/html")


def test_a_trace_names_documents_that_hold_the_span(client: TestClient) -> None:
    text = "🐄 All human beings are born free and happy"
    trace = client.post("/v1/trace", json={"text": text}).json()
    span = trace["spans"][0]
    assert text[span["begin"] : span["end"]] == span["text"] == "All human beings are born free and"
    source = span["sources"][0]
    assert source["document"] == id_of("eng.udhr.example") and source["licence"] == "CC0-1.0"
    assert source["text"] in DOCUMENTS["eng.udhr.example"]
    assert trace["index"]["of_this_model"] is True


@pytest.mark.parametrize(("body", "status"), [({}, 400), ({"text": " "}, 400), ({"text": "x" * 20_001}, 413)])
def test_a_wrong_trace_is_refused(client: TestClient, body: dict[str, Any], status: int) -> None:
    assert client.post("/v1/trace", json=body).status_code == status


def test_a_documents_page_marks_the_span(client: TestClient) -> None:
    page = client.get(f"/documents/{id_of('eng.udhr.example')}", params={"span": "born  free"}).text
    assert '<mark id="span">born free</mark>' in page
    assert "https://eng.udhr.example/" in page and "CC0-1.0" in page


def test_a_documents_text_is_escaped(client: TestClient) -> None:
    page = client.get(f"/documents/{id_of('evil.example')}", params={"span": '<script>document.title = "broken"'}).text
    assert "<script>document" not in page and '<mark id="span">&lt;script&gt;' in page
    assert 'href="javascript:' not in page and "javascript:alert(1)" in page


@pytest.mark.parametrize("id", [id_of(WITHDRAWN_HOST), "0" * 32, "..%2fetc"])
def test_a_withdrawn_or_unknown_document_has_no_page(client: TestClient, id: str) -> None:
    page = client.get(f"/documents/{id}")
    assert page.status_code == 404 and "pasture" not in page.text


def test_the_page_says_what_the_model_is(client: TestClient) -> None:
    page = client.get("/").text
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert "base model" in text and "writes nothing readable" in text
    assert "Trained on 600,064 tokens" in text and "Languages 2" in text and "477,956" in text


def test_pages_fetch_nothing_from_elsewhere(client: TestClient) -> None:
    static = [f"/static/{path.name}" for path in (Path(__file__).parents[2] / "src/allmend/serve/static").iterdir()]
    for address in ("/", f"/documents/{id_of('fra.udhr.example')}", *static):
        response = client.get(address)
        assert response.status_code == 200
        assert response.headers["content-security-policy"].startswith("default-src 'self'")
        fetched = re.findall(r"""(?:src|action|@import|url\()=?["'(]?(?!/static/)([^"')\s>]+)""", response.text)
        assert "style=" not in response.text and not re.search(r"\son\w+=", response.text)
        assert not [each for each in fetched if "//" in each]


def test_a_loopback_server_answers_only_to_its_names(served: Served) -> None:
    with TestClient(app_of(served, ("127.0.0.1", "localhost", "::1")), base_url="http://127.0.0.1") as client:
        for host, status in (("127.0.0.1:8000", 200), ("LOCALHOST", 200), ("[::1]:80", 200), ("evil.example", 400)):
            assert client.get("/v1/models", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("text", "span", "wanted"),
    [
        ("a b", "", [("a b", False)]),
        ("x a\n b y a b", " a b ", [("x ", False), ("a\n b", True), (" y ", False), ("a b", True)]),
        ("(a+", "(a+", [("(a+", True)]),
        ("abc", "z", [("abc", False)]),
    ],
)
def test_marking(text: str, span: str, wanted: list[tuple[str, bool]]) -> None:
    assert marked(text, span) == wanted


def test_a_model_without_an_index_says_so(model_folder: Path) -> None:
    make_model(model_folder)
    served = open_model(None, str(model_folder))
    assert served.id == "local/a-model"
    with TestClient(app_of(served)) as client:
        assert client.post("/v1/trace", json={"text": "All human beings"}).json()["error"]["code"] == "no_index"
        assert "No index of training documents" in client.get("/").text


def test_a_chat_template_is_not_passed_over_in_silence(model_folder: Path) -> None:
    make_model(model_folder, chat_template="{{ messages }}")
    with TestClient(app_of(open_model(None, str(model_folder)))) as client:
        body = {"model": "local/a-model", "messages": [{"role": "user", "content": "hi"}]}
        response = client.post("/v1/chat/completions", json=body)
        assert response.status_code == 400 and response.json()["error"]["code"] == "chat_template_not_applied"


def test_the_only_model_of_a_ledger_needs_no_name(ledger: Ledger) -> None:
    assert open_model(ledger).id == MODEL
    assert open_model(ledger, MODEL, "other/index").sources.of_this_model is False


def test_what_cannot_be_served_is_an_error(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="is a Shards, not a Model"):
        open_model(ledger, "village/shards")
    with pytest.raises(UsageError, match="is a Model, not a Index"):
        open_model(ledger, MODEL, MODEL)
    with pytest.raises(UsageError, match="no ledger here"):
        open_model(None, "village/model")
