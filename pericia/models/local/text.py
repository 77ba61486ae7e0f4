"""The text of an answer as its tokens arrive."""

from collections.abc import Callable
from typing import Any

_UNFINISHED = "\ufffd"  # what a tokenizer shows for a character of which bytes are missing


class GrowingText:
    """Decodes an answer token by token; blanks at both ends and unfinished characters are held back.

    Only the last tokens are decoded again, so the thousandth costs as much as the tenth. They are decoded behind the
    ones before them, because a tokenizer may write a token at the beginning of a text otherwise than within it.

    Source: the offsets of Hugging Face's text-generation-inference, as in vLLM's detokenizer.
    """

    def __init__(self, tokenizer: Any, on_text: Callable[[str], None] | None) -> None:
        self._tokenizer = tokenizer
        self._on_text = on_text
        self._ids: list[int] = []
        self._begin = 0  # of the tokens that are decoded again
        self._read = 0  # the tokens before it are shown, or held back as blanks
        self._held = ""
        self._has_begun = False

    def add(self, token: int) -> None:
        """Take a token; calls `on_text` with what can be shown now."""
        self._ids.append(token)
        if self._on_text is not None:
            self._show(is_last=False)

    def finish(self) -> None:
        """Call `on_text` with what was held back."""
        if self._on_text is not None:
            self._show(is_last=True)

    def text(self) -> str:
        """Return the text so far."""
        return self._decoded(0, len(self._ids)).strip()

    def _show(self, *, is_last: bool) -> None:
        known = self._decoded(self._begin, self._read)
        text = self._decoded(self._begin, len(self._ids))
        if text.endswith(_UNFINISHED) and not is_last:
            return
        self._begin, self._read = self._read, len(self._ids)
        written = self._held + text[len(known) :]
        if not self._has_begun:
            written = written.lstrip()
        piece = written.rstrip()
        self._held = written[len(piece) :]
        if piece and self._on_text is not None:
            self._has_begun = True
            self._on_text(piece)

    def _decoded(self, begin: int, end: int) -> str:
        text: str = self._tokenizer.decode(self._ids[begin:end], skip_special_tokens=True)
        return text
