"""Embeddings: an upstream's vectors, the same for the same text whoever asks."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from random import Random
from typing import Any

from tests.conformance.cases import Case, Recording, encoded
from tests.conformance.generated.texts import text

MODEL = "text-embedding-3-small"
_DIMENSIONS = 16


def case(rng: Random, number: int) -> Case:
    """One text, or a list of some; every other one with dimensions of its own."""
    name = f"embeddings-{number:03}"
    texts = [f"{name}.{at}: {text(rng, 2, 8)}" for at in range(rng.randint(1, 4))]
    asked: dict[str, Any] = {"model": MODEL, "input": texts if len(texts) > 1 else texts[0]}
    if number % 2:
        asked["dimensions"] = 8
    return Case(
        name=name, api="embeddings", request=asked, recording=Recording(), prompt=texts[0],
        forms=("whole",),
    )  # fmt: skip


def answer(body: bytes) -> bytes:
    """What upstream answers to a request: floats, or base64 where that is asked for."""
    asked = json.loads(body)
    given = asked["input"]
    texts = given if isinstance(given, list) else [given]
    size = asked.get("dimensions", _DIMENSIONS)
    packed = asked.get("encoding_format") == "base64"
    items = [
        {"object": "embedding", "index": index, "embedding": _vector(one, size, packed)}
        for index, one in enumerate(texts)
    ]
    tokens = sum(len(str(one).split()) for one in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return encoded({"object": "list", "data": items, "model": asked["model"], "usage": usage})


def _vector(given: Any, size: int, packed: bool) -> list[float] | str:
    digest = hashlib.sha256(json.dumps(given).encode()).digest()
    dice = Random(digest)  # noqa: S311 - numbers, not secrets
    values = [round(dice.uniform(-1, 1), 8) for _ in range(size)]
    raw = struct.pack(f"<{size}f", *values)
    return base64.b64encode(raw).decode() if packed else values
