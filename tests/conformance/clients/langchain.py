"""langchain-openai: a message as a chain gets it, chunks added up as LangChain adds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from tests.conformance.clients.loop import PATIENCE, Skip, rest, serve

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage


def chat(job: dict[str, Any]) -> Any:
    return told(job, asked(job, responses=False))


def responses(job: dict[str, Any]) -> Any:
    if job["own"]:
        raise Skip("it words requests of this API itself")
    return told(job, asked(job, responses=True))


def asked(job: dict[str, Any], *, responses: bool) -> ChatOpenAI:
    if job["choices"] > 1:
        raise Skip("a message is one choice")
    if not all("content" in turn for turn in job["request"].get("messages", ())):
        raise Skip("it takes no turn without content")
    return ChatOpenAI(
        model=job["request"]["model"],
        base_url=f"{job['url']}/v1",
        api_key=job["key"],
        max_retries=0,
        timeout=PATIENCE,
        stream_usage=job["usage"],
        use_responses_api=responses,
        output_version="v0" if not responses else "responses/v1",
        extra_body=rest(job | {"usage": False}, "model", "messages", "input"),
    )


def told(job: dict[str, Any], model: ChatOpenAI) -> Any:
    turns = job["request"].get("messages") or job["prompt"]
    if not job["stream"]:
        return shown(model.invoke(turns))
    chunks = list(model.stream(turns))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return shown(whole)


def shown(message: BaseMessage) -> dict[str, Any]:
    kept = ("content", "tool_calls", "invalid_tool_calls", "usage_metadata", "additional_kwargs")
    made = {key: getattr(message, key, None) for key in kept}
    about = message.response_metadata
    return made | {key: about.get(key) for key in ("finish_reason", "logprobs", "model_name")}


def embeddings(job: dict[str, Any]) -> Any:
    given = job["request"]["input"]
    model = OpenAIEmbeddings(
        model=job["request"]["model"],
        base_url=f"{job['url']}/v1",
        api_key=job["key"],
        max_retries=0,
        timeout=PATIENCE,
        dimensions=job["request"].get("dimensions"),
        check_embedding_ctx_length=False,  # counting tokens needs a file of the vendor's
    )
    return model.embed_documents(given if isinstance(given, list) else [given])


if __name__ == "__main__":
    serve({"chat": chat, "responses": responses, "embeddings": embeddings})
