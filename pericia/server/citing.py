"""Citations as the clients show them: annotations with positions in the text, a link, and what we know of the source."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlencode

from pericia.types import Answer

_STORED = re.compile(r"^(file-[0-9a-f]{24})/(.+)$", re.DOTALL)  # of a vector store made by requests


def file_id(source: str) -> str:
    """Return the id of an indexed document; it is the same in every answer."""
    return f"file-{sha256(source.encode()).hexdigest()[:24]}"


def named_file(source: str) -> tuple[str, str]:
    """Return the id and the name of a file that a passage comes from.

    Example:
        >>> named_file("file-000102030405060708090a0b/pumps.md")
        ('file-000102030405060708090a0b', 'pumps.md')
    """
    stored = _STORED.match(source)
    return (stored[1], stored[2]) if stored else (file_id(source), source)


def link_to(source: str, root: str, place: Mapping[str, object]) -> str:
    """Return where a source can be read: an uploaded file by the files API, a document in the page's viewer."""
    stored = _STORED.match(source)
    if stored:
        return f"{root}v1/files/{stored[1]}/content"
    query = urlencode({key: value for key, value in place.items() if value is not None})
    return f"{root}source/{quote(source)}" + (f"?{query}" if query else "")


def annotations(answer: Answer, root: str) -> list[dict[str, Any]]:
    """Return one annotation for each marker `[n]` of the text; positions are code points, half open."""
    found = []
    for citation in answer.citations:
        marker = f"[{citation.number}]"
        at = answer.text.find(marker)
        while at >= 0:
            place = {"page": citation.page, "line": citation.line, "cell": citation.cell}
            link = link_to(citation.source, root, place)
            span = {"start_index": at, "end_index": at + len(marker)}
            filename = named_file(citation.source)[1]
            seen = {
                "number": citation.number,
                "source": citation.source,
                "quote": citation.quote,
                "verified": citation.verified,
                "reason": citation.reason,
            }
            found.append(
                {
                    "type": "url_citation",
                    "url_citation": {**span, "url": link, "title": filename},
                    "pericia": {**seen, **place},
                }
            )
            at = answer.text.find(marker, at + 1)
    return sorted(found, key=lambda one: one["url_citation"]["start_index"])
