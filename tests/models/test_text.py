"""Text that grows token by token is the text of all tokens, whatever they are."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pericia.models.local.text import GrowingText
from tests.test_house import ROOT

NANO = Tokenizer.from_file(str(Path(ROOT, "pericia/models/nano/tokenizer.json")))


class Counting:
    """A tokenizer that notes how many tokens it was asked to decode at a time."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def decode(self, ids: list[int], *, skip_special_tokens: bool) -> str:
        self.asked.append(len(ids))
        text: str = NANO.decode(ids, skip_special_tokens=skip_special_tokens)
        return text


def grown(ids: list[int]) -> tuple[list[str], str]:
    """Return the pieces of an answer as they were shown, and its text."""
    pieces: list[str] = []
    text = GrowingText(NANO, pieces.append)
    for token in ids:
        text.add(token)
    text.finish()
    return pieces, text.text()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, NANO.get_vocab_size() - 1), max_size=40))
def test_the_pieces_are_the_text_for_any_tokens(ids: list[int]) -> None:
    pieces, text = grown(ids)
    assert "".join(pieces) == text
    assert all(pieces)


@pytest.mark.parametrize(
    "said", ["42 bar\n\n- válvula № 7 → 9 °C", "🔧🇨🇱 línea", " a  b ", "", "\n"]
)
def test_characters_of_several_tokens_come_whole(said: str) -> None:
    pieces, text = grown(NANO.encode(said, add_special_tokens=False).ids)
    assert text == said.strip() == "".join(pieces)
    assert not any("\ufffd" in piece for piece in pieces)


def test_a_long_answer_decodes_a_few_tokens_at_a_time() -> None:
    tokenizer = Counting()
    text = GrowingText(tokenizer, lambda _: None)
    for token in NANO.encode("The pump holds 42 bar. " * 100, add_special_tokens=False).ids:
        text.add(token)
    assert max(tokenizer.asked) <= 8
