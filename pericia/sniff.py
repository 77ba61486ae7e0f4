"""What a file is by its content, and whether opening it is safe; decided before any parser sees it."""

import zipfile
import zlib
from pathlib import Path, PurePosixPath

from pericia.draft import Limits
from pericia.errors import InputError
from pericia.said import Figure, said

BINARY = {
    ".pdf": "PDF",
    ".docx": said("Word document"),
    ".pptx": said("PowerPoint file"),
    ".xlsx": said("Excel workbook"),
    ".xlsm": said("Excel workbook"),
    ".xlsb": said("Excel workbook"),
    ".xls": said("Excel workbook"),
    ".ods": said("OpenDocument spreadsheet"),
    ".parquet": said("Parquet file"),
    ".epub": "EPUB",
    ".msg": said("mail of Outlook"),
}
_MARKS = (
    ("word/document.xml", ".docx"),
    ("ppt/presentation.xml", ".pptx"),
    ("xl/workbook.xml", ".xlsx"),
    ("xl/workbook.bin", ".xlsb"),
)
_MIME = {"application/epub+zip": ".epub", "application/vnd.oasis.opendocument.spreadsheet": ".ods"}
_LARGE_MEMBER = 10_000_000  # bytes; small members may inflate as they like


def sniff(path: Path, limits: Limits) -> str:
    """Return the suffix that fits the content; the file's own where the content does not tell, as in all text.

    Raises:
        InputError: the file is empty, too large, not what its suffix says, or unsafe to inflate.
    """
    size = path.stat().st_size
    suffix = path.suffix.lower()
    if size == 0:
        raise InputError(
            said("'%(name)s' is empty.", name=path.name),
            hint=said("Replace it by the whole file, or remove it."),
        )
    if size > limits.file_bytes:
        raise InputError(
            said(
                "'%(name)s' has %(n)s bytes; at most %(limit)s are read.",
                name=path.name,
                n=Figure(size),
                limit=Figure(limits.file_bytes),
            ),
            hint=said("Split the file into smaller ones."),
        )
    with path.open("rb") as file:
        head = file.read(1024)
    if head.startswith(b"PK\x03\x04"):
        return _sniff_zip(path, suffix, limits)
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        return _sniff_ole(path, suffix)
    if b"%PDF-" in head:  # behind the first bytes too, where a mail system put its own before it
        return ".pdf"
    if head.startswith(b"PAR1"):
        return ".parquet"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if suffix in BINARY:
        if start.startswith((b"<html", b"<!doctype html", b"<table")):
            return ".html"
        raise InputError(
            said(
                "'%(name)s' is not a %(format)s: its content does not match its suffix.",
                name=path.name,
                format=BINARY[suffix],
            ),
            hint=said("Rename it to its true format, or export it again."),
        )
    return suffix


def _sniff_zip(path: Path, suffix: str, limits: Limits) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = {m.filename for m in members}
            _check_members(path, members, limits)
            broken = archive.testzip()
            mime = ""
            if "mimetype" in names:
                mime = archive.read("mimetype")[:100].decode("ascii", "replace").strip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(
            said("'%(name)s' is damaged: %(why)s.", name=path.name, why=str(error)),
            hint=said("Download or export it again."),
        ) from error
    if broken is not None:
        raise InputError(
            said(
                "'%(name)s' is damaged: the checksum of '%(part)s' in it is wrong.",
                name=path.name,
                part=broken,
            ),
            hint=said("Download or export it again."),
        )
    found = _MIME.get(mime) or next((s for mark, s in _MARKS if mark in names), "")
    if not found:
        if suffix in BINARY:
            raise InputError(
                said(
                    "'%(name)s' is a ZIP archive, not a %(format)s.",
                    name=path.name,
                    format=BINARY[suffix],
                ),
                hint=said("Export it again from the program that made it."),
            )
        return ".zip"
    return suffix if found == ".xlsx" and suffix == ".xlsm" else found


def _check_members(path: Path, members: list[zipfile.ZipInfo], limits: Limits) -> None:
    for member in members:
        inside = PurePosixPath(member.filename.replace("\\", "/"))
        if inside.is_absolute() or ".." in inside.parts:
            raise InputError(
                said(
                    "'%(name)s' holds '%(part)s', which points outside the archive.",
                    name=path.name,
                    part=member.filename,
                ),
                hint=said("Do not open it unless you know who made it."),
            )
        if (
            member.file_size > _LARGE_MEMBER
            and member.file_size > limits.inflation * member.compress_size
        ):
            raise InputError(
                said(
                    "'%(name)s' holds '%(part)s', which inflates more than %(times)s times, to %(n)s bytes.",
                    name=path.name,
                    part=member.filename,
                    times=limits.inflation,
                    n=Figure(member.file_size),
                ),
                hint=said(
                    "Such a file is made to fill memory; if it is yours, save it again or split it."
                ),
            )
    total = sum(m.file_size for m in members)
    if total > limits.inflated_bytes:
        raise InputError(
            said(
                "'%(name)s' inflates to %(n)s bytes; at most %(limit)s are read.",
                name=path.name,
                n=Figure(total),
                limit=Figure(limits.inflated_bytes),
            ),
            hint=said("Split the file into smaller ones."),
        )


def _sniff_ole(path: Path, suffix: str) -> str:
    if suffix in (".docx", ".pptx", ".xlsx", ".xlsm", ".xlsb", ".ods"):
        raise InputError(
            said(
                "'%(name)s' is encrypted, or an old Office format under a new suffix.",
                name=path.name,
            ),
            hint=said(
                "Open it in the program that made it and save it without a password in the new format."
            ),
        )
    return suffix if suffix else ".doc"
