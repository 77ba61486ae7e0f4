"""Answers that grow together: each is the one it would be alone, whoever joins, leaves or fails beside it."""

import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from pericia.errors import EnoughError, NotFoundError
from pericia.models import Model, Sampler, load
from pericia.types import Generation, Message, Prompt, Sampling

QUESTIONS = (
    "How hot is kiln 3?",
    "Why?",
    "Which valve, of all those on the long line to the north, is the one to close first?",
    "Name the pump.",
    "Is it so, or is it not so, that part 7 fits gear 9?",
)


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Model:
    return load(str(tiny_model))


@pytest.fixture(scope="module")
def adapters(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two adapters that change what the model says."""
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        base: Any = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
        chosen = LoraConfig(r=4, target_modules=["qkv_proj"], init_lora_weights=False)
        folder = tmp_path_factory.mktemp("adapter")
        with warnings.catch_warnings():  # peft uses an old name of transformers
            warnings.filterwarnings("ignore", ".*gradient_checkpointing. is dep", FutureWarning)
            get_peft_model(base, chosen).save_pretrained(str(folder))
        made.append(folder)
    return made


def ask(model: Model, question: str, adapter: Path | None = None, **more: Any) -> Generation:
    prompt = Prompt((Message("user", question),), question)
    return model.generate(prompt, max_new_tokens=16, adapter=adapter, **more)


def test_together_each_answer_is_the_one_it_is_alone(model: Model) -> None:
    alone = [ask(model, question).text for question in QUESTIONS]
    with ThreadPoolExecutor(len(QUESTIONS)) as pool:
        together = list(pool.map(lambda question: ask(model, question).text, QUESTIONS))
    assert together == alone


@pytest.mark.parametrize("num_columns", [1, 60, 130])
def test_what_outgrows_the_memory_waits_and_goes_on(
    num_columns: int, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [ask(model, question).text for question in QUESTIONS]
    assert isinstance(model, Sampler)
    drawn = Sampling(1.5, seed=3, frequency_penalty=1.0)
    prompt = Prompt((Message("user", "Draw."),), "Draw.")
    lot = model.sample(prompt, drawn, max_new_tokens=16).text
    decoder: Any = model._decoder  # type: ignore[attr-defined]
    monkeypatch.setattr(decoder, "_max_bytes", num_columns * decoder._token_bytes)
    monkeypatch.setattr("pericia.models.local.decode.ROOM_TO_GROW", 1)
    held: list[int] = []
    forward = decoder._adapters.forward

    def noted(folders: Any, **inputs: Any) -> Any:
        made = forward(folders, **inputs)
        if inputs["input_ids"].shape[1] == 1 and len(folders) > 1:
            held.append(len(folders) * inputs["past_key_values"].get_seq_length())
        return made

    monkeypatch.setattr(decoder._adapters, "forward", noted)
    with ThreadPoolExecutor(len(QUESTIONS) + 1) as pool:
        sampled = pool.submit(model.sample, prompt, drawn, max_new_tokens=16)
        together = list(pool.map(lambda question: ask(model, question).text, QUESTIONS))
    assert together == alone
    assert sampled.result().text == lot
    assert max(held, default=0) <= num_columns
    assert bool(held) == (num_columns > 1)


def test_prompts_that_wait_are_read_together(
    model: Model, adapters: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [(question, None) for question in QUESTIONS] + [(QUESTIONS[0], adapters[0])]
    alone = [ask(model, *one).text for one in asked]
    decoder: Any = model._decoder  # type: ignore[attr-defined]
    shapes: list[tuple[int, ...]] = []
    forward = decoder._adapters.forward

    def noted(folders: Any, **inputs: Any) -> Any:
        while not shapes and len(decoder._arrived) < len(asked):
            time.sleep(0.01)  # the first prompt is being read while the others arrive
        shapes.append(tuple(inputs["input_ids"].shape))
        return forward(folders, **inputs)

    monkeypatch.setattr(decoder._adapters, "forward", noted)
    with ThreadPoolExecutor(len(asked) + 1) as pool:
        first = pool.submit(ask, model, QUESTIONS[0])
        while not decoder._reading:
            time.sleep(0.01)
        others = [pool.submit(ask, model, *one) for one in asked]
        assert [other.result().text for other in others] == alone
        assert first.result().text == alone[0]
    reads = [rows for rows, columns in shapes if columns > 1]
    assert reads == [1, len(asked)]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_an_adapter_whose_weights_did_not_arrive_is_read_again(
    device: str, tiny_model: Path, adapters: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ask(load(str(tiny_model)), QUESTIONS[0], adapters[0]).text
    read = PeftModel.from_pretrained

    def lose(*given: Any, **named: Any) -> Any:
        """Do what happens while another thread makes layers without weights."""
        made = read(*given, **named)
        for name, layer in made.named_modules():
            if "lora_" in name and hasattr(layer, "weight"):
                layer.weight = torch.nn.Parameter(torch.full_like(layer.weight, 0.3, device=device))
        return made

    monkeypatch.setattr(PeftModel, "from_pretrained", lose)
    assert ask(load(str(tiny_model)), QUESTIONS[0], adapters[0]).text == wanted


def test_adapters_and_the_bare_base_share_a_step(model: Model, adapters: list[Path]) -> None:
    asked = [None, adapters[0], adapters[1], None, adapters[0]]
    alone = [ask(model, QUESTIONS[0], adapter).text for adapter in asked]
    assert len(set(alone)) == 3
    assert (alone[0], alone[1]) == (alone[3], alone[4])
    with ThreadPoolExecutor(len(asked)) as pool:
        together = list(pool.map(lambda adapter: ask(model, QUESTIONS[0], adapter).text, asked))
    assert together == alone


def test_a_caller_may_end_its_answer_and_the_others_go_on(model: Model) -> None:
    assert isinstance(model, Sampler)
    whole = ask(model, QUESTIONS[1]).text
    digits = Sampling(0.0, schema='{"type": "string", "pattern": "^[0-9]{12}$"}')
    prompt = Prompt((Message("user", QUESTIONS[0]),), QUESTIONS[0])
    heard: list[str] = []

    def enough(piece: str) -> None:
        heard.append(piece)
        if len(heard) == 3:
            raise EnoughError

    with ThreadPoolExecutor(2) as pool:
        ended = pool.submit(model.sample, prompt, digits, max_new_tokens=40, on_text=enough)
        other = pool.submit(ask, model, QUESTIONS[1])
        assert ended.result().text == "".join(heard)
        assert ended.result().finish_reason == "stop"
        assert ended.result().usage.tokens_out == 3
        assert other.result().text == whole


def test_a_failing_caller_gets_its_error_and_the_others_their_answers(
    model: Model, tmp_path: Path
) -> None:
    whole = ask(model, QUESTIONS[0]).text

    def break_down(_: str) -> None:
        raise ZeroDivisionError

    with ThreadPoolExecutor(3) as pool:
        broken = pool.submit(ask, model, QUESTIONS[1], on_text=break_down)
        absent = pool.submit(ask, model, QUESTIONS[2], tmp_path)
        other = pool.submit(ask, model, QUESTIONS[0])
        with pytest.raises(ZeroDivisionError):
            broken.result()
        with pytest.raises(NotFoundError):
            absent.result()
        assert other.result().text == whole


def test_a_long_prompt_is_read_in_pieces(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ask(model, QUESTIONS[2]).text
    monkeypatch.setattr("pericia.models.local.decode.PROMPT_PIECE", 3)
    assert ask(model, QUESTIONS[2]).text == whole


def test_nothing_is_left_at_work_when_the_thread_has_ended(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pericia.models.local.decode.IDLE_S", 0.01)
    model = load(str(tiny_model))
    first = ask(model, QUESTIONS[0]).text
    for thread in threading.enumerate():
        if thread.name == "decoding":
            thread.join(60)
    assert ask(model, QUESTIONS[0]).text == first
