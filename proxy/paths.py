"""What `likewise bench` measures besides hits: a miss's call upstream, exact hits beside a crowd
whose prompts are embedded, and the encoder against torch.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import tempfile
import time
from itertools import islice, repeat
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import uvloop
from tokenizers import Tokenizer

from index import build
from index.embedders import onnx
from index.errors import SetupError
from policies import text
from proxy.burst import Load, load
from proxy.settings import Upstream
from proxy.upstream import Upstreams

if TYPE_CHECKING:
    from collections.abc import Iterator

    from index.ports import Embedder

IN_FLIGHT = 500
CROWD = 8
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_of(pid: int) -> float:
    """The CPU seconds that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def beside_a_crowd(port: int, exact: bytes, crowd: Iterator[bytes], seconds: float) -> float:
    """Median seconds of exact hits at c=1 while a crowd of other prompts keeps the encoder busy."""

    async def both() -> Load:
        others = asyncio.create_task(load(port, crowd, CROWD, seconds * 1.2))
        await asyncio.sleep(seconds * 0.1)
        alone = await load(port, repeat(exact), 1, seconds)
        await others
        return alone

    return asyncio.run(both()).p50


async def _calls(upstreams: Upstreams, to: Upstream, body: bytes, count: int) -> None:
    headers = [(b"content-type", b"application/json"), (b"authorization", b"Bearer sk-bench")]
    answer = await upstreams.send(to, "POST", "/v1/chat/completions", headers, body)
    for _ in range(count - 1):
        await answer.read(1_000_000)
        answer.close()
        answer = await upstreams.send(to, "POST", "/v1/chat/completions", headers, body)
    await answer.read(1_000_000)
    answer.close()


def client_cpu(port: int, body: bytes, rounds: int) -> float:
    """CPU seconds that one call upstream costs us, with hundreds under way at once."""
    to = Upstream(name="bench", api="openai", base_url=f"http://127.0.0.1:{port}/v1")

    async def crowd() -> float:
        upstreams = Upstreams([to])
        await upstreams.start()
        try:
            await asyncio.gather(*(_calls(upstreams, to, body, 1) for _ in range(IN_FLIGHT)))
            before = time.process_time()
            await asyncio.gather(*(_calls(upstreams, to, body, rounds) for _ in range(IN_FLIGHT)))
            return time.process_time() - before
        finally:
            await upstreams.close()

    return uvloop.run(crowd()) / (IN_FLIGHT * rounds)


def against_torch(embedder: Embedder, prompts: Iterator[str], count: int) -> float | None:
    """Our encoder's time as a share of sentence-transformers', in turn; None without torch."""
    with tempfile.TemporaryDirectory(prefix="likewise-") as folder:
        try:
            _same_shape(folder)
            other = build.embedder(folder, runtime="torch", precision="fp32", threads=1)
        except (ImportError, SetupError):
            return None
        ours: list[float] = []
        theirs: list[float] = []
        for prompt in islice(prompts, count):
            prepared = text.normalise(prompt)
            for times, one in ((ours, embedder), (theirs, other)):
                started = time.perf_counter()
                one.embed(prepared)
                times.append(time.perf_counter() - started)
    return median(ours) / median(theirs)


def _same_shape(folder: str) -> None:
    """A model of all-MiniLM-L6-v2's shape as sentence-transformers reads it. What its weights are
    makes no difference to the time."""
    library = importlib.import_module("transformers")
    library.utils.logging.disable_progress_bar()
    config = library.BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    )
    library.BertModel(config).save_pretrained(folder)
    words = Tokenizer.from_file(str(onnx.build("all-MiniLM-L6-v2") / "tokenizer.json"))
    words.no_padding()
    library.BertTokenizerFast(tokenizer_object=words).save_pretrained(folder)
