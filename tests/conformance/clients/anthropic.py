"""anthropic-sdk-python."""

from __future__ import annotations

from typing import Any

from anthropic import Anthropic, DefaultHttpxClient

from tests.conformance.clients.loop import PATIENCE, rest, serve

HTTP = DefaultHttpxClient(trust_env=False)
_NAMED = ("model", "messages", "max_tokens")


def messages(job: dict[str, Any]) -> Any:
    api = Anthropic(
        base_url=job["url"],
        api_key=job["key"],
        max_retries=0,
        timeout=PATIENCE,
        http_client=HTTP,
    ).messages
    asked = {key: job["request"][key] for key in _NAMED}
    more: dict[str, Any] = {
        "extra_body": rest(job | {"usage": False}, *_NAMED),
        "extra_headers": job["headers"],
        "extra_query": job["query"],
    }
    if not job["stream"]:
        return api.create(**asked, **more).model_dump(mode="json", warnings=False)
    with api.stream(**asked, **more) as stream:
        return stream.get_final_message().model_dump(mode="json", warnings=False)


if __name__ == "__main__":
    serve({"messages": messages})
