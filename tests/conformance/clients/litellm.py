"""LiteLLM as a library: what it shows of an answer, streams put together by its own builder."""

from __future__ import annotations

import json
from typing import Any

import litellm

from tests.conformance.clients.loop import PATIENCE, Skip, rest, serve

litellm.telemetry = False
litellm.suppress_debug_info = True


def reached(job: dict[str, Any], path: str = "") -> dict[str, Any]:
    return {
        "api_base": job["url"] + path,
        "api_key": job["key"],
        "timeout": PATIENCE,
        "max_retries": 0,
        "num_retries": 0,
    }


def chat(job: dict[str, Any]) -> Any:
    asked = job["request"]
    if job["choices"] > 1 and job["stream"]:
        raise Skip("its builder of streams joins one choice only")
    return completed(
        job,
        model=f"openai/{asked['model']}",
        messages=asked["messages"],
        extra_body=rest(job, "model", "messages"),
        **reached(job, "/v1"),
    )


def messages(job: dict[str, Any]) -> Any:
    """Anthropic's API asked in OpenAI's words, as LiteLLM has it."""
    if job["own"]:
        raise Skip("it words requests of this API itself")
    asked = job["request"]
    function = {"parameters": {"type": "object", "properties": {}}}
    tools = [
        {"type": "function", "function": function | {"name": tool["name"]}}
        for tool in asked.get("tools", ())
    ]
    answer = completed(
        job,
        model=f"anthropic/{asked['model']}",
        messages=[{"role": "user", "content": job["prompt"]}],
        max_tokens=asked["max_tokens"],
        **({"tools": tools} if tools else {}),
        **({"stop": asked["stop_sequences"]} if "stop_sequences" in asked else {}),
        **reached(job),
    )
    return parsed(answer)


def parsed(answer: dict[str, Any]) -> dict[str, Any]:
    """Inputs of tools as values: of a whole answer, LiteLLM writes their text itself."""
    for choice in answer["choices"]:
        for call in choice["message"].get("tool_calls") or ():
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return answer


def completed(job: dict[str, Any], **asked: Any) -> Any:
    answer = litellm.completion(**asked, stream=job["stream"])
    if job["stream"]:
        answer = litellm.stream_chunk_builder(list(answer), messages=asked["messages"])
    usage = answer.usage.model_dump(mode="json") if getattr(answer, "usage", None) else None
    choices = [choice.model_dump(mode="json") for choice in answer.choices]
    return {
        "model": answer.model,
        "choices": choices,
        "usage": usage,
        "essence": essence(choices, usage),
    }


def essence(choices: list[dict[str, Any]], usage: dict[str, Any] | None) -> dict[str, Any]:
    """What LiteLLM shows alike of a stream and of a whole answer."""
    counts = [usage[key] for key in ("prompt_tokens", "completion_tokens")] if usage else None
    said = [
        {
            "content": choice["message"]["content"],
            "calls": [
                (call["id"], call["function"]) for call in choice["message"].get("tool_calls") or ()
            ],
        }
        for choice in choices
    ]
    return {"said": said, "counts": counts}


def embeddings(job: dict[str, Any]) -> Any:
    asked = job["request"]
    answer = litellm.embedding(
        model=f"openai/{asked['model']}",
        input=asked["input"],
        encoding_format="float",
        **({"dimensions": asked["dimensions"]} if "dimensions" in asked else {}),
        **reached(job, "/v1"),
    )
    return {"data": answer.data, "usage": answer.usage.model_dump(mode="json")}


if __name__ == "__main__":
    serve({"chat": chat, "messages": messages, "embeddings": embeddings})
