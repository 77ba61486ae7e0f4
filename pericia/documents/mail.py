"""Mails: sender, date and subject, then the text; attachments are named, not read."""

import email
import email.policy
import email.utils
import mailbox
from email.message import EmailMessage, MIMEPart
from pathlib import Path

from oxmsg import Message as OutlookMail
from selectolax.lexbor import LexborHTMLParser

from pericia.draft import Draft, Limits, decode
from pericia.errors import InputError
from pericia.said import joined, said
from pericia.types import Document, Place

_HEADERS = ("From", "To", "Cc", "Date")


def read(path: Path, source: str, *, password: str = "", limits: Limits) -> Document:
    """See Reader. The subject is the heading; the plain text is preferred to the HTML of the same mail."""
    draft = Draft(path, source, limits)
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    if not message.keys():
        raise InputError(
            said("'%(name)s' is no mail: it has no headers.", name=path.name),
            hint=said("Save the mail again as .eml."),
        )
    _add_mail(draft, message, "", limits.nesting)
    return draft.document()


def read_mbox(path: Path, source: str, *, password: str = "", limits: Limits) -> Document:
    """See Reader. Mails come in the order of the box, and `page` is the number of the mail."""
    draft = Draft(path, source, limits)
    box = mailbox.mbox(path, create=False)
    try:
        for number, key in enumerate(box.keys(), 1):
            message = email.message_from_bytes(box.get_bytes(key), policy=email.policy.default)
            _add_mail(draft, message, said("mail %(n)s: ", n=number), limits.nesting, number)
    finally:
        box.close()
    return draft.document()


def read_msg(path: Path, source: str, *, password: str = "", limits: Limits) -> Document:
    """See Reader. A mail as Outlook keeps it is read as the same mail in .eml would be."""
    draft = Draft(path, source, limits)
    mail = OutlookMail.load(path.read_bytes())
    if not (mail.body or mail.html_body):  # what it says is in Outlook's own compressed RTF
        raise InputError(
            said("'%(name)s' holds no text.", name=path.name),
            hint=said("Save the mail again as .eml."),
        )
    _add_mail(draft, _from_outlook(mail), "", limits.nesting)
    return draft.document()


def _from_outlook(mail: OutlookMail) -> EmailMessage:
    """Return the mail with its headers as they were sent; a draft has them as Outlook shows them."""
    sent = {name.lower(): value for name, value in mail.message_headers.items()}
    shown = {
        "from": mail.sender,
        "to": ", ".join(one.email_address or one.name for one in mail.recipients),
        "date": email.utils.format_datetime(mail.sent_date) if mail.sent_date else "",
    }
    message = EmailMessage()
    message["Subject"] = " ".join(mail.subject.split())
    for name in _HEADERS:
        value = sent.get(name.lower()) or shown.get(name.lower()) or ""
        if value.strip():
            message[name] = " ".join(value.split())
    if mail.body:
        message.set_content(mail.body)
    else:
        message.set_content(mail.html_body or "", subtype="html")
    for attached in mail.attachments:
        called = attached.file_name or attached.mime_type or "?"
        message.add_attachment(b"", maintype="application", subtype="octet-stream", filename=called)
    return message


def _add_mail(
    draft: Draft, message: MIMEPart, where: str, depth: int, page: int | None = None
) -> None:
    place = Place(page=page)
    draft.heading(str(message.get("Subject", "")), 1, place)
    heads = [f"{name}: {message[name]}" for name in _HEADERS if message.get(name)]
    draft.paragraph("\n".join(heads), place)
    body = message.get_body(("plain", "html"))
    if body is not None:
        text = decode(_payload(body), draft.name) if not body.get_content_charset() else _text(body)
        if body.get_content_type() == "text/html":
            tree = LexborHTMLParser(text)
            tree.strip_tags(["script", "style", "head"])
            text = tree.text(separator="\n")
        for part in text.replace("\r\n", "\n").split("\n\n"):
            draft.paragraph(part, place)
    for attached in message.iter_attachments():
        if attached.get_content_type() == "message/rfc822" and depth:
            for inner in attached.iter_parts():
                _add_mail(draft, inner, where, depth - 1, page)
        else:
            name = attached.get_filename() or attached.get_content_type()
            text = said("attachment '%(name)s': save it as a file to have it read", name=name)
            draft.skip(joined([where, text], ""))


def _payload(part: MIMEPart) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _text(part: MIMEPart) -> str:
    try:
        return _payload(part).decode(part.get_content_charset() or "utf-8", errors="replace")
    except LookupError:  # a charset that nobody knows
        return decode(_payload(part), "mail")
