"""A thin app around RedisVL's SemanticCache, as its user would write one; runs in its environment.

Its asynchronous calls, one embedding per request, and a filter on everything but the question, so
that other models, system prompts and callers do not share answers.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import uvicorn
from fastapi import FastAPI, Request, Response
from redisvl.extensions.cache.llm import SemanticCache
from redisvl.query.filter import Tag
from redisvl.utils.vectorize import CustomVectorizer

from index.embedders import onnx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

UPSTREAM = os.environ["UPSTREAM"]
EMBEDDER = onnx.OnnxEmbedder.load(onnx.build("all-MiniLM-L6-v2"), threads=1)


def embed(text: str) -> list[float]:
    return EMBEDDER.embed(text).vector.tolist()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.cache = SemanticCache(
        redis_url=os.environ["REDIS"],
        distance_threshold=1 - float(os.environ["THRESHOLD"]),
        vectorizer=CustomVectorizer(embed=embed),
        filterable_fields=[{"name": "scope", "type": "tag"}],
    )
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/healthz")
async def healthz() -> str:
    return "ok"


@app.post("/v1/chat/completions")
async def chat(request: Request) -> Response:
    body = await request.body()
    asked = orjson.loads(body)
    credential = request.headers.get("authorization", "")
    prompt, scope = asked["messages"][-1]["content"], scope_of(asked, credential)
    vector = await asyncio.to_thread(embed, prompt)
    cache = app.state.cache
    found = await cache.acheck(vector=vector, filter_expression=Tag("scope") == scope)
    if found:
        return Response(found[0]["response"], media_type="application/json")
    headers = {"authorization": credential, "content-type": "application/json"}
    async with app.state.client.post(UPSTREAM, data=body, headers=headers) as answer:
        made, status = await answer.read(), answer.status
    if status == 200:
        await cache.astore(prompt, made.decode(), vector=vector, filters={"scope": scope})
    return Response(made, status, media_type="application/json")


def scope_of(asked: dict[str, Any], credential: str) -> str:
    """A digest of all that shapes the answer besides the last message's text."""
    *before, last = asked["messages"]
    rest = asked | {"messages": [*before, last | {"content": ""}], "credential": credential}
    return hashlib.sha256(orjson.dumps(rest, option=orjson.OPT_SORT_KEYS)).hexdigest()


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
