"""The judge that a policy names. One line per kind."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from index.errors import SetupError
from policies.values import JudgeKind
from proxy.judges.embedding import EmbeddingJudge
from proxy.judges.llm import ModelJudge
from proxy.judges.text import TextJudge
from proxy.settings import judging

if TYPE_CHECKING:
    from index.ports import Embedder
    from policies.values import Rules
    from proxy.judges.ports import Judge
    from proxy.settings import Settings
    from proxy.upstream import Upstreams


def judge(settings: Settings, rules: Rules, embedder: Embedder, upstreams: Upstreams) -> Judge:
    """Raises `SetupError` where no upstream with a key serves the model that shall judge."""
    wanted = rules.judge
    if wanted.kind is JudgeKind.TEXT:
        return TextJudge()
    if wanted.kind is JudgeKind.EMBEDDING:
        return EmbeddingJudge(embedder, wanted.threshold)
    serving = judging(wanted, settings.upstreams)
    if serving is None:
        raise SetupError(f"policy.judge: no upstream with a key serves {wanted.model!r}")
    return ModelJudge(upstreams, serving, wanted, clock=time.time, dice=random.random)
