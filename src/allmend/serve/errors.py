"""Errors of the API: OpenAI's envelope and status codes, so that its clients raise what they should."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response


class ApiError(Exception):
    """What a client gets instead of an answer.

    Args:
        status: HTTP status.
        message: one sentence or two for the person behind the client.
        parameter: the field of the request that is wrong.
        code: a stable word for programs.
        kind: OpenAI's `type`.
        retry_after_s: when to come back.
    """

    def __init__(
        self,
        status: int,
        message: str,
        parameter: str | None = None,
        code: str | None = None,
        kind: str = "invalid_request_error",
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.parameter, self.code = status, message, parameter, code
        self.kind, self.retry_after_s = kind, retry_after_s

    def envelope(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.kind, "param": self.parameter, "code": self.code}}

    def response(self) -> Response:
        headers = {"retry-after": str(self.retry_after_s)} if self.retry_after_s is not None else None
        return Response(dump(self.envelope()), self.status, headers, "application/json")


def dump(value: Any) -> bytes:
    """Compact JSON in UTF-8; never NaN or infinity, which no client can read."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
