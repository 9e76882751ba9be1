"""What every set-up talks to: the oracle upstream, and our encoder behind OpenAI's embeddings API.

python -m bench.peers.services --port 9002
"""

from __future__ import annotations

import argparse
import asyncio
import base64
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import uvicorn

from index import build
from proxy.demo.oracle import OracleUpstream
from proxy.demo.upstream import read_json, send_json

if TYPE_CHECKING:
    from index.ports import Embedder
    from proxy.demo.upstream import Receive, Scope, Send

# Two texts at once, each by one thread, as Likewise runs the encoder itself.
SIDE_BY_SIDE = 2


class Services:
    """The ASGI app; embeddings here, all else to the oracle."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._oracle = OracleUpstream()
        self._pool = ThreadPoolExecutor(SIDE_BY_SIDE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].endswith("/embeddings"):
            await send_json(send, 200, await self._embeddings(await read_json(receive)))
        else:
            await self._oracle(scope, receive, send)

    async def _embeddings(self, asked: dict[str, Any]) -> dict[str, Any]:
        texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
        loop = asyncio.get_running_loop()
        made = await asyncio.gather(
            *(loop.run_in_executor(self._pool, self._embedder.embed, text) for text in texts)
        )
        packed = asked.get("encoding_format") == "base64"
        data = [
            {
                "object": "embedding",
                "index": number,
                "embedding": base64.b64encode(one.vector.tobytes()).decode()
                if packed
                else one.vector.tolist(),
            }
            for number, one in enumerate(made)
        ]
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        return {"object": "list", "model": asked["model"], "data": data, "usage": usage}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    embedder = build.embedder("all-MiniLM-L6-v2", runtime="onnx", precision="int8", threads=1)
    uvicorn.run(Services(embedder), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
