"""Models to test with: the real one where it can be had, and a tiny one made on the spot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from index.embedders import onnx
from index.errors import SetupError

HERE = Path(__file__).parent
TINY = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "layer_norm_eps": 1e-5,
    "max_position_embeddings": 12,
}
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "green", "blue", "apple", "pear", "##s"]


def tiny_weights() -> dict[str, np.ndarray]:
    dice = np.random.default_rng(7)
    hidden, wide = TINY["hidden_size"], TINY["intermediate_size"]
    sizes = {
        "embeddings.word_embeddings.weight": (len(VOCABULARY), hidden),
        "embeddings.position_embeddings.weight": (TINY["max_position_embeddings"], hidden),
        "embeddings.token_type_embeddings.weight": (2, hidden),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(TINY["num_hidden_layers"]):
        at = f"encoder.layer.{layer}"
        norms += [f"{at}.attention.output.LayerNorm", f"{at}.output.LayerNorm"]
        shapes = {f"{at}.attention.self.{part}": (hidden, hidden) for part in ("query", "key")}
        shapes[f"{at}.attention.self.value"] = (hidden, hidden)
        shapes[f"{at}.attention.output.dense"] = (hidden, hidden)
        shapes[f"{at}.intermediate.dense"] = (wide, hidden)
        shapes[f"{at}.output.dense"] = (hidden, wide)
        for name, shape in shapes.items():
            sizes[f"{name}.weight"] = shape
            sizes[f"{name}.bias"] = shape[:1]
    for norm in norms:
        sizes[f"{norm}.weight"] = sizes[f"{norm}.bias"] = (hidden,)
    return {name: dice.normal(0, 0.5, size).astype(np.float32) for name, size in sizes.items()}


def write_tiny(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tiny_weights(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(TINY))
    words = {word: number for number, word in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    # As the published one does: pads and cuts, which the embedder must undo.
    tokenizer.enable_padding(length=10)
    tokenizer.enable_truncation(10)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny")


def _real(precision: onnx.Precision) -> onnx.OnnxEmbedder:
    try:
        return onnx.OnnxEmbedder.load(onnx.build("all-MiniLM-L6-v2", precision=precision))
    except SetupError as error:
        pytest.skip(f"the model cannot be had here: {error}")


@pytest.fixture(scope="session")
def int8() -> onnx.OnnxEmbedder:
    return _real("int8")


@pytest.fixture(scope="session")
def fp32() -> onnx.OnnxEmbedder:
    return _real("fp32")


@pytest.fixture(scope="session")
def golden() -> tuple[list[str], np.ndarray]:
    texts = json.loads((HERE / "golden_texts.json").read_text())
    with np.load(HERE / "golden_minilm.npz") as file:
        return texts, file["vectors"]
