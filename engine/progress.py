"""progress: who works for long says how far it is; who shows a bar listens.

with listening(lambda what, done, total: bar.update(done / total)):
    net.compile()
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, int, int], None]

_listener: ContextVar[Listener | None] = ContextVar("fbnet_progress", default=None)


def report(what: str, done: int, total: int) -> None:
    """Tell the listener, if there is one, that `done` of `total` parts of the work are done; `what` comes next."""
    listener = _listener.get()
    if listener is not None:
        listener(what, done, total)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener(what, done, total)` for all work in a block that takes long."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
