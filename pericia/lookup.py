"""Names to objects: the whole plug-in mechanism is a table `name -> "module:Object"` in each family."""

import logging
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from pericia.errors import MissingExtraError, NotFoundError
from pericia.said import said

# bitsandbytes, which peft imports, looks for an optional kernel on the hub and complains without it.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


def load_object(table: Mapping[str, str], name: str, kind: str, extra: str = "") -> Any:
    """Return the object that `table` names, importing its module now.

    Raises:
        NotFoundError: the name is not in the table; the hint gives near and all names.
        MissingExtraError: the module needs a library that is not installed.
    """
    if name not in table:
        raise unknown_name(kind, name, table)
    module, _, attribute = table[name].partition(":")
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        library = (error.name or "a library").partition(".")[0]
        if library == "pericia":
            raise
        wanted = f"pericia[{extra}]" if extra else library
        raise MissingExtraError(
            said(
                "The %(kind)s '%(name)s' needs '%(library)s', which is not installed.",
                kind=kind,
                name=name,
                library=library,
            ),
            hint=said("Run: pip install '%(wanted)s'", wanted=wanted),
        ) from error


def unknown_name(kind: str, name: str, known: Mapping[str, object]) -> NotFoundError:
    """Return the error for a name that does not exist, with the nearest name and the list."""
    near = get_close_matches(name, known, n=1)
    hint = said("Available: %(known)s.", known=", ".join(sorted(known)))
    if near:
        hint = said("Did you mean '%(near)s'? %(hint)s", near=near[0], hint=hint)
    return NotFoundError(said("Unknown %(kind)s '%(name)s'.", kind=kind, name=name), hint=hint)
