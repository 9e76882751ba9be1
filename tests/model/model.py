"""What a cache may say, in a hundred lines: a dictionary of answers, and when each may be given.

It does not decide as the proxy decides. It says which answers would be true: made for this caller,
these parameters and this question, not purged since, and no older than policy and caller allow.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Policy:
    """The seconds that are in force."""

    ttl: float
    revalidate: float
    on_error: float


@dataclass(frozen=True, slots=True)
class Question:
    """One request. `meaning` is what its text says, whatever its spelling."""

    key: str
    seed: int
    text: str
    meaning: str
    stream: bool = False
    exact_only: bool = False
    no_cache: bool = False
    no_store: bool = False
    only_if_cached: bool = False
    max_age: float | None = None
    min_fresh: float | None = None
    max_stale: float | None = None
    stale_if_error: float | None = None

    @property
    def plain(self) -> bool:
        """Whether nothing forbids a fresh answer to the letter."""
        asked = (self.max_age, self.min_fresh)
        return not (self.no_cache or self.no_store) and asked == (None, None)


@dataclass(slots=True)
class Kept:
    """An answer that upstream gave: its number there, and how long it lives.

    `sure`: it is on disk. What a kill may have taken never is, though it may still be there.
    """

    number: int
    question: Question
    made: float
    ttl: float
    gone: float
    sure: bool = False
    shaken: bool = False


@dataclass(slots=True)
class Model:
    """Every answer that may still be somewhere."""

    policy: Policy
    kept: list[Kept] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    # Keys of which a kill may have taken upstream's last word.
    unsure: set[str] = field(default_factory=set)

    def store(self, question: Question, number: int, now: float) -> None:
        """An answer takes the place of the one to the very same question."""
        self.kept = [one for one in self.kept if not _same(one.question, question)]
        lives = self.policy.ttl + max(self.policy.revalidate, self.policy.on_error)
        self.kept.append(Kept(number, question, now, self.policy.ttl, now + lives))

    def settle(self) -> None:
        """What was kept is on disk."""
        for one in self.kept:
            one.sure = not one.shaken

    def lose_power(self, before: list[Kept], refused: set[str]) -> None:
        """A kill came before what changed since then was surely on disk."""
        self.kept += [one for one in before if one not in self.kept]
        for one in self.kept:
            one.shaken = one.shaken or not (one.sure and one in before)
        self.unsure |= self.refused ^ refused

    def purge(self, key: str | None = None) -> None:
        self.kept = [one for one in self.kept if key is not None and one.question.key != key]

    def heard(self, key: str, status: int) -> None:
        """Upstream's word on a key."""
        if status in (200, 401, 403):
            self.unsure.discard(key)
        if status in (401, 403):
            self.refused.add(key)
        elif status == 200:
            self.refused.discard(key)

    def true_answers(self, asked: Question, now: float, *, failing: bool) -> set[int]:
        """The numbers of all answers that memory may give, stale ones as far as they may be."""
        turned_down = asked.key in self.refused and asked.key not in self.unsure
        if turned_down or asked.no_cache or asked.no_store:
            return set()
        return {
            one.number
            for one in self.kept
            if self._alike(one.question, asked) and self._usable(one, asked, now, failing=failing)
        }

    def owed(self, asked: Question, now: float) -> int | None:
        """The number of the answer that memory must give, where there is no way around it."""
        if not asked.plain or asked.key in self.refused | self.unsure:
            return None
        exact = next((one for one in self.kept if _same(one.question, asked)), None)
        if exact is None or not exact.sure or now >= exact.made + exact.ttl:
            return None
        # What was kept as a stream has no token counts, which an answer in one piece must have.
        return None if exact.question.stream and not asked.stream else exact.number

    def _alike(self, one: Question, asked: Question) -> bool:
        if asked.exact_only:
            return _same(one, asked)
        return (one.key, one.seed, one.meaning) == (asked.key, asked.seed, asked.meaning)

    def _usable(self, one: Kept, asked: Question, now: float, *, failing: bool) -> bool:
        late, old = now - (one.made + one.ttl), now - one.made
        if now >= one.gone:
            return False
        fits = (asked.max_age is None or old <= asked.max_age) and (
            asked.min_fresh is None or -late >= asked.min_fresh
        )
        windows = [0.0, asked.max_stale or 0.0]
        if not asked.only_if_cached:
            windows.append(self.policy.revalidate)
        if fits and late <= max(windows):
            return True
        allowed = asked.stale_if_error
        if allowed is None:
            allowed = self.policy.on_error if fits else 0.0
        return failing and not asked.only_if_cached and late < allowed


def _same(one: Question, other: Question) -> bool:
    return (one.key, one.seed, one.text) == (other.key, other.seed, other.text)
