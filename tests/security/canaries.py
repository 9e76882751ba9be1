"""Does a prompt or a key ever turn up where it has no business?

Thousands of requests carry marked words in prompts, keys and everywhere else a caller can write:
good ones, broken ones, refused ones, ones that upstream fails on. Afterwards all that the proxy
wrote or shows in numbers is searched. Prompts belong into the store and the journal; keys nowhere.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
from typing import TYPE_CHECKING

import aiohttp
import httpx
import orjson

from tests.proxy.house import TOKEN, body
from tests.security.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.chaos.parties import Proxy, Stage
    from tests.security.finding import Scale

PROMPT, KEY = "zqcanaryprompt", "zqcanarykey"
AT_ONCE = 16
GIVES_UP = 30.0
SETTLES = 2.0
DEAD = "http://127.0.0.1:9/v1"
# Where prompts and answers are meant to be.
KEEPS = ("likewise.db", "journal.db")
MODES = (
    "",
    "status:500",
    "status:401",
    "status:429",
    "html",
    "invalid",
    "cut:9",
    "reset",
    "length",
)

Sent = tuple[str, bytes, "Mapping[str, str]"]


def requests(count: int) -> Iterator[Sent]:
    """Path, body and headers; each with a word in its prompt and one in its key."""
    ways = (_asked, _streamed, _odd_body, _odd_headers, _elsewhere, _unreachable, _rated)
    for number, way in zip(range(count), itertools.cycle(ways), strict=False):
        said, key = f"{PROMPT}{number:06d}", f"sk-{KEY}{number:06d}"
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        path, content, more = way(number, said, key)
        yield path, content, headers | dict(more)


CHAT = "/v1/chat/completions"


def _asked(number: int, said: str, key: str) -> Sent:
    """An ordinary question, however upstream takes it."""
    asked = body(f"What is {said}?", user=said, metadata={"who": said})
    asked["messages"].insert(0, {"role": "system", "content": f"You know {said}."})
    mode = MODES[number // 7 % len(MODES)]
    headers = {"x-likewise-session": said} | ({"x-oracle-mode": mode} if mode else {})
    return CHAT, orjson.dumps(asked), headers


def _streamed(number: int, said: str, key: str) -> Sent:
    mode = MODES[number // 7 % len(MODES)]
    asked = body(f"Tell me of {said}.", stream=True)
    return CHAT, orjson.dumps(asked), {"x-oracle-mode": mode} if mode else {}


def _odd_body(number: int, said: str, key: str) -> Sent:
    """Bodies that cannot be read."""
    odd = [
        f'{{"model": "m", "messages": "{said}", "messages": "{said}"}}',
        f'{{"model": "{said}", "messages": [',
        f'{{"model": "m", "cache": {{"ttl": "{said}"}}, "messages": []}}',
        f'"{said}"',
    ]
    return CHAT, odd[number // 7 % len(odd)].encode(), {}


def _odd_headers(number: int, said: str, key: str) -> Sent:
    """Headers that cannot be read, and keys in every header that may hold one."""
    odd = [
        {"x-likewise-category": said},
        {"x-likewise-ttl": said},
        {"x-api-key": key},
        {"api-key": key, "x-gateway-token": key},
        {"cookie": f"session={key}"},
        {"content-encoding": said},
        {"via": f"1.1 likewise {key}"},
    ]
    return CHAT, orjson.dumps(body(said)), odd[number // 7 % len(odd)]


def _elsewhere(number: int, said: str, key: str) -> Sent:
    """Paths that pass through, or lead nowhere."""
    paths = ["/v1/files", f"/v1/likewise/{said}", "/v1/embeddings", "/v1/messages"]
    return f"{paths[number // 7 % len(paths)]}?q={said}&key={key}", orjson.dumps(body(said)), {}


def _unreachable(number: int, said: str, key: str) -> Sent:
    """An upstream that is not there."""
    return CHAT, orjson.dumps(body(said) | {"model": "dead"}), {}


def _rated(number: int, said: str, key: str) -> Sent:
    return "/v1/likewise/feedback", orjson.dumps({"request": said, "verdict": "bad"}), {}


# -- looking for them ----------------------------------------------------------------------------


def spellings(word: str) -> list[bytes]:
    """How a word may stand in a file: as it is, in another coding, as the middle of base64."""
    raw = word.encode()
    based = []
    for shift in range(3):
        coded = base64.b64encode(b"x" * shift + raw)
        based.append(coded[4 * (shift > 0) : len(coded) - 4])
    return [raw, raw.upper(), raw.hex().encode(), word.encode("utf-16-le"), *based]


def written(folder: Path, words: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Where a word stands though it should not; `words` leads to the files that may hold it."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        for word, allowed in words.items():
            if not path.name.startswith(allowed) and any(s in data for s in spellings(word)):
                found.append(f"{word} in {path.name}")
    return found


async def check(at: Stage, scale: Scale) -> list[Finding]:
    """Send them, end the proxy, and look."""
    upstreams = [
        {"name": "dead", "base_url": DEAD, "models": ["dead"]},
        {"name": "oracle", "base_url": f"{at.upstream}/v1", "passthrough": True},
    ]
    folder = at.folder / "canaries"
    proxy = await asyncio.to_thread(
        at.proxy, f"sqlite:{folder}/likewise.db", "canaries", upstreams=upstreams
    )
    await _sent(proxy, scale.canaries)
    await asyncio.sleep(SETTLES)
    shown = await asyncio.to_thread(metrics, proxy)
    await asyncio.to_thread(proxy.stop)
    found = written(folder, {PROMPT: KEEPS, KEY: ()})
    found += [f"{word} in metrics" for word in (PROMPT, KEY) if word in shown]
    kept = any(PROMPT.encode() in (folder / name).read_bytes() for name in KEEPS)
    searched = sum(path.stat().st_size for path in folder.rglob("*"))
    notes = found or [f"{searched + len(shown):,} bytes searched"]
    return [
        Finding.none_of("canaries, where they should not be", scale.canaries, len(found), *notes),
        Finding("canaries, found where they should be", scale.canaries, str(kept), "True", kept),
    ]


async def _sent(proxy: Proxy, count: int) -> None:
    waiting = requests(count)
    timeout = aiohttp.ClientTimeout(total=GIVES_UP)
    async with aiohttp.ClientSession(timeout=timeout) as session:

        async def caller() -> None:
            for path, content, headers in waiting:
                try:
                    async with session.post(proxy.url + path, data=content, headers=headers) as got:
                        await got.read()
                except (aiohttp.ClientError, TimeoutError):
                    continue

        await asyncio.gather(*(caller() for _ in range(AT_ONCE)))


def metrics(proxy: Proxy) -> str:
    """Everything that is counted, as an operator gets it."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    answer = httpx.get(f"{proxy.admin}/metrics", headers=headers, trust_env=False)
    answer.raise_for_status()
    return answer.text
