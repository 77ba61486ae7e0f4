"""Addresses of databases: secrets come from the environment, so that none stands in a config, a log or a report."""

import os
import re
from urllib.parse import parse_qs, quote, urlsplit

from pericia.errors import ConfigError

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def with_secrets(address: str) -> str:
    """Return the address with each `${NAME}` replaced by the environment variable of that name.

    A part of an address is quoted as addresses need it; a variable may also hold the whole address.

    Raises:
        ConfigError: a variable is not set, or a password stands in the address itself.

    Example:
        >>> with_secrets("sqlite:///prices.db")
        'sqlite:///prices.db'
    """
    parts = urlsplit(address)
    written = [parts.password, *parse_qs(parts.query).get("password", [])]
    if any(word and not _VARIABLE.fullmatch(word) for word in written):
        raise ConfigError(
            f"The address '{without_password(address)}' holds a password in the open.",
            hint="Put it into an environment variable and write its name: scheme://user:${DB_PASSWORD}@host/database",
        )
    missing = [name for name in _VARIABLE.findall(address) if name not in os.environ]
    if missing:
        raise ConfigError(
            f"The address '{address}' needs the environment variable {missing[0]}, which is not set.",
            hint=f"Run: export {missing[0]}=…",
        )
    if whole := _VARIABLE.fullmatch(address):
        return os.environ[whole[1]]
    return _VARIABLE.sub(lambda match: quote(os.environ[match[1]], safe=""), address)


def without_password(address: str) -> str:
    """Return the address as it may be shown.

    Example:
        >>> without_password("postgresql://ada:secret@db.example.org/plant")
        'postgresql://ada@db.example.org/plant'
    """
    shown = re.sub(r"(//[^/@:]*):[^/@]*@", r"\1@", address)
    return re.sub(r"([?&]password=)[^&]*", r"\1…", shown)
