"""What cosine cannot see: labelled pairs through the very `choose()` of production.

    .venv/bin/python bench/quality.py --data FOLDER [--sets a,b] [--parts traps,cost] [--json]

FOLDER holds `pairs_NAME/NAME.jsonl` with rows `{a, b, label, category?}`. For every pair a cache
that remembers `a` alone is asked `b` under the built-in policy, at the shipped cut and at looser
ones, since a learned cut goes lower. Shares of what is served stand with their 95% interval
(Wilson's). Tables go to stdout, progress to stderr.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import math
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

import numpy as np
import platformdirs

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from index import build
from index.ports import Embedded, Embedder
from policies import context, decide, guards, text
from policies.config import read_policy
from policies.document import read
from policies.values import Candidate, Facts, Found, Owners, Query, Rules, Snapshot
from policies.verdicts import Bypass, Forward, Reason, Serve
from proxy.dialects.chat import Chat
from proxy.dialects.ports import Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from policies.values import Turn

CUTS = (0.85, 0.90, 0.95)
RULES = read_policy(read("", "none"))
HERE = Path(__file__).resolve().parent
# Where the numbers were changed, as told by the set itself.
CHANGED = {
    "numerical substitution", "digit expansion", "integer-decimal-fraction conversion",
}  # fmt: skip
TRAPS = (
    "checklist_qqp", "paws_qqp", "mqp", "slot_atis", "slot_snips", "slot_slurp", "gsm_plus",
    "wildchat_templates", "advglue_qqp", "query_variations", "covid_q", "disfl_qa", "qqp",
)  # fmt: skip
TRUE = (
    "checklist_qqp", "mqp", "qqp", "msmarco_typos", "query_variations", "paws_qqp", "slot_atis",
    "slot_snips", "covid_q", "gsm_plus",
)  # fmt: skip
STREAMS = "streams"
PARTS = (
    "acceptance", "languages", "traps", "paraphrases", "english", "contexts", "cost",
    *((STREAMS,) if importlib.util.find_spec(STREAMS) else ()),
)  # fmt: skip
ROUNDS, ROUND = 5, 1000
Z = 1.96


@dataclass(frozen=True, slots=True)
class Pair:
    """Two prompts, and whether one answer serves both."""

    a: str
    b: str
    same: bool
    kind: str = ""


class Vectors:
    """Texts to vectors, remembered in RAM and in one file for each encoder."""

    def __init__(self, embedder: Embedder, folder: Path) -> None:
        self._embedder = embedder
        name = sha256(embedder.id.encode()).hexdigest()[:12]
        self._file = folder / f"quality-{name}.npz"
        self._known: dict[str, tuple[np.ndarray, bool, bool]] = {}
        self._added = 0
        if self._file.is_file():
            with np.load(self._file) as held:
                rows = zip(held["key"], held["vector"], held["flags"], strict=True)
                self._known = {str(k): (v, bool(f & 1), bool(f & 2)) for k, v, f in rows}

    def of(self, prompt: str) -> Embedded:
        """The vector of a prompt, by way of its normal form, as memory embeds it."""
        plain = text.normalise(prompt)
        key = sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:24]
        if key not in self._known:
            made = self._embedder.embed(plain)
            self._known[key] = (made.vector.astype(np.float16), made.truncated, made.unknown)
            self._added += 1
        vector, truncated, unknown = self._known[key]
        return Embedded(vector.astype(np.float32), truncated=truncated, unknown=unknown)

    def save(self) -> None:
        if not self._added:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        vectors, truncated, unknown = zip(*self._known.values(), strict=True)
        flags = np.array(truncated, np.uint8) | np.array(unknown, np.uint8) << 1
        part = self._file.with_suffix(f".{os.getpid()}.npz")
        np.savez(part, key=np.array(list(self._known)), vector=np.stack(vectors), flags=flags)
        part.replace(self._file)
        self._added = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """One pair after the question: how similar, and the verdict at each cut."""

    pair: Pair
    score: float
    verdicts: tuple[Serve | Forward | Bypass, ...]

    def served(self, at: int) -> bool:
        return isinstance(self.verdicts[at], Serve)

    def reason(self, at: int) -> Reason:
        return self.verdicts[at].reason


def ask(pair: Pair, vectors: Vectors) -> Asked:
    """A cache that holds `a` alone, asked `b`, at every cut."""
    left, right = vectors.of(pair.a), vectors.of(pair.b)
    score = _cosine(left, right)
    fault = next((f for f in map(_fault, (left, right)) if f is not None), None)
    return Asked(pair, score, tuple(_verdict(pair, score, fault, at(c, RULES)) for c in CUTS))


def _cosine(one: Embedded, other: Embedded) -> float:
    unit = np.linalg.norm(one.vector) * np.linalg.norm(other.vector)
    return min(1.0, max(0.0, float(one.vector @ other.vector / max(unit, 1e-9))))


def at(cut: float, rules: Rules) -> Rules:
    """The policy with a fixed cut wherever the shipped one learns: no label helps the guards."""
    usual = rules.defaults.threshold
    moved = replace(usual, start=cut, max_false_hits=None)
    return replace(
        rules,
        defaults=replace(rules.defaults, threshold=moved),
        categories=tuple(
            replace(c, threshold=moved) if c.threshold == usual else c for c in rules.categories
        ),
    )


def _fault(embedded: Embedded) -> Reason | None:
    if embedded.unknown:
        return Reason.LANGUAGE
    return Reason.TRUNCATED if embedded.truncated else None


def query(prompt: str) -> Query:
    return Query("chat", "openai", "gpt-4o-mini", Owners("key"), b"same", "", prompt)


def facts(prompt: str, entry: str, space: str, category: str) -> Facts:
    return Facts(
        entry, space, "key", category, "chat", "gpt-4o-mini", "", prompt, 0.0, 1e9, 1e9, 100
    )


def _verdict(
    pair: Pair, score: float, fault: Reason | None, rules: Rules
) -> Serve | Forward | Bypass:
    asked, held = decide.plan(query(pair.b), rules), decide.plan(query(pair.a), rules)
    if isinstance(asked, Bypass) or isinstance(held, Bypass):
        return asked if isinstance(asked, Bypass) else held  # type: ignore[return-value]
    rule = asked.category or rules.defaults
    why = asked.semantic or held.semantic or fault
    near: tuple[Candidate, ...] = ()
    if why is None and asked.space == held.space:
        near = (Candidate(facts(pair.a, held.entry, held.space, rule.name), score),)
    exact = facts(pair.a, held.entry, held.space, rule.name) if asked.entry == held.entry else None
    found = Found(asked.entry, asked.space, asked.category, exact=exact, near=near, fault=why)
    return decide.choose(query(pair.b), found, Snapshot(1.0, rules))


# -- conversations ---------------------------------------------------------------------------------


def follow(row: Mapping[str, Any], vectors: Vectors) -> Asked:
    """A cache that holds the conversation `a` alone, asked in the conversation `b`."""
    held, asked = (
        Chat().read(_body(row[f"{side}_history"], row[side]), Frame(Owners("key"), "openai"))
        for side in "ab"
    )
    pair = Pair(row["a"], row["b"], row["label"] == 1, row["category"])
    left, right = vectors.of(pair.a), vectors.of(pair.b)
    turns = _alike(asked.before, context.kept(held.before), vectors)
    fault = next((f for f in map(_fault, (left, right)) if f is not None), None)
    score = _cosine(left, right)
    verdicts = (_followed(asked, held, turns, score, fault, at(cut, RULES)) for cut in CUTS)
    return Asked(pair, score, tuple(verdicts))


def _body(history: Sequence[Any], last: str) -> dict[str, Any]:
    return {"model": "m", "messages": [*history, {"role": "user", "content": last}]}


def _alike(asked: Sequence[Turn], held: Sequence[Turn], vectors: Vectors) -> tuple[float, ...]:
    """The similarity of every earlier turn, as memory makes it; none where the shapes differ."""
    if not context.alike(asked, held, RULES.defaults.context.max_turns):
        return ()
    return tuple(
        _cosine(vectors.of(a.text), vectors.of(b.text))
        if a.role == context.USER
        else float(a.rest == b.rest)
        for a, b in zip(asked, held, strict=True)
    )


def _followed(
    asked: Query,
    held: Query,
    turns: tuple[float, ...],
    score: float,
    fault: Reason | None,
    rules: Rules,
) -> Serve | Forward | Bypass:
    plan, kept = decide.plan(asked, rules), decide.plan(held, rules)
    if isinstance(plan, Bypass) or isinstance(kept, Bypass):
        return plan if isinstance(plan, Bypass) else kept  # type: ignore[return-value]
    rule = kept.category or rules.defaults
    entry = replace(
        facts(held.text, kept.entry, kept.space, rule.name),
        chain=held.chain,
        before=context.kept(held.before),
    )
    why = plan.semantic or kept.semantic or fault
    near: tuple[Candidate, ...] = ()
    if why is None and plan.space == kept.space:
        near = (Candidate(entry, score, turns=turns),)
    exact = entry if plan.entry == kept.entry else None
    found = Found(plan.entry, plan.space, plan.category, exact=exact, near=near, fault=why)
    return decide.choose(asked, found, Snapshot(1.0, rules))


# -- what is read ----------------------------------------------------------------------------------


def pairs(data: Path, name: str) -> list[Pair]:
    """The rows of a set; empty where it is not there."""
    file = data / f"pairs_{name}" / f"{name}.jsonl"
    if not file.is_file():
        print(f"{file}: not there, left out", file=sys.stderr)
        return []
    rows = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return [Pair(r["a"], r["b"], r["label"] == 1, r.get("category") or "") for r in rows]


def cases(file: Path) -> list[Pair]:
    """Bundled pairs: `kind | stop or pass | one prompt | another prompt`."""
    lines = file.read_text(encoding="utf-8").splitlines()
    rows = [line.split(" | ") for line in lines if line and not line.startswith("#")]
    return [Pair(a, b, verdict == "pass", kind) for kind, verdict, a, b in rows]


# -- what is counted -------------------------------------------------------------------------------


def traps(name: str, rows: Sequence[Asked]) -> dict[str, object]:
    """How many look-alikes were served, and what stopped the rest at the loosest cut."""
    stops = Counter(str(r.reason(0)) for r in rows if not r.served(0))
    row: dict[str, object] = {"set": name, "rows": len(rows)}
    for place, cut in enumerate(CUTS):
        row[f"near {cut:.2f}"] = sum(r.score >= cut for r in rows)
        row[f"served {cut:.2f}"] = within(sum(r.served(place) for r in rows), len(rows))
    row["stopped by"] = ", ".join(
        f"{reason.removeprefix('guard-')} {n}"
        for reason, n in stops.most_common()
        if reason != Reason.BELOW_THRESHOLD
    )
    return row


def paraphrases(name: str, rows: Sequence[Asked]) -> dict[str, object]:
    """How many true pairs above 0.90 each guard alone stops, and how many are served."""
    near = [r for r in rows if r.score >= 0.90]
    row: dict[str, object] = {"set": name, "rows": len(rows), "near 0.90": len(near)}
    stopped = {g: [r for r in near if check(r.pair.a, r.pair.b)] for g, check in _guards()}
    for guard, those in stopped.items():
        row[guard] = share(len(those), len(near))
    together = {id(r) for those in stopped.values() for r in those}
    row["together"] = share(len(together), len(near))
    for place, cut in enumerate(CUTS):
        row[f"served {cut:.2f}"] = within(sum(r.served(place) for r in rows), len(rows))
    return row


def _guards() -> Iterable[tuple[str, guards.Guard]]:
    return guards.GUARDS.items()


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"


def within(part: int, whole: int) -> str:
    """A share with its 95% interval after Wilson: `2.4% (2.1-2.7)`."""
    if not whole:
        return "-"
    share_, spread = part / whole, Z * Z / whole
    centre = (share_ + spread / 2) / (1 + spread)
    half = math.sqrt(share_ * (1 - share_) * spread + spread * spread / 4) / (1 + spread)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return f"{share(part, whole)} ({100 * low:.1f}-{100 * high:.1f})"


def gated(name: str, rows: Sequence[Pair]) -> dict[str, object]:
    """How many English prompts the language gate takes for another language."""
    said = {p for pair in rows for p in (pair.a, pair.b)}
    wrong = [p for p in said if text.embeddable(p) is Reason.LANGUAGE]
    return {
        "set": name,
        "prompts": len(said),
        "gated": len(wrong),
        "share": share_fine(wrong, said),
    }


def share_fine(part: Sequence[str], whole: set[str]) -> str:
    return f"{100 * len(part) / max(1, len(whole)):.2f}%"


# -- what it costs ---------------------------------------------------------------------------------


def costs(rows: Sequence[Pair]) -> list[dict[str, object]]:
    """Microseconds: texts never read before, and texts whose reading is remembered."""
    rounds = [rows[at : at + ROUND] for at in range(0, min(len(rows), ROUNDS * ROUND), ROUND)]
    found = []
    for name, guard in (*_guards(), ("all guards", _all)):
        first = [[timed(guard, p.a, p.b) for p in sample] for sample in rounds]
        again = [[_again(guard, p.a, p.b) for p in sample] for sample in rounds]
        found.append(_figures(f"{name}, a pair", first, again))
    first = [[timed(text.embeddable, p.a) for p in sample] for sample in rounds]
    again = [[_again(text.embeddable, p.a) for p in sample] for sample in rounds]
    found.append(_figures("embeddable, a text", first, again))
    groups = [[s[at : at + 8] for at in range(0, len(s) - 8, 8)] for s in rounds]
    chosen = [list(map(_chosen, those)) for those in groups if those]
    if chosen:
        first, again = ([[c[side] for c in those] for those in chosen] for side in (0, 1))
        found.append(_figures("choose, 8 candidates", first, again))
    return found


def _all(a: str, b: str) -> object:
    return guards.veto(a, b, guards.GUARDS)


def _again(work: Callable[..., object], *args: object) -> float:
    work(*args)
    return timed(work, *args)


def _chosen(group: Sequence[Pair]) -> tuple[float, float]:
    """Eight neighbours above the cut: as found first, then again."""
    asked = query(group[0].a)
    plan = decide.plan(asked, RULES)
    near = tuple(
        Candidate(facts(p.b, f"{at:032x}", "s", "default"), 0.99) for at, p in enumerate(group)
    )
    found = Found("e" * 32, "s", None, near=near)
    if isinstance(plan, Bypass):
        return 0.0, 0.0
    guards.study(asked.text)
    snap = Snapshot(1.0, RULES)
    return timed(decide.choose, asked, found, snap), timed(decide.choose, asked, found, snap)


def timed(work: Callable[..., object], *args: object) -> float:
    began = time.perf_counter_ns()
    work(*args)
    return (time.perf_counter_ns() - began) / 1000


def _figures(
    name: str, first: Sequence[Sequence[float]], again: Sequence[Sequence[float]]
) -> dict[str, object]:
    """The median over rounds of each round's median, with the lowest and the highest."""
    row: dict[str, object] = {"what": name}
    for title, rounds in (("first", first), ("remembered", again)):
        medians = sorted(map(median, rounds))
        row[f"{title}, median µs"] = round(median(medians), 1)
        row[f"{title}, of {ROUNDS} rounds"] = f"{medians[0]:.1f}-{medians[-1]:.1f}"
        row[f"{title}, p95"] = round(median(quantiles(r, n=20)[-1] for r in rounds), 1)
    return row


# -- the run ---------------------------------------------------------------------------------------


class Run:
    """One run: what was asked for, and the tables so far."""

    def __init__(self, given: argparse.Namespace, vectors: Vectors) -> None:
        self.given, self.vectors = given, vectors
        self.tables: dict[str, list[dict[str, object]]] = {}

    def wants(self, name: str) -> bool:
        return not self.given.sets or name in self.given.sets.split(",")

    def asked(self, name: str, rows: Sequence[Pair]) -> list[Asked]:
        """Every pair asked, with a line of progress."""
        found = []
        for at, pair in enumerate(rows):
            found.append(ask(pair, self.vectors))
            if at % 500 == 0:
                print(f"\r{name}: {at} of {len(rows)}   ", end="", file=sys.stderr, flush=True)
        print(f"\r{name}: {len(rows)} pairs   ", file=sys.stderr)
        self.vectors.save()
        return found

    def bundled(self, part: str) -> None:
        """The project's own pairs, one row for each kind."""
        rows = self.asked(part, cases(HERE / f"{part}.case"))
        for kind in dict.fromkeys(r.pair.kind for r in rows):
            those = [r for r in rows if r.pair.kind == kind]
            for same, count in ((False, traps), (True, paraphrases)):
                chosen = [r for r in those if r.pair.same is same]
                if chosen:
                    title = f"{part}: {'must be served' if same else 'must not be served'}"
                    self.tables.setdefault(title, []).append(count(kind, chosen))
        self.show(rows, cut=2)

    def traps(self) -> None:
        table = self.tables.setdefault("look-alikes: served is a wrong answer", [])
        every: list[Asked] = []
        for name in filter(self.wants, TRAPS):
            rows = [p for p in pairs(self.given.data, name) if not p.same]
            parts = {name: rows}
            if name == "gsm_plus":
                parts = {
                    "gsm_plus, numbers": [p for p in rows if p.kind in CHANGED],
                    "gsm_plus, the rest": [p for p in rows if p.kind not in CHANGED],
                }
            for title, chosen in parts.items():
                asked = self.asked(title, chosen)
                table.append(traps(title, asked))
                self.show(asked, cut=self.given.at)
                if name != "qqp":  # its labels are noisy, and it outweighs all others
                    every += asked
        table.append(traps("all but qqp", every))

    def paraphrases(self) -> None:
        table = self.tables.setdefault("paraphrases: a veto is a lost answer", [])
        every: list[Asked] = []
        for name in filter(self.wants, TRUE):
            rows = self.asked(name, [p for p in pairs(self.given.data, name) if p.same])
            table.append(paraphrases(name, rows))
            self.show_vetoed(rows)
            every += rows
        table.append(paraphrases("all", every))

    def english(self) -> None:
        table = self.tables.setdefault("English prompts taken for another language", [])
        for name in filter(self.wants, dict.fromkeys((*TRAPS, *TRUE))):
            rows = pairs(self.given.data, name)
            table.append(gated(name, rows))
            for prompt in {p for r in rows for p in (r.a, r.b)} if self.given.show else ():
                if text.embeddable(prompt) is Reason.LANGUAGE:
                    print(f"  gated: {prompt[:150]}", file=sys.stderr)

    def contexts(self) -> None:
        table = self.tables.setdefault("conversations", [])
        file = self.given.data / "context_pairs" / "context_pairs.jsonl"
        if not file.is_file() or not self.wants("context_pairs"):
            return
        asked: list[Asked] = []
        for at, line in enumerate(file.read_text(encoding="utf-8").splitlines()):
            asked.append(follow(json.loads(line), self.vectors))
            if at % 100 == 0:
                print(f"\rconversations: {at}   ", end="", file=sys.stderr, flush=True)
        self.vectors.save()
        for label in (False, True):
            kinds = dict.fromkeys(r.pair.kind for r in asked if r.pair.same is label)
            for kind in kinds:
                rows = [r for r in asked if r.pair.kind == kind and r.pair.same is label]
                table.append({"label": int(label)} | traps(kind, rows))
            every = [r for r in asked if r.pair.same is label]
            table.append({"label": int(label)} | traps("all", every))
        self.show(asked, cut=self.given.at)

    def cost(self) -> None:
        rows = pairs(self.given.data, "qqp") or cases(HERE / "acceptance.case")
        self.tables["cost"] = costs(rows)

    def show(self, rows: Sequence[Asked], cut: int) -> None:
        """The first wrong ones, for people."""
        wrong = (r for r in rows if r.served(cut) is not r.pair.same)
        for _, row in zip(range(self.given.show), wrong, strict=False):
            kind = f"{row.pair.kind[:60]} {row.reason(cut)}"
            print(f"  {row.score:.3f} {kind}\n    {row.pair.a[:200]}\n    {row.pair.b[:200]}",
                  file=sys.stderr)  # fmt: skip

    def show_vetoed(self, rows: Sequence[Asked]) -> None:
        near = (r for r in rows if r.score >= 0.90)
        vetoed = ((r, v) for r in near if (v := guards.veto(r.pair.a, r.pair.b, guards.GUARDS)))
        for _, (row, veto) in zip(range(self.given.show), vetoed, strict=False):
            print(f"  {row.score:.3f} {veto.reason}: {veto.seen}\n    {row.pair.a[:200]}"
                  f"\n    {row.pair.b[:200]}", file=sys.stderr)  # fmt: skip


def printed(tables: dict[str, list[dict[str, object]]]) -> Iterator[str]:
    """Markdown tables, columns lined up."""
    for title, rows in tables.items():
        if not rows:
            continue
        heads = list(rows[0])
        body = [[str(r[h]) for h in heads] for r in rows]
        wide = [max(len(line[at]) for line in (heads, *body)) for at in range(len(heads))]
        yield f"\n{title}\n"
        for line in (heads, ["-" * w for w in wide], *body):
            yield "| " + " | ".join(c.ljust(w) for c, w in zip(line, wide, strict=True)) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    home = Path(os.environ.get("LIKEWISE_CACHE") or platformdirs.user_cache_dir("likewise"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", default="", help="names, comma between; all by default")
    parser.add_argument("--parts", default=",".join(PARTS), help="parts of the run")
    parser.add_argument("--cache", type=Path, default=home, help="where vectors are kept")
    parser.add_argument("--json", action="store_true", help="the tables as JSON")
    parser.add_argument("--show", type=int, default=0, help="print so many wrong pairs of each set")
    parser.add_argument("--at", type=int, default=0, choices=range(len(CUTS)), help="cut of --show")
    given = parser.parse_args()
    made = build.embedder("all-MiniLM-L6-v2", runtime="onnx", precision="int8", threads=1)
    run = Run(given, Vectors(made, given.cache))
    for part in given.parts.split(","):
        if part in ("acceptance", "languages"):
            run.bundled(part)
        elif part != STREAMS:
            getattr(run, part)()
    if given.json:
        print(json.dumps(run.tables, indent=1, ensure_ascii=False))
        return
    for line in printed(run.tables):
        print(line)
    if STREAMS in given.parts.split(","):
        wanted = given.sets.split(",") if given.sets else None
        importlib.import_module(STREAMS).table(given.data, wanted)


if __name__ == "__main__":
    main()
