"""The bundled model itself: its files, and that it reads."""

import json

import pytest
from transformers import AutoConfig

from pericia.lab.measure import Reader, episodes_of, measure, split_citation
from pericia.lab.nano import MODEL_FOLDER, REBUILD_COMMAND, check_recipe, main
from pericia.lab.recipe import Recipe
from pericia.lab.tokens import CHAT_TEMPLATE, END, MARKERS
from pericia.prompts import is_refusal

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(MODEL_FOLDER)


def test_the_weights_fit_the_package() -> None:
    assert (MODEL_FOLDER / "model.safetensors").stat().st_size <= 16 * MEGABYTE


def test_sizes_fit_four_bit_weights() -> None:
    config = AutoConfig.from_pretrained(MODEL_FOLDER)
    assert config.model_type == "phi3"
    sizes = (config.hidden_size, config.intermediate_size, config.vocab_size)
    assert all(size % 64 == 0 for size in sizes)
    assert config.max_position_embeddings == 4096


def test_it_stops_at_both_markers_and_shows_them_as_added_tokens(reader: Reader) -> None:
    stops = json.loads((MODEL_FOLDER / "generation_config.json").read_text())["eos_token_id"]
    tokens = reader.tokenizer.convert_ids_to_tokens(stops)
    assert set(tokens) == {"<|endoftext|>", END}
    assert set(MARKERS) <= set(reader.tokenizer.get_added_vocab())
    assert reader.tokenizer.chat_template == CHAT_TEMPLATE


def test_it_reads_one_passage_and_cites_it(reader: Reader) -> None:
    figures = measure(reader, episodes_of("open book, 1 passage", 40))
    assert figures.exact >= 0.4
    assert figures.cited >= 0.9


def test_it_invents_nothing_without_papers(reader: Reader) -> None:
    episodes = [e for e in episodes_of("closed book", 60) if not e.answerable]
    replies = reader.answer([episode.messages[:-1] for episode in episodes])
    assert sum(map(is_refusal, replies)) / len(replies) >= 0.8


def test_a_citation_is_split_from_its_answer() -> None:
    assert split_citation("Velda 12 [12]") == ("Velda 12", 12)
    assert split_citation("[1] Velda") == ("[1] Velda", 0)


def test_the_command_that_rebuilds_it_exists(capsys: pytest.CaptureFixture[str]) -> None:
    assert REBUILD_COMMAND == "python -m pericia.lab.nano train"
    with pytest.raises(SystemExit) as caught:
        main(["train", "--help"])
    assert caught.value.code == 0
    assert "--minutes" in capsys.readouterr().out


def test_a_checkpoint_of_another_shape_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from pericia.errors import ConflictError
    from pericia.lab.network import Shape

    check_recipe(Recipe(), tmp_path)
    check_recipe(Recipe(minutes=1), tmp_path)
    with pytest.raises(ConflictError, match="another shape"):
        check_recipe(Recipe(shape=Shape(layers=4)), tmp_path)
