from __future__ import annotations

import math

import numpy as np
import onnx
import onnxruntime
import pytest

from index.embedders import graph
from index.errors import SetupError
from tests.index.embedders.conftest import TINY, tiny_weights

IDS = [2, 4, 7, 9, 1, 3]


def textbook_bert(weights: dict[str, np.ndarray], ids: list[int]) -> np.ndarray:
    """BERT as its paper has it, in float64, one head at a time; mean over tokens, unit length."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    depth = TINY["hidden_size"] // TINY["num_attention_heads"]

    def dense(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(axis=1, keepdims=True)
        spread = np.sqrt((centred**2).mean(axis=1, keepdims=True) + TINY["layer_norm_eps"])
        return centred / spread * w[f"{name}.weight"] + w[f"{name}.bias"]

    x = w["embeddings.word_embeddings.weight"][ids]
    x = x + w["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(TINY["num_hidden_layers"]):
        at = f"encoder.layer.{layer}"
        q, k, v = (dense(x, f"{at}.attention.self.{part}") for part in ("query", "key", "value"))
        mixed = np.zeros_like(x)
        for start in range(0, TINY["hidden_size"], depth):
            head = slice(start, start + depth)
            scores = np.exp(q[:, head] @ k[:, head].T / math.sqrt(depth))
            mixed[:, head] = scores / scores.sum(axis=1, keepdims=True) @ v[:, head]
        attended = dense(mixed, f"{at}.attention.output.dense")
        x = norm(x + attended, f"{at}.attention.output.LayerNorm")
        wide = dense(x, f"{at}.intermediate.dense")
        gelu = wide * (1 + np.vectorize(math.erf)(wide / math.sqrt(2))) / 2
        x = norm(x + dense(gelu, f"{at}.output.dense"), f"{at}.output.LayerNorm")
    mean = x.mean(axis=0)
    return mean / np.linalg.norm(mean)


def run(*, int8: bool) -> np.ndarray:
    model = graph.encoder(tiny_weights(), graph.Shape.read(TINY, 12), int8=int8)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (vector,) = session.run(None, {"input_ids": np.array([IDS], dtype=np.int64)})
    return vector


def test_full_precision_is_the_textbook_encoder() -> None:
    """The fp32 graph computes what BERT's definition does, to float32's own accuracy."""
    np.testing.assert_allclose(run(int8=False), textbook_bert(tiny_weights(), IDS), atol=2e-6)


def test_eight_bits_stay_close() -> None:
    """The int8 graph points the same way, at unit length."""
    vector = run(int8=True)
    assert vector @ textbook_bert(tiny_weights(), IDS) > 0.98
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_weights_never_reach_the_range_where_old_processors_saturate() -> None:
    """Two products of a byte and a code fit 16 bits: 2 * 255 * 63 < 32,768."""
    model = graph.encoder(tiny_weights(), graph.Shape.read(TINY, 12), int8=True)
    codes = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8
    ]
    # Four products a layer, less the one of the first layer that stays in fp32.
    assert len(codes) == 4 * TINY["num_hidden_layers"] - 1
    assert max(int(np.abs(code.astype(int)).max()) for code in codes) == 63


def test_the_window_is_the_smaller_of_model_and_settings() -> None:
    """A window beyond the position table would read past it."""
    assert graph.Shape.read(TINY, 256).window == 12
    assert graph.Shape.read(TINY, 5).window == 5


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "mpnet"},
        {"hidden_act": "gelu_new"},
        {"position_embedding_type": "relative_key"},
    ],
)
def test_another_architecture_is_refused(change: dict[str, str]) -> None:
    """What the graph would compute wrongly is refused with the way that works."""
    with pytest.raises(SetupError, match="runtime: torch"):
        graph.Shape.read(TINY | change, 256)


def test_what_is_missing_is_named() -> None:
    """A missing setting or weight is said by name."""
    with pytest.raises(SetupError, match="layer_norm_eps"):
        graph.Shape.read({k: v for k, v in TINY.items() if k != "layer_norm_eps"}, 256)
    weights = tiny_weights()
    del weights["encoder.layer.1.output.dense.bias"]
    with pytest.raises(SetupError, match=r"encoder\.layer\.1\.output\.dense\.bias"):
        graph.encoder(weights, graph.Shape.read(TINY, 12), int8=False)
