"""Rules by which the proxy and its model are moved side by side, and what must hold after each."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from proxy.demo.oracle import verify
from tests.model.bed import Bed, number
from tests.model.model import Model, Policy, Question

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from proxy.demo.oracle import OracleUpstream

KEYS = ("sk-one", "sk-two")
TEXTS = {
    "Why is the sky blue?": "sky",
    "why is the SKY blue": "sky",
    "How do tides work?": "tides",
    "how do tides work": "tides",
}
POLICIES = {"short": Policy(60, 30, 120), "long": Policy(600, 0, 900), "strict": Policy(60, 0, 0)}
# How upstream may be, and whether it then stands for one that fails.
MODES = {"ok": False, "status:500": True, "status:401": False, "cut:20": False, "length": False}
DIRECTIVES = st.fixed_dictionaries(
    {},
    optional={
        "no-cache": st.none(),
        "no-store": st.none(),
        "only-if-cached": st.none(),
        "max-age": st.sampled_from([0, 30, 100]),
        "min-fresh": st.sampled_from([10, 50]),
        "max-stale": st.sampled_from([20, 500]),
        "stale-if-error": st.sampled_from([0, 400]),
    },
)
GATEWAY_TIMEOUT = 504
SECONDS = st.sampled_from([0.5, 5.0, 29.0, 31.0, 61.0, 200.0, 1_000.0])


class Machine(RuleBasedStateMachine):
    """One proxy over its lives. `upstream` and `oracle` are set by whoever runs it."""

    oracle: OracleUpstream
    upstream: str
    steps = 0

    @initialize(policy=st.sampled_from(sorted(POLICIES)))
    def begin(self, policy: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="likewise-model-"))
        self.model = Model(POLICIES[policy])
        self.oracle.mode, self.mode = "ok", "ok"
        self.bed = Bed(self.folder, self.upstream, written(self.model.policy))
        self._run(self.bed.start())

    def teardown(self) -> None:
        if hasattr(self, "bed"):
            self._run(self.bed.stop())
            self.loop.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    # -- what happens ------------------------------------------------------------------------

    @rule(
        key=st.sampled_from(KEYS),
        text=st.sampled_from(sorted(TEXTS)),
        seed=st.sampled_from([1, 2]),
        stream=st.booleans(),
        exact=st.booleans(),
        asked=st.one_of(st.just({}), DIRECTIVES),
        crash=st.sampled_from([False, False, False, True]),
    )
    def ask(
        self,
        *,
        key: str,
        text: str,
        seed: int,
        stream: bool,
        exact: bool,
        asked: dict[str, int | None],
        crash: bool,
    ) -> None:
        """A request; with `crash` the machine loses power before anything behind it is done."""
        question = questioned(key, seed, text, asked, stream=stream, exact_only=exact)
        before, refused = list(self.model.kept), set(self.model.refused)
        self._run(self._asked(question, headers(question, asked), crash=crash))
        if crash:
            self.model.lose_power(before, refused)
        self.model.settle()

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self.bed.now += seconds

    @rule()
    def sweep(self) -> None:
        self._run(self.bed.sweep())

    @rule(key=st.sampled_from(KEYS))
    def purge(self, key: str) -> None:
        """By the tag that each key's answers carry."""
        self._run(self.bed.purge(tag=key))
        self.model.purge(key)

    @rule()
    def purge_all(self) -> None:
        self._run(self.bed.purge())
        self.model.purge()

    @rule()
    def restart(self) -> None:
        self._run(self.bed.restart())

    @rule()
    def crash(self) -> None:
        self._run(self.bed.crash())

    @rule(mode=st.sampled_from(sorted(MODES)))
    def turn_upstream(self, mode: str) -> None:
        self.oracle.mode = self.mode = mode
        self.bed.recover()

    @rule(key=st.sampled_from(KEYS), text=st.sampled_from(sorted(TEXTS)))
    def turn_down(self, key: str, text: str) -> None:
        """Upstream refuses a key once, in answer to whatever."""
        before, self.oracle.mode = self.mode, "status:401"
        self.mode = self.oracle.mode
        self.bed.recover()
        asked: dict[str, int | None] = {"no-cache": None}
        question = questioned(key, 1, text, asked, exact_only=True)
        self._run(self._asked(question, headers(question, asked), crash=False))
        self.model.settle()
        self.oracle.mode = self.mode = before

    @rule(policy=st.sampled_from(sorted(POLICIES)))
    def reload(self, policy: str) -> None:
        self.model.policy = POLICIES[policy]
        self._run(self.bed.adopt(written(self.model.policy)))

    # -- what must hold ----------------------------------------------------------------------

    @precondition(lambda self: hasattr(self, "bed"))
    @invariant()
    def memory_holds_no_more_than_was_kept(self) -> None:
        type(self).steps += 1
        assert len(self.bed.engine.memory) <= len(self.model.kept)

    async def _asked(self, question: Question, lines: dict[str, str], *, crash: bool) -> None:
        """Ask, and hold the answer against the model."""
        failing, log = MODES[self.mode], self.oracle.log
        true = self.model.true_answers(question, self.bed.now, failing=failing)
        owed, calls = self.model.owed(question, self.bed.now), len(log)
        rest = {"seed": question.seed} | ({"stream": True} if question.stream else {})
        answer, text = await self.bed.ask(question.text, question.key, lines, **rest)
        remembered = answer.headers.get("x-cache") in ("HIT", "STALE")
        if remembered:
            assert number(text) in true, f"{number(text)} is none of {true}"
            assert any(
                verify(text, credential=question.key, prompt=prompt)
                for prompt, meaning in TEXTS.items()
                if meaning == question.meaning
            )
        if owed is not None:
            assert remembered, f"{owed} was owed, and {answer.headers} came"
            assert number(text) == owed
        if not remembered:
            assert len(log) - calls == (not question.only_if_cached)
            assert (answer.status_code == GATEWAY_TIMEOUT) == question.only_if_cached
        await (self.bed.crash() if crash else self.bed.settle())
        # A stale answer may have been refreshed behind; nothing asks upstream twice.
        assert len(log) - calls <= 1
        for seen in log[calls:]:
            self._heard(question, seen.seq)

    def _heard(self, question: Question, seq: int) -> None:
        """What the model learns of a call upstream."""
        status = int(self.mode.partition(":")[2]) if self.mode.startswith("status") else 200
        self.model.heard(question.key, status)
        if self.mode == "ok" and not question.no_store:
            self.model.store(question, seq, self.bed.now)

    def _run(self, work: Coroutine[Any, Any, Any]) -> None:
        self.loop.run_until_complete(work)


def questioned(
    key: str,
    seed: int,
    text: str,
    asked: dict[str, int | None],
    *,
    stream: bool = False,
    exact_only: bool,
) -> Question:
    """A request as the model sees it."""
    said = {name.replace("-", "_"): True if n is None else float(n) for name, n in asked.items()}
    meaning = TEXTS[text]
    return Question(key, seed, text, meaning, stream, exact_only, **said)  # type: ignore[arg-type]


def headers(question: Question, asked: dict[str, int | None]) -> dict[str, str]:
    """The same as header lines."""
    lines = {"x-likewise-tags": question.key}
    if question.exact_only:
        lines["x-likewise-mode"] = "exact"
    if asked:
        parts = (name if n is None else f"{name}={n}" for name, n in asked.items())
        lines["cache-control"] = ", ".join(parts)
    return lines


def written(policy: Policy) -> dict[str, Any]:
    """A policy as it stands in the file."""
    times = {
        "ttl": policy.ttl,
        "stale_while_revalidate": policy.revalidate,
        "stale_if_error": policy.on_error,
    }
    return {"audits": "0%", "defaults": {"threshold": 0.95} | times}


def machine_before(url: str, upstream: OracleUpstream) -> type[Machine]:
    """The machine in front of a running oracle."""
    return type("Proxy", (Machine,), {"upstream": url, "oracle": upstream})
