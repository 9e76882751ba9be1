"""`likewise check` beyond the text: what answers and what does not, one line each."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from proxy import checking
from proxy.settings import load
from tests.proxy.house import configuration
from tests.servers import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import RedisServer


def checked(folder: Path, **parts: Any) -> list[tuple[bool, str]]:
    config = folder / "likewise.yaml"
    config.write_text(configuration(folder, "http://127.0.0.1:1", **parts))
    return list(checking.answers(load(config, env={}), lambda *_: None))


def failures(lines: list[tuple[bool, str]]) -> list[str]:
    return [said for good, said in lines if not good]


def test_a_good_house_is_good_throughout(tmp_path: Path) -> None:
    """Configuration, installation, store and embedder, each with what was seen."""
    lines = checked(tmp_path)
    assert failures(lines) == []
    said = [line for _, line in lines]
    assert [line.split()[0] for line in said] == [
        "configuration", "installation", "store", "embedder",
    ]  # fmt: skip
    assert str(tmp_path / "likewise.yaml") in said[0]
    assert "all-MiniLM-L6-v2" in said[3]


def test_a_redis_that_answers_is_good(tmp_path: Path, redis_server: RedisServer) -> None:
    """A real server is asked."""
    assert failures(checked(tmp_path, store={"url": redis_server.url})) == []


def test_a_redis_that_is_not_there_is_named(tmp_path: Path) -> None:
    """By its address; the embedder is looked at all the same."""
    port = free_port()
    lines = checked(tmp_path, store={"url": f"redis://127.0.0.1:{port}/0"})
    (said,) = failures(lines)
    assert str(port) in said
    assert "\n" not in said
    assert lines[-1][0]


def test_what_is_no_redis_is_named(tmp_path: Path) -> None:
    """A server of another protocol is found out."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        other.settimeout(20)
        import threading  # noqa: PLC0415 - this test alone answers by itself

        def answer() -> None:
            try:
                while True:
                    client, _ = other.accept()
                    with client:
                        client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            except OSError:
                return

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        (said,) = failures(checked(tmp_path, store={"url": f"redis://127.0.0.1:{port}/0"}))
    assert str(port) in said


@pytest.mark.parametrize("name", ["likewise.db", "elsewhere/likewise.db"])
def test_a_store_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    """The path, and what to do."""
    (tmp_path / "elsewhere").write_text("a file in a folder's place")
    (tmp_path / "likewise.db").write_text("another program's file, long enough" * 50)
    (said,) = failures(checked(tmp_path, store={"url": f"sqlite:{tmp_path}/{name}"}))
    assert str(tmp_path / name) in said
    assert "name another path" in said or "move the file away" in said


def test_a_model_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is looked at all the same."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    lines = checked(tmp_path, embedding={"model": "no/such-model-anywhere"})
    (said,) = failures(lines)
    assert "no/such-model-anywhere" in said
    assert lines[2][0]


def test_categories_of_like_examples_are_named(tmp_path: Path) -> None:
    """With the place of the later one, and how near they are."""
    policy = {
        "categories": {
            "ocean": {"examples": ["How do tides work?", "Why are there tides?"]},
            "cooking": {"examples": ["How long do I boil an egg?"]},
            "sea": {"examples": ["How do the tides work?", "Why are there tides at sea?"]},
        }
    }
    (said,) = failures(checked(tmp_path, policy=policy))
    assert "likewise.yaml:" in said
    assert "policy.categories.sea.examples: too near to those of `ocean`" in said


def test_categories_of_unlike_examples_are_good(tmp_path: Path) -> None:
    """And are listed."""
    policy = {
        "categories": {
            "tides": {"examples": ["How do tides work?"]},
            "cooking": {"examples": ["How long do I boil an egg?"]},
        }
    }
    lines = checked(tmp_path, policy=policy)
    assert failures(lines) == []
    assert "cooking, tides" in lines[-1][1]
