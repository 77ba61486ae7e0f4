import json
from pathlib import Path

import pytest

from pericia.config import load_config
from pericia.errors import NotFoundError
from pericia.lab.files import TEXT_FORMATS, Page, write_page
from pericia.lab.worlds import WORLDS, build_world, write_world

NAMES = sorted(WORLDS)


@pytest.mark.parametrize("name", NAMES)
def test_a_world_repeats_itself_by_seed(name: str) -> None:
    assert build_world(name, 3).content == build_world(name, 3).content


@pytest.mark.parametrize("name", NAMES)
def test_no_question_is_an_example_and_there_are_enough_families(name: str) -> None:
    content = build_world(name, 4).content
    asked = {task.question for task in content.examples}
    assert not asked & {task.question for task in content.test}
    assert len({task.family for task in content.test}) >= 12
    assert len(content.test) >= 60


@pytest.mark.parametrize("name", ["W1", "W3c", "W6", "W7"])
def test_each_answer_stands_in_its_source(name: str) -> None:
    content = build_world(name, 5).content
    pages = {page.name: page for page in content.pages}
    for task in content.test:
        if task.answer:
            page = pages[task.family]
            cells = [cell for row in page.rows for cell in row]
            text = "\n".join((*page.paragraphs, *cells))
            assert task.statement in text, task
            assert task.value.casefold() in text.casefold(), task


def test_a_planted_error_is_wrong_before_and_right_after() -> None:
    content = build_world("W4", 6).content
    right = {
        page.name: "\n".join((*page.paragraphs, *map(str, page.rows))) for page in content.after
    }
    wrong = {
        page.name: "\n".join((*page.paragraphs, *map(str, page.rows))) for page in content.pages
    }
    answered = [task for task in content.test if task.answer]
    assert all(task.value.casefold() in right[task.family].casefold() for task in answered)
    assert any(task.statement not in wrong[task.family] for task in answered)


def test_two_seeds_share_no_document() -> None:
    first, second = (build_world("W1", seed).content.pages for seed in (1, 2))
    assert not {page.paragraphs for page in first if page.paragraphs} & {
        page.paragraphs for page in second
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_written_world_is_a_workspace(name: str, tmp_path: Path) -> None:
    world = write_world(name, 7, tmp_path)
    config = load_config(tmp_path / "pericia.yaml")
    assert config.questions == "questions.jsonl"
    assert config.examples == "examples.jsonl"
    rows = [json.loads(line) for line in (tmp_path / "questions.jsonl").read_text().splitlines()]
    assert len(rows) == len(world.content.test)
    for row in rows:
        assert all((tmp_path / source).is_file() for source in row["sources"])
    for line in (tmp_path / "examples.jsonl").read_text().splitlines():
        example = json.loads(line)
        assert [turn["role"] for turn in example["messages"]] == ["user", "assistant"]
        assert all(turn["content"] for turn in example["messages"])
    facts = json.loads((tmp_path / "world.json").read_text())
    assert facts["advice"] == WORLDS[name].advice


def test_an_unknown_world_is_named_with_those_that_exist() -> None:
    with pytest.raises(NotFoundError, match="W99") as caught:
        build_world("W99", 1)
    assert "W1" in caught.value.hint


@pytest.mark.parametrize("form", TEXT_FORMATS)
def test_a_page_keeps_its_words_in_every_text_format(form: str, tmp_path: Path) -> None:
    page = Page("p", "Sheet & more", ("A <b> line.",), ("Model", "Power"), (("Velda 12", "40 kW"),))
    text = (tmp_path / write_page(page, form, tmp_path)).read_text()
    assert "Velda 12" in text
    assert "40 kW" in text
