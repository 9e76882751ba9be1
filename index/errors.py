"""What can fail in memory. The engine turns each into a miss, never into an error of the caller.

MemoryFault
├── EmbedderError     the model is missing, damaged or failed on a text
├── StoreError        the store does not answer, is full, or holds something unreadable
│   ├── NoRoomError   its disk is full or takes no writes; that may end by itself
│   └── GapError      its log of changes no longer reaches back to what is known
└── SetupError        a setting names something that cannot be had; says the next step
"""


class MemoryFault(Exception):
    """Anything memory could not do."""


class EmbedderError(MemoryFault):
    """No vector for this text."""


class StoreError(MemoryFault):
    """The store did not do what it was asked."""


class NoRoomError(StoreError):
    """The disk is full, failing or read-only just now."""


class GapError(StoreError):
    """Changes are lost from the log: read the whole store again."""


class SetupError(MemoryFault):
    """A setting that cannot be honoured on this machine."""
