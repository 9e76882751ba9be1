"""pydantic-ai: the parts of a model's response, streams put together by its own manager."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pydantic_ai.direct import model_request_stream_sync, model_request_sync
from pydantic_ai.messages import ModelRequest
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from tests.conformance.clients.loop import PATIENCE, Skip, rest, serve

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.models import Model

_OWN = ("model", "messages", "input", "max_tokens")


def openai(job: dict[str, Any]) -> OpenAIProvider:
    return OpenAIProvider(base_url=f"{job['url']}/v1", api_key=job["key"])


def chat(job: dict[str, Any]) -> Any:
    return asked(job, OpenAIChatModel(job["request"]["model"], provider=openai(job)))


def responses(job: dict[str, Any]) -> Any:
    return asked(job, OpenAIResponsesModel(job["request"]["model"], provider=openai(job)))


def messages(job: dict[str, Any]) -> Any:
    provider = AnthropicProvider(base_url=job["url"], api_key=job["key"])
    answer = asked(job, AnthropicModel(job["request"]["model"], provider=provider))
    for part in answer["parts"]:
        if isinstance(part.get("args"), str):  # of a stream the text, of a whole answer the value
            part["args"] = json.loads(part["args"])
    return answer


def asked(job: dict[str, Any], model: Model[Any]) -> Any:
    if job["own"]:
        raise Skip("it words requests itself")
    if job["choices"] > 1:
        raise Skip("a response is one choice")
    turns = [ModelRequest.user_text_prompt(job["prompt"])]
    body = rest(job | {"usage": False}, *_OWN)
    settings: Any = {"extra_body": body, "timeout": PATIENCE}
    if "max_tokens" in job["request"]:
        settings["max_tokens"] = job["request"]["max_tokens"]
    if not job["stream"]:
        return shown(model_request_sync(model, turns, model_settings=settings))
    with model_request_stream_sync(model, turns, model_settings=settings) as stream:
        for _ in stream:
            pass
        return shown(stream.response)


def shown(response: ModelResponse) -> dict[str, Any]:
    return {
        "parts": [plain(asdict(part)) for part in response.parts],
        "usage": plain(asdict(response.usage)),
        "model": response.model_name,
        "id": response.provider_response_id,
        "finish": response.finish_reason,
    }


def plain(value: Any) -> Any:
    """A value as JSON knows it, less the moments at which this process made it."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items() if k != "timestamp"}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


if __name__ == "__main__":
    serve({"chat": chat, "responses": responses, "messages": messages})
