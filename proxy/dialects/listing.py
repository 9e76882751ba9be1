"""The APIs of the data port: one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.dialects.chat import Chat

if TYPE_CHECKING:
    from proxy.dialects.ports import Dialect

DIALECTS: tuple[Dialect, ...] = (Chat(),)
BY_PATH: dict[str, Dialect] = {path: dialect for dialect in DIALECTS for path in dialect.paths}
