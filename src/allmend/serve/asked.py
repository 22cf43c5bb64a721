"""What a client asks for: the JSON bodies of the three doors, read strictly."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from allmend.serve.errors import ApiError

LARGEST_BODY_BYTES = 2**20
MOST_STOPS = 4
LONGEST_STOP = 100
NEUTRAL: dict[str, Sequence[Any]] = {
    "n": (1,), "best_of": (1,), "echo": (False,), "suffix": ("",), "logit_bias": ({},), "frequency_penalty": (0,),
    "presence_penalty": (0,), "tools": ([],), "functions": ([],), "response_format": ({"type": "text"},),
    "modalities": (["text"],), "audio": (),
}  # fmt: skip
"""Settings that would change the answer, and that this server doesn't have → their values without effect."""


@dataclass(frozen=True)
class Asked:
    """A request for text, whichever door it came through."""

    model: str
    prompt: str | tuple[int, ...]
    """Text, or token ids as they are."""
    max_tokens: int | None
    temperature: float
    top_p: float
    seed: int
    stops: tuple[str, ...]
    logprobs: bool
    top_logprobs: int
    stream: bool
    include_usage: bool


def read_body(raw: bytes) -> Mapping[str, Any]:
    """A request's JSON object.

    Raises:
        ApiError: 400, it is none.
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON")

    try:
        body = json.loads(raw, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is no JSON that can be read: {error}.") from error
    if not isinstance(body, dict):
        raise ApiError(400, f"the body must be a JSON object, not {type(body).__name__}.")
    return body


def text_asked(body: Mapping[str, Any]) -> Asked:
    """A request to `/v1/completions`."""
    top = _whole(body, "logprobs", 0, 5, None)
    return _asked(
        body, _prompt(body.get("prompt")), _whole(body, "max_tokens", 1, 2**31, 16), top is not None, top or 0
    )


def chat_asked(body: Mapping[str, Any]) -> Asked:
    """A request to `/v1/chat/completions`. The messages' texts become one, a line each, to be continued."""
    most = _whole(body, "max_completion_tokens", 1, 2**31, _whole(body, "max_tokens", 1, 2**31, None))
    logprobs = _flag(body, "logprobs")
    top = _whole(body, "top_logprobs", 0, 20, None)
    if top is not None and not logprobs:
        raise ApiError(400, "top_logprobs needs logprobs: true.", "top_logprobs")
    return _asked(body, _conversation(body.get("messages")), most, logprobs, top or 0)


def trace_asked(body: Mapping[str, Any], longest: int) -> str:
    """A request to `/v1/trace`: its text."""
    text = body.get("text")
    if not isinstance(text, str) or not text.strip():
        raise ApiError(400, "text must be a text that isn't empty.", "text")
    if len(text) > longest:
        raise ApiError(413, f"text has {len(text):,} characters; the most is {longest:,}.", "text", "text_too_long")
    return text


def _asked(body: Mapping[str, Any], prompt: str | tuple[int, ...], most: int | None, logprobs: bool, top: int) -> Asked:
    for name, values in NEUTRAL.items():
        if body.get(name) is not None and body[name] not in values:
            raise ApiError(400, f"{name} isn't supported here; leave it out.", name, "unsupported_parameter")
    stream = _flag(body, "stream")
    options = body.get("stream_options") or {}
    if not isinstance(options, dict) or (options and not stream):
        raise ApiError(400, "stream_options must be an object, and needs stream: true.", "stream_options")
    seed = _whole(body, "seed", -(2**63), 2**64 - 1, None)
    return Asked(
        model=_model(body), prompt=prompt, max_tokens=most, temperature=_number(body, "temperature", 0, 2, 1.0),
        top_p=_number(body, "top_p", 0, 1, 1.0), seed=secrets.randbits(64) if seed is None else seed % 2**64,
        stops=_stops(body.get("stop")), logprobs=logprobs, top_logprobs=top, stream=stream,
        include_usage=bool(options.get("include_usage")),
    )  # fmt: skip


def _model(body: Mapping[str, Any]) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise ApiError(400, "model must name the model; GET /v1/models lists it.", "model")
    return model


def _prompt(prompt: Any) -> str | tuple[int, ...]:
    """A text, or the tokens of one; a list of one such is the same."""
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    if prompt is None:
        return ""
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, list) and prompt and all(type(token) is int and token >= 0 for token in prompt):
        return tuple(prompt)
    raise ApiError(400, "prompt must be one text, or one list of token ids.", "prompt")


def _conversation(messages: Any) -> str:
    if not isinstance(messages, list) or not messages:
        raise ApiError(400, "messages must be a list of at least one message.", "messages")
    return "\n".join(_message(message, index) for index, message in enumerate(messages))


def _message(message: Any, index: int) -> str:
    where = f"messages[{index}]"
    if not isinstance(message, dict) or message.get("role") not in ("system", "developer", "user", "assistant"):
        raise ApiError(400, f"{where} must have the role system, developer, user or assistant.", f"{where}.role")
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in parts]
    if not parts or not all(isinstance(text, str) for text in texts):
        raise ApiError(400, f"{where}.content must be text.", f"{where}.content")
    return "".join(texts)


def _stops(stop: Any) -> tuple[str, ...]:
    stops = [stop] if isinstance(stop, str) else [] if stop is None else stop
    good = isinstance(stops, list) and len(stops) <= MOST_STOPS
    if not good or not all(isinstance(each, str) and 0 < len(each) <= LONGEST_STOP for each in stops):
        raise ApiError(
            400, f"stop must be a text, or up to {MOST_STOPS} of them, of 1 to {LONGEST_STOP} characters.", "stop"
        )
    return tuple(stops)


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise ApiError(400, f"{name} must be true or false.", name)
    return bool(value)


def _whole(body: Mapping[str, Any], name: str, least: int, most: int, default: int | None) -> int | None:
    value = body.get(name)
    if value is None:
        return default
    if type(value) is not int or not least <= value <= most:
        raise ApiError(400, f"{name} must be a whole number from {least} to {most:,}.", name)
    return value


def _number(body: Mapping[str, Any], name: str, least: float, most: float, default: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if type(value) not in (int, float) or not least <= value <= most:
        raise ApiError(400, f"{name} must be a number from {least} to {most}.", name)
    return float(value)
