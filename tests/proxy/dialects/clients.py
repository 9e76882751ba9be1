"""Official clients that are answered without a network."""

from __future__ import annotations

import httpx
import openai


def answering(status: int, content: bytes, kind: str) -> openai.OpenAI:
    """An OpenAI client whose every request gets this answer."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=content, headers={"content-type": kind})

    http = httpx.Client(transport=httpx.MockTransport(answer))
    return openai.OpenAI(api_key="k", base_url="http://x/v1", max_retries=0, http_client=http)
