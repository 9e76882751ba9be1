"""A bounded place for what is quick to have at hand: the least recently used goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

V = TypeVar("V")


class Shelf(Generic[V]):
    """At most `most` units of weight. Thread-safe; what alone is too heavy is not kept."""

    def __init__(self, most: int, weigh: Callable[[V], int] = lambda _: 1) -> None:
        self._most = most
        self._weigh = weigh
        self._weight = 0
        self._items: OrderedDict[Hashable, V] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: Hashable) -> V | None:
        with self._lock:
            value = self._items.get(key)
            if value is not None:
                self._items.move_to_end(key)
            return value

    def put(self, key: Hashable, value: V) -> None:
        weight = self._weigh(value)
        with self._lock:
            self._take(key)
            if weight > self._most:
                return
            self._items[key] = value
            self._weight += weight
            while self._weight > self._most:
                self._take(next(iter(self._items)))

    def pop(self, key: Hashable) -> None:
        with self._lock:
            self._take(key)

    def _take(self, key: Hashable) -> None:
        gone = self._items.pop(key, None)
        if gone is not None:
            self._weight -= self._weigh(gone)
