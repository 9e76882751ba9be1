"""An encrypted house: the same answers, and nothing readable of them on disk."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from index.errors import SetupError
from proxy.demo.oracle import OracleUpstream, verify
from tests.proxy.house import House, serving, uvicorn_of
from tests.security.canaries import spellings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import RedisServer

OLD, NEW = (base64.b64encode(letter * 32).decode() for letter in (b"o", b"n"))
WORD = "zqxphotosynthesiszqx"
ASKED, AGAIN = f"What is {WORD}?", f"what is {WORD}"


@pytest.fixture
def oracle() -> Iterator[tuple[str, OracleUpstream]]:
    upstream = OracleUpstream()
    with uvicorn_of(upstream) as url:
        yield url, upstream


def house(folder: Path, upstream: tuple[str, OracleUpstream], key: str, store: str = "") -> Any:
    """A house with an encrypted store."""
    url = store or f"sqlite:{folder}/likewise.db"
    parts = {"store": {"url": url, "encrypt": "aes-gcm"}}
    return serving(folder, *upstream, env={"LIKEWISE_STORE_KEY": key}, **parts)


def ask_twice(running: House) -> None:
    """Fresh, then exactly and by meaning from memory."""
    running.chat(ASKED, "sk-x")
    for prompt in (ASKED, AGAIN):
        answer = running.chat(prompt, "sk-x")
        assert answer.headers["x-cache"] == "HIT"
        text = answer.json()["choices"][0]["message"]["content"]
        assert verify(text, credential="sk-x", prompt=ASKED)


def traces(folder: Path) -> list[str]:
    """The files in which the word, or the answer that quotes it, can be read."""
    return [
        path.name
        for path in sorted(folder.rglob("*"))
        if path.is_file() and any(spelled in path.read_bytes() for spelled in spellings(WORD))
    ]


def test_nothing_is_readable_on_disk(tmp_path: Path, oracle: tuple[str, OracleUpstream]) -> None:
    """Neither in the store nor in the journal nor in their logs; the page of this hour shows it."""
    with house(tmp_path, oracle, OLD) as running:
        ask_twice(running)
        rows = running.api("/api/decisions?limit=10")["decisions"]
        assert ASKED in {row["prompt"] for row in rows}
    assert traces(tmp_path) == []
    (tmp_path / "plain").mkdir()
    with serving(tmp_path / "plain", *oracle) as plain:
        ask_twice(plain)
    assert "likewise.db" in traces(tmp_path / "plain")


def test_a_restart_reads_it_back(tmp_path: Path, oracle: tuple[str, OracleUpstream]) -> None:
    """With the key, with a newer one before it, and then with the newer one for what is new."""
    with house(tmp_path, oracle, OLD) as running:
        ask_twice(running)
    with house(tmp_path, oracle, f"{NEW},{OLD}") as running:
        for prompt in (ASKED, AGAIN):
            assert running.chat(prompt, "sk-x").headers["x-cache"] == "HIT"
        running.chat("How do tides work?", "sk-x")
    with house(tmp_path, oracle, NEW) as running:
        assert running.chat("How do tides work?", "sk-x").headers["x-cache"] == "HIT"
        assert running.chat(ASKED, "sk-x").headers["x-cache"] == "MISS"


def test_a_wrong_key_does_not_start(tmp_path: Path, oracle: tuple[str, OracleUpstream]) -> None:
    """It says what to do, and harms nothing."""
    with house(tmp_path, oracle, OLD) as running:
        ask_twice(running)
    with (
        pytest.raises(SetupError, match="LIKEWISE_STORE_KEY: is not the key"),
        house(tmp_path, oracle, NEW),
    ):
        pass
    with house(tmp_path, oracle, OLD) as running:
        assert running.chat(ASKED, "sk-x").headers["x-cache"] == "HIT"


@pytest.mark.redis
def test_nothing_is_readable_in_redis(
    tmp_path: Path, oracle: tuple[str, OracleUpstream], own_redis: RedisServer
) -> None:
    """Not in one value of one key."""
    with house(tmp_path, oracle, OLD, own_redis.url) as running:
        ask_twice(running)
    with own_redis.client() as client:
        dumped = b"".join(client.dump(key) or b"" for key in client.keys("*"))
        assert client.keys("likewise:e:*")
    assert not any(spelled in dumped for spelled in spellings(WORD))
