"""Who may read which document: the key `retrieval.access` gives groups to files by pattern."""

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase


def groups_of(source: str, access: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the groups that may read a source: those of the first pattern that fits it; none means everybody.

    A pattern is a folder, or a name with `*` and `?`, where `*` also stands for slashes.

    Example:
        >>> access = {"staff/menu.md": [], "staff": ["hr", "board"], "*.xlsx": ["sales"]}
        >>> groups_of("staff/wages.xlsx", access), groups_of("staff/menu.md", access)
        (('hr', 'board'), ())
    """
    return next((tuple(groups) for pattern, groups in access.items() if _fits(source, pattern)), ())


def idle_patterns(access: Mapping[str, Sequence[str]], sources: Collection[str]) -> list[str]:
    """Return the patterns that fit no source: a misspelt one would leave its documents open to everybody."""
    return [p for p in access if not any(_fits(source, p) for source in sources)]


def _fits(source: str, pattern: str) -> bool:
    folder = pattern.rstrip("/")
    return fnmatchcase(source, pattern) or source.startswith(f"{folder}/")
