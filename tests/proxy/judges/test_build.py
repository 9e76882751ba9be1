"""A policy's word becomes the judge it names."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from index.embedders.hashing import HashingEmbedder
from index.errors import SetupError
from policies.config import read_policy
from policies.document import read
from proxy.judges import build
from proxy.judges.embedding import EmbeddingJudge
from proxy.judges.llm import ModelJudge
from proxy.judges.text import TextJudge
from proxy.settings import load
from proxy.upstream import Upstreams

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("judge", "kind"),
    [
        ("text", TextJudge),
        ("embedding", EmbeddingJudge),
        ("{kind: embedding, threshold: 0.9}", EmbeddingJudge),
        ("", EmbeddingJudge),
    ],
)
def test_each_kind(judge: str, kind: type) -> None:
    """By default answers are compared by their vectors."""
    settings = load(upstream="http://127.0.0.1:9", env={})
    rules = read_policy(read(f"policy:\n  judge: {judge}", "c.yaml"))
    made = build.judge(settings, rules, HashingEmbedder(), Upstreams(settings.upstreams))
    assert isinstance(made, kind)
    made.close()


def test_a_model_needs_its_upstream(tmp_path: Path) -> None:
    """With a key it is asked there; without one nothing can be built."""
    file = tmp_path / "c.yaml"
    file.write_text(
        "upstreams: [{name: a, base_url: 'http://h', api_key: '${K}'}]\npolicy: {judge: llm}"
    )
    settings = load(file, env={"K": "sk"})
    upstreams = Upstreams(settings.upstreams)
    made = build.judge(settings, settings.rules, HashingEmbedder(), upstreams)
    assert isinstance(made, ModelJudge)
    keyless = replace(settings, upstreams=(replace(settings.upstreams[0], api_key=None),))
    with pytest.raises(SetupError, match="no upstream with a key serves 'gpt-4o-mini'"):
        build.judge(keyless, settings.rules, HashingEmbedder(), upstreams)
