from __future__ import annotations

import importlib.util
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from index.embedders.torch import TorchEmbedder
from index.errors import SetupError
from tests.index.embedders.conftest import VOCABULARY

if TYPE_CHECKING:
    from pathlib import Path

installed = importlib.util.find_spec("sentence_transformers") is not None
needs_torch = pytest.mark.skipif(not installed, reason="extra `models` is not installed")


@pytest.fixture
def folder(tiny: Path) -> Path:
    """The tiny model with what sentence-transformers wants besides; its window is twelve tokens."""
    (tiny / "vocab.txt").write_text("\n".join(VOCABULARY))
    config = json.loads((tiny / "config.json").read_text())
    config |= {"vocab_size": len(VOCABULARY), "type_vocab_size": 2}
    (tiny / "config.json").write_text(json.dumps(config))
    (tiny / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    return tiny


@pytest.mark.skipif(installed, reason="extra `models` is installed")
def test_without_the_extra_the_message_says_what_to_install() -> None:
    """A missing library is a SetupError with the command that brings it."""
    with pytest.raises(SetupError, match=r'pip install "likewise\[models\]"'):
        TorchEmbedder.load("all-mpnet-base-v2")


@needs_torch
def test_a_folder_is_loaded_and_embeds(folder: Path) -> None:
    """Unit vectors of the model's own width, the same for the same text, also from threads."""
    embedder = TorchEmbedder.load(str(folder))
    alone = embedder.embed("red apple")
    assert alone.vector.dtype == np.float32
    assert alone.vector.shape == (embedder.dimension,) == (8,)
    assert np.linalg.norm(alone.vector) == pytest.approx(1.0, abs=1e-5)
    with ThreadPoolExecutor(4) as pool:
        for seen in pool.map(embedder.embed, ["red apple"] * 40):
            assert np.array_equal(seen.vector, alone.vector)


@needs_torch
def test_what_the_model_cannot_see_is_flagged(folder: Path) -> None:
    """Ten words and two marks fit a window of twelve; an unlisted word is unknown."""
    embedder = TorchEmbedder.load(str(folder))
    assert not embedder.embed("red " * 10).truncated
    assert embedder.embed("red " * 11).truncated
    assert embedder.embed("red plum").unknown
    assert not embedder.embed("red pears").unknown


@needs_torch
def test_other_weights_are_another_id(folder: Path) -> None:
    """A local model's id follows its weights."""
    first = TorchEmbedder.load(str(folder)).id
    assert first.startswith("tiny/torch-fp32/1/8-")
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    assert TorchEmbedder.load(str(folder)).id != first


@needs_torch
def test_a_model_that_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting is named."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SetupError, match=r"embedding\.model"):
        TorchEmbedder.load(str(tmp_path / "nowhere"))
