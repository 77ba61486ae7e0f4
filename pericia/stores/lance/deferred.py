"""LanceDB imports a REST client of 570 pydantic models and calls that nothing here asks: they are built when first used.

That is half of the library's import, a second on a laptop. Nothing else changes: see `defer_build` in pydantic's docs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pydantic


@contextmanager
def deferred_models() -> Iterator[None]:
    """Let pydantic build the models and validated calls of what is imported here only when they are first used."""
    config, validate_call = pydantic.BaseModel.model_config, pydantic.validate_call
    deferred = pydantic.ConfigDict(defer_build=True)
    pydantic.BaseModel.model_config = pydantic.ConfigDict(**{**config, **deferred})
    pydantic.validate_call = partial(validate_call, config=deferred)  # type: ignore[assignment]
    try:
        yield
    finally:
        pydantic.BaseModel.model_config, pydantic.validate_call = config, validate_call
