from pathlib import Path
from random import Random

import pytest
import trl
from tokenizers import Tokenizer

from pericia.lab.episodes import Load, read
from pericia.lab.industry import Industry
from pericia.lab.tokens import (
    ANSWER,
    CHAT_TEMPLATE,
    END,
    PADDING,
    VOCABULARY,
    encode,
    make_batches,
    texts_of,
    train_tokenizer,
    wrap_tokenizer,
)

EPISODES = [read(Industry(seed), Load()) for seed in range(300)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(texts_of(EPISODES))


def test_the_chat_template_is_trls_byte_for_byte() -> None:
    shipped = Path(trl.__file__).parent / "chat_templates" / "phi3.jinja"
    assert shipped.read_text(encoding="utf-8") == CHAT_TEMPLATE


def test_digits_stand_alone_and_sizes_fit_four_bits(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.encode("4711", add_special_tokens=False).ids) == 4
    assert VOCABULARY % 64 == 0
    assert tokenizer.token_to_id(END) in wrap_tokenizer(tokenizer).added_tokens_decoder


def test_any_text_survives(tokenizer: Tokenizer) -> None:
    for text in ("Ünï ± 3 °C", "名前", "a\tb\n\n c", "Velda 12: 40 kW"):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text


def test_pieces_give_the_ids_of_the_rendered_template(tokenizer: Tokenizer) -> None:
    wrapped = wrap_tokenizer(tokenizer)
    for episode, row in zip(EPISODES[:30], encode(tokenizer, EPISODES[:30]), strict=True):
        ids, roles = row.ids, row.roles
        chat = [{"role": m.role, "content": m.content} for m in episode.messages]
        assert ids.tolist() == wrapped.apply_chat_template(chat, tokenize=True, return_dict=False)
        assert len(ids) == len(roles)
        learned = tokenizer.decode(ids[roles == ANSWER].tolist(), skip_special_tokens=False)
        assert learned.endswith(f"{episode.answer}<|end|><|endoftext|>")


def test_batches_hold_every_row_once(tokenizer: Tokenizer) -> None:
    rows = encode(tokenizer, EPISODES)
    batches = make_batches(rows, 2048, Random(0))
    assert sum(len(batch.ids) for batch in batches) == len(rows)
    assert sum((batch.mask != PADDING).sum() for batch in batches) == sum(
        len(row.ids) for row in rows
    )
    assert sum(batch.ids.size for batch in batches) < 1.25 * sum(len(row.ids) for row in rows)
    assert sum(len(batch.looks) for batch in batches) == sum(len(row.looks) for row in rows)
