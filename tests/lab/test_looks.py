"""Every look points at the text that it should: the same name, label, or piece of the answer."""

from collections.abc import Callable

import pytest
from tokenizers import Tokenizer

from pericia.lab.episodes import Episode, Load, closed, join, read
from pericia.lab.forms import Turn, bare_turns, label_turns, note_turns
from pericia.lab.industry import Industry
from pericia.lab.looks import LABEL, NAME, NOWHERE, OWNER, PIECE, SLOT, SOURCE, TAG, Look
from pericia.lab.tokens import Row, encode, texts_of, train_tokenizer
from pericia.prompts import REFUSAL
from pericia.types import Message

EPISODES = [read(Industry(seed), Load(follow_ups=(0, 1))) for seed in range(60)]
EPISODES += [join(Industry(seed), Load(follow_ups=(0, 0))) for seed in range(60, 80)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(texts_of(EPISODES))


@pytest.fixture(scope="module")
def rows(tokenizer: Tokenizer) -> list[Row]:
    return encode(tokenizer, EPISODES)


def pairs(tokenizer: Tokenizer, row: Row, kind: int) -> list[tuple[Look, str, list[str]]]:
    """Return the looks of a kind with the texts of the looking and of the looked-at tokens."""
    texts = [tokenizer.decode([int(i)]).strip() for i in row.ids]
    return [(k, texts[k.at], [texts[t] for t in k.targets]) for k in row.looks if k.kind == kind]


def test_no_look_goes_forward_or_out_of_the_row(rows: list[Row]) -> None:
    looks = [(row, look) for row in rows for look in row.looks]
    assert len(looks) > 20 * len(rows)
    for row, look in looks:
        assert 0 <= min(look.targets) <= max(look.targets) <= look.at < len(row.ids)


def test_an_asked_name_looks_at_itself_in_the_question(
    tokenizer: Tokenizer, rows: list[Row]
) -> None:
    hits = [
        (text, targets)
        for row in rows
        for look, text, targets in pairs(tokenizer, row, NAME)
        if look.targets != (NOWHERE,)
    ]
    assert len(hits) > 30
    assert all(text == target for text, [target] in hits)


def test_each_value_has_one_owner_and_one_label(tokenizer: Tokenizer, rows: list[Row]) -> None:
    for kind in (OWNER, TAG):
        assert sum(len(pairs(tokenizer, row, kind)) for row in rows) > 5 * len(rows)
    labels = {fact.label.split()[-1] for episode in EPISODES for fact in episode.facts}
    ends = [t for row in rows for _, _, [t] in pairs(tokenizer, row, TAG)]
    assert sum(end.lower() in labels for end in ends) > 0.7 * len(ends)  # the others end in a piece


def test_an_answer_is_read_off_the_text_that_it_looks_at(
    tokenizer: Tokenizer, rows: list[Row]
) -> None:
    same: list[bool] = []
    for episode, row in zip(EPISODES, rows, strict=True):
        texts = [tokenizer.decode([int(i)]).strip() for i in row.ids]
        looks = pairs(tokenizer, row, SOURCE)
        if episode.answer == REFUSAL:
            assert any(look.targets == (NOWHERE,) for look, *_ in looks)
        for look, _, targets in looks:
            if look.targets != (NOWHERE,) and not texts[look.at].endswith("["):
                said = texts[look.at + 1]
                same.append(any(t.startswith(said) or said in t or t in said for t in targets))
    assert len(same) > 100
    assert sum(same) > 0.95 * len(same)  # a word may be cut differently at the start of an answer


def test_only_the_asked_label_looks_at_the_question(tokenizer: Tokenizer, rows: list[Row]) -> None:
    looks = [look for row in rows for look, *_ in pairs(tokenizer, row, LABEL)]
    asked = [look for look in looks if look.targets != (NOWHERE,)]
    assert 0.05 * len(looks) < len(asked) < 0.7 * len(looks)


def test_closed_book_answers_look_nowhere(tokenizer: Tokenizer) -> None:
    for row in encode(tokenizer, [closed(Industry(seed)) for seed in range(20)]):
        assert row.looks
        assert all((look.kind, look.targets) == (SOURCE, (NOWHERE,)) for look in row.looks)


def shown(tokenizer: Tokenizer, build: Callable[[Industry, int], list[Turn]]) -> list[Row]:
    """Return 40 rows of three solved examples and a fourth, all of one kind."""
    episodes = []
    for seed in range(40):
        turns = build(Industry(seed), 4)
        messages = [Message("system", "Answer.")]
        for turn in turns:
            messages += [Message("user", turn.question), Message("assistant", turn.answer)]
        keys = tuple(turn.key for turn in turns if turn.key)
        episodes.append(Episode(tuple(messages), "follow", turns[-1].answer != REFUSAL, keys=keys))
    return encode(tokenizer, episodes)


def test_a_form_is_copied_from_the_examples_and_the_rest_from_the_question(
    tokenizer: Tokenizer,
) -> None:
    same: list[bool] = []
    slots = 0
    for row in shown(tokenizer, note_turns):
        texts = [tokenizer.decode([int(i)]).strip() for i in row.ids]
        for look in row.looks:
            assert max(look.targets) <= look.at
            if look.kind == SLOT:
                slots += 1
                continue
            says = texts[look.at + (look.kind == SOURCE)]
            same.append(says[:1] == texts[look.targets[0]][:1])
    assert slots > 60
    assert len(same) > 500
    assert sum(same) > 0.9 * len(same)


def test_a_label_looks_at_its_word_and_the_last_one_at_the_label_that_it_repeats(
    tokenizer: Tokenizer,
) -> None:
    for row in shown(tokenizer, label_turns):
        words = {text for _, _, [text] in pairs(tokenizer, row, PIECE)}
        assert 1 <= len(words) <= 3
        sources = pairs(tokenizer, row, SOURCE)
        texts = [tokenizer.decode([int(i)]).strip() for i in row.ids]
        assert sources
        assert all(texts[look.at + 1] == text for look, _, found in sources for text in found)


def test_an_answer_from_nowhere_shows_nothing_but_the_refusal(tokenizer: Tokenizer) -> None:
    for row in shown(tokenizer, bare_turns):
        assert [(look.kind, look.targets) for look in row.looks] == [(SOURCE, (NOWHERE,))]
