"""Passages made in one line."""

from hashlib import sha256

from pericia.types import Chunk, Passage, Place


def passage(
    text: str,
    rank: int = 1,
    *,
    place: Place | None = None,
    heading: str = "",
    source: str = "a.txt",
    language: str = "en",
) -> Passage:
    key = sha256(f"{source}{text}".encode()).hexdigest()
    chunk = Chunk(
        key,
        key,
        source,
        text,
        0,
        len(text),
        place or Place(),
        (heading,) if heading else (),
        language=language,
    )
    return Passage(chunk, rank, 1 / rank)
