"""Writes a BERT sentence encoder as an ONNX graph, straight from its trained weights.

Pooling and unit length are inside the graph. It takes one unpadded text a run, so it has no
attention mask. Nothing here downloads, tokenises or runs a model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from index.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

Weights: TypeAlias = "Mapping[str, NDArray[np.float32]]"

_INPUT, _OUTPUT = "input_ids", "vector"

_OPSET = 20
_IR_VERSION = 9
# int8 weights keep to 7 bits: on x86 without VNNI the 8-bit dot product saturates, and the same
# text would get another vector than on the machine next door. Mean cosine to fp32 over 37 texts,
# single words among them: .984 at 7 bits, .987 at 8, .990 at 7 bits and `_OUTLYING` as it is.
_WEIGHT_PEAK = 63.0
# The share of layers, from the first on, whose feed-forward product stays in fp32: a few inputs
# there are so large that the scale of all suffers. Costs a tenth of the time of a run.
_OUTLYING = 0.5


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a BERT's `config.json` shapes the graph; `window` is the longest text in tokens."""

    layers: int
    hidden: int
    heads: int
    epsilon: float
    window: int

    @classmethod
    def read(cls, config: Mapping[str, Any], window: int) -> Shape:
        """Raise `SetupError` for an architecture that this graph would compute wrongly."""
        kind = (config.get("model_type"), config.get("hidden_act"))
        position = config.get("position_embedding_type", "absolute")
        if kind != ("bert", "gelu") or position != "absolute":
            raise SetupError(
                f"config.json: a {kind[0]} model with {kind[1]} and {position} positions cannot be"
                ' built for onnx; set `runtime: torch` and pip install "likewise[models]"'
            )
        try:
            return cls(
                layers=int(config["num_hidden_layers"]),
                hidden=int(config["hidden_size"]),
                heads=int(config["num_attention_heads"]),
                epsilon=float(config["layer_norm_eps"]),
                window=min(window, int(config["max_position_embeddings"])),
            )
        except KeyError as missing:
            raise SetupError(f"config.json: {missing} is missing; fetch the model again") from None


@dataclass(slots=True)
class _Sheet:
    """The graph under the pen."""

    int8: bool
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants[name] = np.ascontiguousarray(value)
        return name

    def shape(self, *sizes: int) -> str:
        """Name the constant that Reshape, Slice or an axis wants; equal ones are one."""
        return self.constant("sizes_" + "_".join(map(str, sizes)), np.array(sizes, np.int64))

    def node(self, kind: str, *inputs: str, name: str, domain: str = "", **attributes: Any) -> str:
        made = helper.make_node(kind, inputs, [name], name=name, domain=domain, **attributes)
        self.nodes.append(made)
        return name

    def linear(
        self,
        x: str,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32],
        at: str,
        *,
        exact: bool = False,
    ) -> str:
        """`x @ weight.T + bias`; the weight is [out, in], as torch keeps it."""
        offset = self.constant(f"{at}.bias", bias)
        if exact or not self.int8:
            product = self.node(
                "MatMul", x, self.constant(f"{at}.weight", weight.T), name=f"{at}.product"
            )
            return self.node("Add", product, offset, name=at)
        codes, scale = _quantised(weight)
        return self.node(
            "DynamicQuantizeMatMul",
            x,
            self.constant(f"{at}.codes", codes.T),
            self.constant(f"{at}.scale", scale),
            "",
            offset,
            name=at,
            domain="com.microsoft",
        )

    def norm(self, x: str, weights: Weights, prefix: str, epsilon: float) -> str:
        scale = self.constant(f"{prefix}.scale", weights[f"{prefix}.weight"])
        shift = self.constant(f"{prefix}.shift", weights[f"{prefix}.bias"])
        return self.node(
            "LayerNormalization", x, scale, shift, name=prefix, axis=-1, epsilon=epsilon
        )


def encoder(weights: Weights, shape: Shape, *, int8: bool) -> ModelProto:
    """Draw the model from token ids, int64 [1, n], to one unit vector, float32 [hidden].

    Raise `SetupError` when a weight is missing.
    """
    sheet = _Sheet(int8)
    try:
        x = _embeddings(sheet, weights, shape)
        for layer in range(shape.layers):
            x = _layer(sheet, x, weights, shape, layer)
    except KeyError as missing:
        raise SetupError(
            f"model.safetensors: {missing} is missing, so this is no plain BERT;"
            ' set `runtime: torch` and pip install "likewise[models]"'
        ) from None
    _pooled(sheet, x)
    return _model(sheet, shape)


def _quantised(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric codes, [out, in], and one scale for each output channel."""
    peak = np.abs(weight).max(axis=1)
    scale = np.where(peak > 0, peak / _WEIGHT_PEAK, 1.0).astype(np.float32)
    return np.rint(weight / scale[:, None]).astype(np.int8), scale


def _embeddings(sheet: _Sheet, weights: Weights, shape: Shape) -> str:
    words = weights["embeddings.word_embeddings.weight"]
    # Token type 0 stands at every position of a lone text, so it is added in beforehand.
    positions = weights["embeddings.position_embeddings.weight"][: shape.window]
    positions = positions + weights["embeddings.token_type_embeddings.weight"][0]
    if sheet.int8:
        # Half of the file is this table; at half width it loses far less than int8 does.
        table = sheet.constant("words", words.astype(np.float16))
        narrow = sheet.node("Gather", table, _INPUT, name="words.rows")
        found = sheet.node("Cast", narrow, name="words.wide", to=TensorProto.FLOAT)
    else:
        found = sheet.node("Gather", sheet.constant("words", words), _INPUT, name="words.rows")
    length = sheet.node("Shape", _INPUT, name="length", start=1)
    placed = sheet.node(
        "Slice", sheet.constant("positions", positions), sheet.shape(0), length, name="placed"
    )
    total = sheet.node("Add", found, placed, name="embedded")
    return sheet.norm(total, weights, "embeddings.LayerNorm", shape.epsilon)


def _layer(sheet: _Sheet, x: str, weights: Weights, shape: Shape, layer: int) -> str:
    at = f"encoder.layer.{layer}"

    def dense(x: str, name: str, *, exact: bool = False) -> str:
        weight, bias = weights[f"{at}.{name}.weight"], weights[f"{at}.{name}.bias"]
        return sheet.linear(x, weight, bias, f"{at}.{name}", exact=exact)

    attended = dense(_attention(sheet, x, weights, shape, at), "attention.output.dense")
    x = sheet.node("Add", attended, x, name=f"{at}.attention.sum")
    x = sheet.norm(x, weights, f"{at}.attention.output.LayerNorm", shape.epsilon)
    wide = sheet.node("Gelu", dense(x, "intermediate.dense"), name=f"{at}.gelu")
    narrow = dense(wide, "output.dense", exact=layer < shape.layers * _OUTLYING)
    x = sheet.node("Add", narrow, x, name=f"{at}.sum")
    return sheet.norm(x, weights, f"{at}.output.LayerNorm", shape.epsilon)


def _attention(sheet: _Sheet, x: str, weights: Weights, shape: Shape, at: str) -> str:
    """All heads in one product for query, key and value; [1, n, hidden] in and out."""
    parts = [f"{at}.attention.self.{part}" for part in ("query", "key", "value")]
    depth = shape.hidden // shape.heads
    weight = np.concatenate([weights[f"{part}.weight"] for part in parts])
    bias = np.concatenate([weights[f"{part}.bias"] for part in parts])
    # The 1/sqrt(depth) of the scores goes into the query's own weights.
    weight[: shape.hidden] /= np.sqrt(depth)
    bias[: shape.hidden] /= np.sqrt(depth)
    packed = sheet.linear(x, weight, bias, f"{at}.attention.packed")
    split = helper.make_node("Split", [packed], parts, name=f"{at}.split", axis=-1, num_outputs=3)
    sheet.nodes.append(split)

    def heads(part: str, order: list[int]) -> str:
        rows = sheet.node(
            "Reshape", part, sheet.shape(0, -1, shape.heads, depth), name=f"{part}.rows"
        )
        return sheet.node("Transpose", rows, name=f"{part}.heads", perm=order)

    query, value = heads(parts[0], [0, 2, 1, 3]), heads(parts[2], [0, 2, 1, 3])
    scores = sheet.node("MatMul", query, heads(parts[1], [0, 2, 3, 1]), name=f"{at}.scores")
    share = sheet.node("Softmax", scores, name=f"{at}.share", axis=-1)
    mixed = sheet.node("MatMul", share, value, name=f"{at}.mixed")
    joined = sheet.node("Transpose", mixed, name=f"{at}.joined", perm=[0, 2, 1, 3])
    return sheet.node("Reshape", joined, sheet.shape(0, -1, shape.hidden), name=f"{at}.context")


def _pooled(sheet: _Sheet, x: str) -> None:
    """Take the mean over all tokens and bring it to unit length."""
    mean = sheet.node("ReduceMean", x, sheet.shape(0, 1), name="mean", keepdims=0)
    length = sheet.node("ReduceL2", mean, sheet.shape(0), name="norm", keepdims=1)
    floor = sheet.constant("floor", np.array([1e-12], np.float32))
    sheet.node("Div", mean, sheet.node("Max", length, floor, name="norm.safe"), name=_OUTPUT)


def _model(sheet: _Sheet, shape: Shape) -> ModelProto:
    graph = helper.make_graph(
        sheet.nodes,
        "encoder",
        [helper.make_tensor_value_info(_INPUT, TensorProto.INT64, [1, "n"])],
        [helper.make_tensor_value_info(_OUTPUT, TensorProto.FLOAT, [shape.hidden])],
        [numpy_helper.from_array(value, name) for name, value in sheet.constants.items()],
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(
        graph, opset_imports=opsets, producer_name="likewise", ir_version=_IR_VERSION
    )
