"""JSON, JSON Lines and XML: lists of records become tables, everything else one line a value, "path: value"."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

from selectolax.lexbor import LexborHTMLParser

from pericia.draft import Draft, Limits, decode
from pericia.errors import InputError
from pericia.said import said
from pericia.types import Document, Place


def read_json(path: Path, source: str, *, password: str = "", limits: Limits) -> Document:
    """See Reader.

    A list of records of plain values is a table; each other entry of the top level is a paragraph.
    """
    draft = Draft(path, source, limits)
    text = decode(path.read_bytes(), path.name)
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(
            said("'%(name)s' is no valid JSON: %(why)s.", name=path.name, why=str(error)),
            hint=said("Correct it at that place."),
        ) from error
    _add_entry(draft, data, "", limits)
    return draft.document()


def read_jsonl(path: Path, source: str, *, password: str = "", limits: Limits) -> Document:
    """See Reader. A line is a paragraph; lines that are no JSON are named in `skipped`."""
    draft = Draft(path, source, limits)
    lines = decode(path.read_bytes(), path.name).splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if number > limits.rows:
            draft.skip(
                said(
                    "lines from %(first)s: more than %(limit)s rows",
                    first=number,
                    limit=limits.rows,
                )
            )
            break
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            draft.note(
                said("lines that are no JSON"),
                said("line %(n)s: no JSON (%(why)s)", n=number, why=str(error)),
            )
            continue
        draft.paragraph(" | ".join(_leaves(record, "", limits.nesting)), Place(line=number))
    return draft.document()


def read_xml(path: Path, source: str, *, password: str = "", limits: Limits) -> Document:
    """See Reader. Each element's own text is a line; markup inside a text, as in RSS, is taken off."""
    draft = Draft(path, source, limits)
    data = path.read_bytes()
    if b"<!ENTITY" in data:
        raise InputError(
            said("'%(name)s' defines XML entities, which are not expanded.", name=path.name),
            hint=said("Save it without entities, or as text."),
        )
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(
            said("'%(name)s' is no valid XML: %(why)s.", name=path.name, why=str(error)),
            hint=said("Correct it at that place."),
        ) from error
    _add_element(draft, root, limits.nesting)
    return draft.document()


def _add_entry(draft: Draft, data: object, path: str, limits: Limits) -> None:
    if isinstance(data, list) and data and all(_is_flat(item) for item in data):
        columns = list(dict.fromkeys(key for item in data for key in item))
        rows = [[_shown(item.get(key)) for key in columns] for item in data]
        draft.table(columns, rows, Place(), name=path, first_row=1)
    elif isinstance(data, Mapping) and path.count(".") < 2:
        plain = {k: v for k, v in data.items() if not isinstance(v, dict | list)}
        draft.paragraph("\n".join(_leaves(plain, path, limits.nesting)), Place())
        for key, value in data.items():
            if key not in plain:
                _add_entry(draft, value, f"{path}.{key}" if path else key, limits)
    elif isinstance(data, list) and any(isinstance(item, dict | list) for item in data):
        for item in data:
            draft.paragraph("\n".join(_leaves(item, path, limits.nesting)), Place())
    else:
        draft.paragraph("\n".join(_leaves(data, path, limits.nesting)), Place())


def _is_flat(item: object) -> bool:
    return isinstance(item, dict) and not any(isinstance(v, dict | list) for v in item.values())


def _leaves(data: object, path: str, depth: int) -> Iterator[str]:
    """Give "path: value" for every value inside, in order; below the depth limit as JSON."""
    if depth and isinstance(data, Mapping):
        for key, value in data.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key), depth - 1)
    elif depth and isinstance(data, list) and any(isinstance(v, dict | list) for v in data):
        for value in data:
            yield from _leaves(value, path, depth - 1)
    else:
        shown = ", ".join(map(_shown, data)) if isinstance(data, list) else _shown(data)
        if shown:
            yield f"{path}: {shown}" if path else shown


def _shown(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _add_element(draft: Draft, element: ElementTree.Element, depth: int) -> None:
    text = (element.text or "").strip()
    if "<" in text:
        text = LexborHTMLParser(text).text(separator=" ")
    name = element.tag.rpartition("}")[2]
    if text:
        draft.paragraph(f"{name}: {' '.join(text.split())}", Place())
    for child in element:
        if depth:
            _add_element(draft, child, depth - 1)
        if child.tail and child.tail.strip():
            draft.paragraph(child.tail.strip(), Place())
    if not depth and len(element):
        draft.note(
            said("elements nested too deeply"),
            said("what lies inside <%(name)s>: nested too deeply", name=name),
        )
