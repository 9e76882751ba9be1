"""Any sentence-transformers model, through torch: the door to every other encoder.

Needs the optional dependency `likewise[models]`, which is imported only when a model is loaded.
"""

from __future__ import annotations

import hashlib
import importlib
import threading
from pathlib import Path
from typing import Any

import numpy as np

from index.errors import EmbedderError, SetupError
from index.ports import Embedded

# Tokenising a megabyte to learn that it is past the window takes a second. Long-context models
# read 8,192 tokens, so this leaves them eight characters a token.
_MAX_CHARACTERS = 65_536


class TorchEmbedder:
    """One text a run, one run at a time: the tokenizer underneath is not thread-safe."""

    def __init__(self, model: Any, name: str, revision: str | None) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._dimension = len(model.encode("a", show_progress_bar=False))
        known = f"-{revision[:8]}" if revision else ""
        self._id = f"{name}/torch-fp32/1/{self._dimension}{known}"

    @classmethod
    def load(cls, model: str, *, threads: int = 1) -> TorchEmbedder:
        """`model` is a sentence-transformers id or a folder. Raise `SetupError` if not to be had.

        `threads` holds for the whole process: torch has one setting.
        """
        try:
            torch = importlib.import_module("torch")
            library = importlib.import_module("sentence_transformers")
        except ImportError as error:
            raise SetupError(
                f"embedding.runtime: torch is not installed ({error});"
                ' pip install "likewise[models]", or set `runtime: onnx`'
            ) from error
        torch.set_num_threads(threads)
        folder = Path(model).expanduser()
        try:
            if folder.is_dir():
                loaded = library.SentenceTransformer(str(folder))
                return cls(loaded, folder.resolve().name, _content(folder))
            loaded = library.SentenceTransformer(model)
            return cls(loaded, model, _revision(loaded))
        except Exception as error:  # whatever the hub, torch or the model's own code raises
            raise SetupError(
                f"embedding.model: {model!r} does not load ({' '.join(str(error).split())[:200]});"
                " give a sentence-transformers id that the hub has, or a folder"
            ) from error

    @property
    def id(self) -> str:
        return self._id

    @property
    def dimension(self) -> int:
        return self._dimension

    def embed(self, text: str) -> Embedded:
        head = text[:_MAX_CHARACTERS]
        try:
            with self._lock:
                truncated, unknown = self._unseen(head)
                vector = self._model.encode(
                    head, normalize_embeddings=True, show_progress_bar=False
                )
        except Exception as error:  # whatever torch or the model's own code raises
            raise EmbedderError(
                f"{self._id}: no vector for a text of {len(text)} characters"
                f" ({' '.join(str(error).split())[:200]})"
            ) from error
        return Embedded(
            np.asarray(vector, dtype=np.float32),
            truncated=truncated or len(text) > _MAX_CHARACTERS,
            unknown=unknown,
        )

    def _unseen(self, text: str) -> tuple[bool, bool]:
        """Whether the text is past the window, and whether the vocabulary lacks some of it."""
        tokenizer, window = self._model.tokenizer, self._model.max_seq_length
        ids = tokenizer(text, truncation=False, padding=False, verbose=False)["input_ids"]
        unknown = getattr(tokenizer, "unk_token_id", None)
        return window is not None and len(ids) > window, unknown is not None and unknown in ids


def _revision(model: Any) -> str | None:
    """Read the hub commit a model was loaded at, where the library still knows."""
    config = getattr(getattr(model[0], "auto_model", None), "config", None)
    return getattr(config, "_commit_hash", None)


def _content(folder: Path) -> str | None:
    """Digest a local model's weights: nothing else tells two versions apart."""
    digest = hashlib.sha256()
    files = sorted([*folder.rglob("*.safetensors"), *folder.rglob("*.bin")])
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest() if files else None
