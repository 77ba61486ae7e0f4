"""LanceDB as it is used here: imported once, its unused models deferred, and its calls waited for.

Its calls are asynchronous underneath. They run in its own loop, one trip a call; the library's synchronous layer makes up
to six trips for one query.
"""

import os
from collections.abc import Coroutine
from typing import Any, TypeVar

from pericia.stores.lance.deferred import deferred_models

os.environ.setdefault("LANCE_INCLUDE_VECTOR_CENTROIDS", "false")  # not looked at, and announced

with deferred_models():
    import lancedb
    from lancedb.background_loop import LOOP
    from lancedb.index import FTS, HnswSq
    from lancedb.query import MatchQuery

T = TypeVar("T")

__all__ = ["FTS", "HnswSq", "MatchQuery", "lancedb", "wait"]


def wait(call: Coroutine[Any, Any, T]) -> T:
    """Return what a call of the library returns, once it has."""
    found: T = LOOP.run(call)
    return found
