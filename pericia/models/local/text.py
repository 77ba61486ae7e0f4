"""The text of an answer as its tokens arrive."""

from collections.abc import Callable
from typing import Any

_UNFINISHED = "\ufffd"  # what a tokenizer shows for a character of which bytes are missing


class GrowingText:
    """Decodes an answer token by token; blanks at both ends and unfinished characters are held back."""

    def __init__(self, tokenizer: Any, on_text: Callable[[str], None] | None) -> None:
        self._tokenizer = tokenizer
        self._on_text = on_text
        self._ids: list[int] = []
        self._sent = ""

    def add(self, token: int) -> None:
        """Take a token; calls `on_text` with what can be shown now."""
        self._ids.append(token)
        if self._on_text is not None and not (text := self.text()).endswith(_UNFINISHED):
            self._send(text)

    def finish(self) -> None:
        """Call `on_text` with what was held back."""
        self._send(self.text())

    def text(self) -> str:
        """Return the text so far."""
        text: str = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        return text.strip()

    def _send(self, text: str) -> None:
        if self._on_text is not None and (piece := text.removeprefix(self._sent)):
            self._sent = text
            self._on_text(piece)
