"""Citations as the clients show them: annotations with positions in the text, a link, and what we know of the source."""

from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlencode

from pericia.types import Answer


def file_id(source: str) -> str:
    """Return the id of an indexed document; it is the same in every answer."""
    return f"file-{sha256(source.encode()).hexdigest()[:24]}"


def annotations(answer: Answer, root: str) -> list[dict[str, Any]]:
    """Return one annotation for each marker `[n]` of the text; positions are code points, half open."""
    found = []
    for citation in answer.citations:
        marker = f"[{citation.number}]"
        at = answer.text.find(marker)
        while at >= 0:
            place = {"page": citation.page, "line": citation.line, "cell": citation.cell}
            query = urlencode({key: value for key, value in place.items() if value is not None})
            link = f"{root}source/{quote(citation.source)}" + (f"?{query}" if query else "")
            span = {"start_index": at, "end_index": at + len(marker)}
            seen = {
                "source": citation.source,
                "quote": citation.quote,
                "verified": citation.verified,
            }
            found.append(
                {
                    "type": "url_citation",
                    "url_citation": {**span, "url": link, "title": citation.source},
                    "pericia": {**seen, **place},
                }
            )
            at = answer.text.find(marker, at + 1)
    return sorted(found, key=lambda one: one["url_citation"]["start_index"])
