"""The default embedder: a BERT sentence encoder under ONNX Runtime, and its built files on disk.

`build` makes a model's folder once per machine and `OnnxEmbedder` runs it. Where weights come
from is `weights`, what the graph holds is `graph`.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import onnxruntime
import platformdirs
from tokenizers import Tokenizer

from index.embedders import weights
from index.errors import EmbedderError, SetupError
from index.ports import Embedded

if TYPE_CHECKING:
    from index.embedders.weights import Progress, Source

Precision: TypeAlias = Literal["int8", "fp32"]

# Part of every embedder's id: raise it whenever the same weights would give other vectors.
GRAPH_VERSION = 1

_MODEL, _TOKENIZER, _MANIFEST = "model.onnx", "tokenizer.json", "manifest.json"
# A text of more characters is past any window unless it is mostly white space; tokenising a
# megabyte to learn that takes a second.
_MAX_CHARACTERS = 16_384
_UNFINISHED = ".building-"
_UNFINISHED_SECONDS = 3600
# What remains after the download, as a share of the whole build.
_FETCHED = 0.9


@dataclass(frozen=True, slots=True)
class _Manifest:
    """What a built folder says of itself; `files` maps each name to its sha256."""

    name: str
    precision: str
    version: int
    source: str
    window: int
    dimension: int
    files: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> _Manifest:
        try:
            return cls(**json.loads((folder / _MANIFEST).read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            raise EmbedderError(
                f"{folder}: no built embedding model ({error}); run `likewise models pull`"
            ) from error

    def intact(self, folder: Path) -> bool:
        try:
            return all(weights.sha256(folder / name) == sha for name, sha in self.files.items())
        except OSError:
            return False


class OnnxEmbedder:
    """Runs one text at a time: dynamic int8 takes its scale over all it is given at once."""

    def __init__(
        self, session: Any, tokenizer: Tokenizer, manifest: _Manifest, *, unknown: int, end: int
    ) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self._manifest = manifest
        self._unknown, self._end = unknown, end

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1) -> OnnxEmbedder:
        """Open what `build` made. Raise `EmbedderError` when it is missing or unreadable."""
        manifest = _Manifest.read(folder)
        try:
            tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
            session = onnxruntime.InferenceSession(
                str(folder / _MODEL), _options(threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # both libraries raise types of their own
            raise EmbedderError(
                f"{folder}: the embedding model does not load ({_line(error)});"
                " delete the folder and run `likewise models pull`"
            ) from error
        # A published tokenizer may pad every text to a fixed length, and cut without saying so.
        tokenizer.no_padding()
        tokenizer.no_truncation()
        unknown, end = tokenizer.token_to_id("[UNK]"), tokenizer.token_to_id("[SEP]")
        if unknown is None or end is None:
            raise EmbedderError(
                f"{folder}: its tokenizer has no [UNK] or no [SEP], so it is not BERT's;"
                ' set `runtime: torch` and pip install "likewise[models]"'
            )
        return cls(session, tokenizer, manifest, unknown=unknown, end=end)

    @property
    def id(self) -> str:
        made = self._manifest
        return (
            f"{made.name}/onnx-{made.precision}/{made.version}/{made.dimension}-{made.source[:8]}"
        )

    @property
    def dimension(self) -> int:
        return self._manifest.dimension

    @property
    def window(self) -> int:
        """The longest text in tokens, the two marks at its ends included."""
        return self._manifest.window

    def embed(self, text: str) -> Embedded:
        try:
            ids = self._tokenizer.encode(text[:_MAX_CHARACTERS]).ids
            truncated = len(ids) > self.window or len(text) > _MAX_CHARACTERS
            unknown = self._unknown in ids
            if len(ids) > self.window:
                ids = [*ids[: self.window - 1], self._end]
            (vector,) = self._session.run(None, {"input_ids": np.array([ids], dtype=np.int64)})
        except Exception as error:  # both libraries raise types of their own
            raise EmbedderError(
                f"{self.id}: no vector for a text of {len(text)} characters ({_line(error)})"
            ) from error
        return Embedded(vector, truncated=truncated, unknown=unknown)


def is_built(model: str, *, precision: Precision = "int8", cache: Path | None = None) -> bool:
    """Whether `build` would return at once. Raise `SetupError` for a model it could not build."""
    return _is_whole(_folder(weights.locate(model), precision, cache))


def build(
    model: str,
    *,
    precision: Precision = "int8",
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Return the folder of the ready model, made first where it is absent or damaged.

    `cache` holds all models; by default `$LIKEWISE_CACHE`, else the user's cache directory.
    Several processes may build at once. Raise `SetupError` when the model cannot be had.
    """
    source = weights.locate(model)
    folder = _folder(source, precision, cache)
    if _is_whole(folder):
        return folder
    report = progress or (lambda _what, _fraction: None)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder.parent)
        with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=folder.parent) as room:
            made = Path(room) / "made"
            made.mkdir()
            _make(source, precision, Path(room), made, report)
            _publish(made, folder, Path(room))
    except OSError as error:
        raise SetupError(
            f"{folder}: the embedding model cannot be written ({error});"
            " free the disk or set LIKEWISE_CACHE to a folder of yours"
        ) from error
    report("ready", 1.0)
    return folder


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # Spinning threads would burn the core that answers exact hits.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def _folder(source: Source, precision: Precision, cache: Path | None) -> Path:
    if precision not in get_args(Precision):
        raise SetupError(
            f"embedding.precision: {precision!r} is unknown; use one of"
            f" {', '.join(get_args(Precision))}"
        )
    if cache is None:
        cache = Path(os.environ.get("LIKEWISE_CACHE") or platformdirs.user_cache_dir("likewise"))
    # A local folder's content may change under its name, so it is part of the place.
    name = source.name if source.folder is None else f"{source.name}-{source.digest[:12]}"
    return cache / "models" / f"{name}-{precision}-{GRAPH_VERSION}"


def _is_whole(folder: Path) -> bool:
    try:
        return _Manifest.read(folder).intact(folder)
    except EmbedderError:
        return False


def _make(source: Source, precision: Precision, room: Path, target: Path, report: Progress) -> None:
    """Fill `target` with a built model; `room` is for what is not kept."""
    # Imported here: together they cost a running proxy 0.3 s and 40 MB that it never uses.
    from safetensors.numpy import load_file  # noqa: PLC0415

    from index.embedders import graph  # noqa: PLC0415

    files = source.folder or room
    if source.folder is None:
        weights.fetch(room, lambda what, fraction: report(what, fraction * _FETCHED))
    report("building", _FETCHED)
    try:
        config = json.loads((files / "config.json").read_bytes())
        tensors = load_file(files / "model.safetensors")
    except OSError:
        raise
    except Exception as error:  # json's and safetensors' own
        raise SetupError(
            f"{files}: not readable ({_line(error)}); fetch the model again"
        ) from error
    shape = graph.Shape.read(config, source.window)
    (target / _MODEL).write_bytes(
        graph.encoder(tensors, shape, int8=precision == "int8").SerializeToString()
    )
    shutil.copyfile(files / _TOKENIZER, target / _TOKENIZER)
    manifest = _Manifest(
        name=source.name,
        precision=precision,
        version=GRAPH_VERSION,
        source=source.digest,
        window=shape.window,
        dimension=shape.hidden,
        files={name: weights.sha256(target / name) for name in (_MODEL, _TOKENIZER)},
    )
    (target / _MANIFEST).write_text(json.dumps(asdict(manifest), indent=1))


def _publish(made: Path, folder: Path, room: Path) -> None:
    """Move the built model into its place whole, whoever else is doing the same."""
    for attempt in range(3):
        try:
            made.rename(folder)
        except OSError:
            # Something is there: another process was quicker, or it is the damaged one.
            if _is_whole(folder):
                return
            try:
                folder.rename(room / f"damaged-{attempt}")
            except FileNotFoundError:
                continue
        else:
            return
    made.rename(folder)


def _sweep(parent: Path) -> None:
    """Remove what killed builds left behind; a young one may still be at work."""
    for left in parent.glob(f"{_UNFINISHED}*"):
        if time.time() - left.stat().st_mtime > _UNFINISHED_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
