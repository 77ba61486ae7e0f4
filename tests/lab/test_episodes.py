import json
from collections import Counter
from random import Random

import pytest

from pericia.lab.episodes import Load, closed, compare, follow, join, read, recall
from pericia.lab.industry import Industry
from pericia.lab.recipe import episode_at
from pericia.prompts import CLOSED_BOOK, INSTRUCTION, OPEN_BOOK, REFUSAL, is_refusal
from pericia.types import Message


def _passage(messages: tuple[Message, ...], number: int) -> str:
    return messages[1].content.split(f"\n\n[{number}] ")[1].split(f"\n\n[{number + 1}] ")[0]


@pytest.mark.parametrize("build", [read, join, recall])
def test_an_answer_stands_in_the_passage_that_it_cites(build) -> None:  # type: ignore[no-untyped-def]
    for seed in range(150):
        episode = build(Industry(seed, loose=0.5), Load(follow_ups=(0, 0)))
        assert episode.answerable == (episode.cited > 0) == (not is_refusal(episode.answer))
        if episode.cited and episode.answer.endswith("]"):
            value = episode.answer.removesuffix(f" [{episode.cited}]").split(": ")[-1]
            cited = _passage(episode.messages, episode.cited)
            assert value.casefold() in cited.casefold()


def test_the_prompts_are_those_of_the_product() -> None:
    systems = Counter(read(Industry(seed), Load()).messages[0].content for seed in range(200))
    assert systems.most_common(1)[0][0] == OPEN_BOOK.format(instruction=INSTRUCTION)
    systems = Counter(follow(Industry(seed)).messages[0].content for seed in range(200))
    assert systems.most_common(1)[0][0] == CLOSED_BOOK.format(instruction=INSTRUCTION)
    content = read(Industry(3), Load()).messages[1].content
    question = content.split("\n\n")[0]
    assert question.startswith("Question: ")
    assert content.endswith("\n\n" + question)


def test_about_a_fifth_of_the_reading_has_no_answer() -> None:
    episodes = [read(Industry(seed), Load(follow_ups=(0, 0))) for seed in range(500)]
    share = sum(not episode.answerable for episode in episodes) / len(episodes)
    assert 0.15 < share < 0.3


def test_an_unanswerable_question_is_not_answered_anywhere() -> None:
    for seed in range(100):
        episode = read(Industry(seed), Load(follow_ups=(0, 0)))
        assert (episode.answer == REFUSAL) == (not episode.answerable)


def test_compare_names_a_row_that_is_shown() -> None:
    for seed in range(60):
        episode = compare(Industry(seed), Load())
        assert episode.answer.removesuffix(" [1]") in episode.messages[1].content


def test_shown_json_is_json() -> None:
    answers = [follow(Industry(seed)).answer for seed in range(300)]
    objects = [json.loads(answer) for answer in answers if answer.startswith("{")]
    assert len(objects) > 5


def test_closed_book_declines_what_is_no_common_knowledge() -> None:
    episodes = [closed(Industry(seed)) for seed in range(200)]
    declined = sum(not episode.answerable for episode in episodes)
    assert 20 < declined < 110


def test_the_course_is_decided_by_seed_and_progress() -> None:
    for progress in (0.0, 0.1, 0.3, 0.9):
        first = [episode_at(progress, 300_000 + n, Random(n)) for n in range(20)]
        assert first == [episode_at(progress, 300_000 + n, Random(n)) for n in range(20)]
