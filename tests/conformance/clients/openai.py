"""openai-python: its own accumulators where it has one, else chunks joined by their index."""

from __future__ import annotations

from typing import Any

from openai import DefaultHttpxClient, OpenAI

from tests.conformance.clients.loop import PATIENCE, rest, serve

HTTP = DefaultHttpxClient(trust_env=False)


def client(job: dict[str, Any]) -> OpenAI:
    return OpenAI(
        base_url=f"{job['url']}/v1",
        api_key=job["key"],
        max_retries=0,
        timeout=PATIENCE,
        http_client=HTTP,
    )


def more(job: dict[str, Any], *named: str) -> dict[str, Any]:
    return {
        "extra_body": rest(job, *named),
        "extra_headers": job["headers"],
        "extra_query": job["query"],
    }


def chat(job: dict[str, Any]) -> Any:
    asked = {key: job["request"][key] for key in ("model", "messages")}
    completions = client(job).chat.completions
    if not job["stream"]:
        return completions.create(**asked, **more(job, *asked)).model_dump(mode="json")
    with completions.stream(**asked, **more(job, *asked)) as stream:
        return stream.get_final_completion().model_dump(mode="json")


def completions(job: dict[str, Any]) -> Any:
    asked = {key: job["request"][key] for key in ("model", "prompt")}
    create = client(job).completions.create
    if not job["stream"]:
        return create(**asked, **more(job, *asked)).model_dump(mode="json")
    chunks = create(**asked, **more(job, *asked), stream=True)
    return joined([chunk.model_dump(mode="json") for chunk in chunks])


def joined(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """What a stream of legacy completions amounts to."""
    whole: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        whole |= {key: value for key, value in chunk.items() if value is not None}
        for choice in chunk["choices"]:
            into = choices.setdefault(choice["index"], {"text": "", "logprobs": None})
            text = into["text"] + choice.pop("text")
            marks = choice.pop("logprobs")
            into |= {k: v for k, v in choice.items() if v is not None} | {"text": text}
            if marks is not None:
                before = into["logprobs"] or {}
                into["logprobs"] = {k: before.get(k, []) + (v or []) for k, v in marks.items()}
    return whole | {"choices": [choices[index] for index in sorted(choices)]}


def responses(job: dict[str, Any]) -> Any:
    asked = {key: job["request"][key] for key in ("model", "input")}
    api = client(job).responses
    if not job["stream"]:
        return api.create(**asked, **more(job, *asked)).model_dump(mode="json", warnings=False)
    with api.stream(**asked, **more(job, *asked)) as stream:
        return stream.get_final_response().model_dump(mode="json", warnings=False)


def embeddings(job: dict[str, Any]) -> Any:
    """Asked for as base64 and decoded, as this client does by itself, or for plain floats."""
    asked = {key: job["request"][key] for key in ("model", "input")}
    answer = client(job).embeddings.create(**asked, **more(job, *asked))
    return answer.model_dump(mode="json")


if __name__ == "__main__":
    serve(
        {
            "chat": chat,
            "completions": completions,
            "responses": responses,
            "embeddings": embeddings,
        }
    )
