"""The configuration's text: read, checked, written back, and what was in force before.

Only `policy:` and `prices:` may be changed from the dashboard: they are what a running proxy takes
over, and whoever could change upstreams there could have their keys sent elsewhere.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from admin_ui.facts import Applied, Edition, Fault, Written
from index.errors import StoreError
from policies.document import read
from policies.errors import PolicyError
from proxy import editing
from proxy.settings import NO_FILE, redraft
from proxy.tuning import rewritten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from index.ledger import Ledger
    from proxy.settings import Settings
    from proxy.upkeep import Upkeep

LOG = logging.getLogger("likewise.drafting")

NO_FILE_SAID = (
    "there is no file to write to: this proxy runs without one. Write one with `likewise init` and "
    "start with `likewise serve -c likewise.yaml`"
)
BY_HAND = ("file", "edited in place")


@dataclass(frozen=True, slots=True)
class Hand:
    """Whose edit is under way."""

    who: str
    how: str


class Drafts:
    """Belongs to one event loop. `upkeep` puts in force what is written."""

    def __init__(self, upkeep: Upkeep, ledger: Ledger) -> None:
        self._upkeep = upkeep
        self._ledger = ledger
        self._hand = Hand(*BY_HAND)
        self._editing = asyncio.Lock()
        upkeep.on_policy = self._adopted

    @property
    def _settings(self) -> Settings:
        return self._upkeep.settings

    async def begin(self) -> None:
        """Write down the text that the process starts with."""
        await self._adopted(self._settings)

    async def written(self) -> Written:
        """The file as it is now."""
        return await asyncio.to_thread(self._standing)

    async def check(self, text: str) -> tuple[Fault, ...]:
        """Everything that is wrong with a text."""
        return await asyncio.to_thread(faults, self._settings, text)

    async def draft(self, text: str) -> Settings:
        """The settings that a text would make. Raises `PolicyError`."""
        return await asyncio.to_thread(redraft, self._settings, text)

    async def diff(self, text: str) -> str:
        standing = await self.written()
        return editing.diff(standing.text, text, Path(standing.file or NO_FILE).name)

    async def apply(self, text: str, revision: str, who: str, how: str = "edited") -> Applied:
        """Write a text that was edited from `revision`, and put it in force."""
        async with self._editing:
            standing = await self.written()
            if not standing.file:
                return Applied(False, "", (Fault(0, "", NO_FILE_SAID),))
            if standing.revision != revision:
                return Applied(False, standing.revision, conflict=True)
            text = with_endings_of(standing.text, text)
            wrong = await self.check(text) or await asyncio.to_thread(write, standing.file, text)
            if wrong:
                return Applied(False, standing.revision, wrong)
            self._hand = Hand(who, how)
            try:
                await self._upkeep.reload()
            finally:
                self._hand = Hand(*BY_HAND)
            return Applied(True, revision_of(text))

    async def retune(self, category: str, cut: float, revision: str, who: str) -> Applied:
        """Write another cut for one category, and put it in force."""
        standing = await self.written()
        if not standing.file:
            return Applied(False, "", (Fault(0, "", NO_FILE_SAID),))
        try:
            document = read(standing.text, standing.file)
            text = rewritten(document, self._settings.rules, category, cut)
        except PolicyError as error:
            return Applied(False, standing.revision, faults_of(error))
        except ValueError as error:
            return Applied(False, standing.revision, (Fault(0, "", str(error)),))
        return await self.apply(text, revision, who, f"threshold of {category}")

    async def editions(self, limit: int) -> Sequence[Edition]:
        """What was in force, newest first. Raises `StoreError`."""
        return [Edition(*row) for row in await self._ledger.editions(limit)]

    async def edition(self, number: int) -> str | None:
        return await self._ledger.edition(number)

    async def roll_back(self, number: int, revision: str, who: str) -> Applied | None:
        """Write an edition's text again; None where there is none."""
        text = await self._ledger.edition(number)
        if text is None:
            return None
        return await self.apply(text, revision, who, f"back to {number}")

    async def _adopted(self, settings: Settings) -> None:
        """Keep what came into force, by whoever's hand."""
        if settings.source is None:
            return
        text = settings.document.text
        hand = self._hand
        try:
            await self._ledger.edited(time.time(), hand.who, hand.how, revision_of(text), text)
        except StoreError as fault:
            LOG.warning("the policy's history: %s", fault)

    def _standing(self) -> Written:
        settings = self._settings
        if settings.source is None:
            return Written("", "", "")
        file, in_force = str(settings.source), settings.document.text
        try:
            text = settings.source.read_bytes().decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as fault:
            said = f"{file}: cannot be read: {fault}"
            return Written(file, in_force, "", False, (Fault(0, "", said),))
        if text == in_force:
            return Written(file, text, revision_of(text))
        return Written(file, text, revision_of(text), False, faults(settings, text))


def revision_of(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def faults(settings: Settings, text: str) -> tuple[Fault, ...]:
    try:
        redraft(settings, text)
    except PolicyError as error:
        return faults_of(error)
    return ()


def faults_of(error: PolicyError) -> tuple[Fault, ...]:
    return tuple(Fault(p.line, p.path, p.message) for p in error.problems)


def with_endings_of(old: str, new: str) -> str:
    """The new text with the line endings of the old one; editors in browsers know only one."""
    if "\r\n" not in old:
        return new
    return new.replace("\r\n", "\n").replace("\n", "\r\n")


def write(file: str, text: str) -> tuple[Fault, ...]:
    """Put a text in a file's place, whole or not at all; what went wrong."""
    target = Path(file).resolve()
    try:
        data = text.encode()
        try:
            _replace(target, data)
        except OSError:
            # A file mounted by itself, or in a folder that is not ours, can only be written over.
            target.write_bytes(data)
    except (OSError, UnicodeEncodeError) as fault:
        said = getattr(fault, "strerror", None) or "holds text that is no UTF-8"
        return (Fault(0, "", f"{file}: cannot be written: {said}"),)
    return ()


def _replace(target: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(target.stat().st_mode & 0o7777)
        Path(name).replace(target)
    except OSError:
        with suppress(OSError):
            Path(name).unlink()
        raise
