"""Mails as Python's own library writes them, and as Outlook does."""

import mailbox
from email.message import EmailMessage
from pathlib import Path

import pytest

from pericia.documents import ReadingRoom, read_here
from pericia.draft import Limits
from pericia.errors import InputError
from pericia.types import Document


def read(path: Path) -> Document:
    return read_here(path, path.name, "", Limits())


def mail(subject: str, text: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Ada <ada@example.org>"
    message["Subject"] = subject
    message.set_content(text)
    return message


def test_a_mail_with_html_attachment_and_forwarded_mail(tmp_path: Path) -> None:
    message = mail("Öl für PX-20", "Take L-46.\n\nNot L-68.")
    message.add_alternative("<p>Take <b>another</b>.</p>", subtype="html")
    message.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="list.pdf")
    message.add_attachment(mail("Before", "It was L-32."))
    (tmp_path / "a.eml").write_bytes(message.as_bytes())
    document = read(tmp_path / "a.eml")
    texts = [document.text[b.start : b.end] for b in document.blocks]
    assert texts[:4] == ["Öl für PX-20", "From: Ada <ada@example.org>", "Take L-46.", "Not L-68."]
    assert texts[4:] == ["Before", "From: Ada <ada@example.org>", "It was L-32."]
    assert document.title == "Öl für PX-20"
    assert document.skipped == ("attachment 'list.pdf': save it as a file to have it read",)


def test_a_mail_of_html_alone_is_read_as_text(tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"] = "Oil"
    message.set_content("<p>Take L-46.</p><script>no()</script>", subtype="html")
    (tmp_path / "a.eml").write_bytes(message.as_bytes())
    assert "Take L-46." in read(tmp_path / "a.eml").text
    assert "no()" not in read(tmp_path / "a.eml").text


def test_a_box_numbers_its_mails(tmp_path: Path) -> None:
    box = mailbox.mbox(tmp_path / "a.mbox")
    for number in (1, 2):
        box.add(mail(f"Mail {number}", f"Text {number}"))
    box.close()
    document = read(tmp_path / "a.mbox")
    found = [(document.text[b.start : b.end], b.place.page) for b in document.blocks]
    assert ("Text 1", 1) in found
    assert ("Text 2", 2) in found


def test_a_text_without_headers_is_no_mail(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_text("\n\njust text\n", encoding="utf-8")
    with pytest.raises(InputError, match="no mail"):
        read(tmp_path / "a.eml")


MESSY = Path(__file__).parents[3] / "shared" / "data" / "documents"


@pytest.mark.skipif(not MESSY.is_dir(), reason="the shared documents are not here")
def test_a_mail_of_outlook_is_read_like_any_other() -> None:
    document = read(MESSY / "haystack" / "msg" / "sample.msg")
    texts = [document.text[b.start : b.end] for b in document.blocks]
    assert document.title == texts[0] == "This is a Subject"
    assert texts[1].splitlines()[0].startswith("From: Sebastian Lee <outlook_")
    assert "<sebastian.lee+cc@deepset.ai>" in texts[1].splitlines()[2]
    assert texts[1].splitlines()[3].startswith("Date: Mon, 17 Feb 2025 10:19:0")
    assert texts[2] == "Dear tester,"
    assert document.skipped == ("attachment 'sample_pdf_1.pdf': save it as a file to have it read",)
    encoded = read(MESSY / "markitdown" / "test_files" / "test_outlook_msg.msg")
    assert 'From: "M. C. Kurtuluş" <muratcan.kurtulus@gmail.com>' in encoded.text


@pytest.mark.skipif(not MESSY.is_dir(), reason="the shared documents are not here")
def test_a_broken_mail_of_outlook_is_said_to_be_broken(tmp_path: Path) -> None:
    whole = (MESSY / "haystack" / "msg" / "sample.msg").read_bytes()
    with ReadingRoom() as room:
        for size in (700, 9000, len(whole) // 2):
            (tmp_path / "cut.msg").write_bytes(whole[:size])
            with pytest.raises(InputError, match=r"'cut\.msg' is damaged"):
                room.read(tmp_path / "cut.msg", "cut.msg")
    (tmp_path / "text.msg").write_text("From: nobody", encoding="utf-8")
    with pytest.raises(InputError, match="is not a mail of Outlook"):
        read(tmp_path / "text.msg")
