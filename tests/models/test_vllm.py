"""vLLM computes: its calls for adapters, as its documentation and its source describe them."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from openai import OpenAI

from pericia import models
from pericia.config import parse_config
from pericia.errors import InputError, ModelError
from pericia.models import Model
from pericia.models.remote import model as remote
from pericia.server.app import create_app
from pericia.types import Message, Prompt
from pericia.workspace import Workspace
from tests.models.vllm_like import BASE, MAX_MODEL_LEN, VllmLike
from tests.server.conftest import running
from tests.server.test_fine_tuning import create, ended, lines

PROMPT = Prompt((Message("user", "How hot is it?"),), "How hot is it?")
Connect = Callable[[VllmLike], Model]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Serve and ask a server: `connect(VllmLike(...))` is the model that computes there."""
    with ExitStack() as open_:

        def one(server: VllmLike) -> Model:
            address = open_.enter_context(running(server.app()))
            model = models.load(BASE, upstream=f"{address}/v1")
            open_.callback(model._client.close)  # type: ignore[attr-defined]
            return model

        yield one


def adapter(folder: Path, rank: int = 8) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"r": rank}), encoding="utf-8")
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


def test_the_base_answers_and_counts(connect: Connect) -> None:
    model = connect(VllmLike())
    made = model.generate(PROMPT, max_new_tokens=20)
    assert made.text == f"{BASE}: How hot is it?"
    assert (made.usage.tokens_in, made.usage.tokens_out) == (7, 5)
    assert (model.context_tokens, model.count_tokens(PROMPT.messages)) == (MAX_MODEL_LEN, 7)
    with pytest.raises(InputError, match="maximum context length"):
        model.generate(PROMPT, max_new_tokens=MAX_MODEL_LEN)


def test_an_adapter_is_loaded_once_and_asked_by_its_name(connect: Connect, tmp_path: Path) -> None:
    server = VllmLike()
    model = connect(server)
    first = model.generate(PROMPT, max_new_tokens=9, adapter=adapter(tmp_path / "a")).text
    second = model.generate(PROMPT, max_new_tokens=9, adapter=tmp_path / "a").text
    assert first == second
    [(name, path)] = server.loaded.items()
    assert first.startswith(f"{name}:")
    assert path == str(tmp_path / "a")
    assert server.calls.count("/v1/load_lora_adapter") == 1


def test_a_second_front_finds_what_the_first_has_loaded(connect: Connect, tmp_path: Path) -> None:
    server = VllmLike()
    folder = adapter(tmp_path / "a")
    texts = {connect(server).generate(PROMPT, max_new_tokens=9, adapter=folder).text for _ in "ab"}
    assert len(texts) == 1
    assert len(server.loaded) == 1


def test_a_server_that_was_started_anew_is_given_the_adapter_again(
    connect: Connect, tmp_path: Path
) -> None:
    server = VllmLike()
    model = connect(server)
    folder = adapter(tmp_path / "a")
    before = model.generate(PROMPT, max_new_tokens=9, adapter=folder).text
    server.restart()
    assert model.generate(PROMPT, max_new_tokens=9, adapter=folder).text == before
    assert len(server.loaded) == 1


def test_the_least_used_adapter_makes_room(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "MAX_LOADED", 2)
    server = VllmLike()
    model = connect(server)
    folders = [adapter(tmp_path / name) for name in "abc"]
    for folder in (folders[0], folders[1], folders[0], folders[2]):
        model.generate(PROMPT, max_new_tokens=9, adapter=folder)
    assert list(server.loaded.values()) == [str(folders[0]), str(folders[2])]
    server.restart()  # what is to be unloaded is gone: no fault of the request at hand
    assert model.generate(PROMPT, max_new_tokens=9, adapter=folders[1]).text


@pytest.mark.parametrize(
    ("server", "rank", "said"),
    [
        (VllmLike(takes_adapters=False), 8, "does not take adapters"),
        (VllmLike(), 64, "LoRA rank 64 is greater than max_lora_rank 16"),
    ],
)
def test_an_adapter_that_is_not_taken_says_why(
    connect: Connect, tmp_path: Path, server: VllmLike, rank: int, said: str
) -> None:
    model = connect(server)
    with pytest.raises(ModelError, match=said):
        model.generate(PROMPT, max_new_tokens=9, adapter=adapter(tmp_path / "a", rank))


def test_a_folder_that_the_server_does_not_see_is_named(connect: Connect, tmp_path: Path) -> None:
    model = connect(VllmLike())
    folder = adapter(tmp_path / "a")
    (folder / "adapter_config.json").unlink()
    with pytest.raises(ModelError, match="does not find the adapter") as failed:
        model.generate(PROMPT, max_new_tokens=9, adapter=folder)
    assert "same path" in failed.value.hint


def test_an_answer_that_breaks_off_is_an_error(connect: Connect) -> None:
    with pytest.raises(ModelError, match="broke off: EngineCore died"):
        connect(VllmLike(breaks_off=True)).generate(PROMPT, max_new_tokens=9)


def test_a_fine_tuned_model_of_pericia_is_answered_by_vllm(tmp_path: Path) -> None:
    """The whole way: the official client, Pericia in front with its job, vLLM behind with the adapter."""
    from pericia.server.work import train_next
    from tests.fakes import FakeTrainer

    class RankedTrainer(FakeTrainer):
        def train(self, *args: object, **kwargs: object) -> dict[str, object]:
            recorded = dict(super().train(*args, **kwargs))  # type: ignore[arg-type]
            folder = Path(str(args[3]))
            (folder / "adapter_config.json").write_text('{"r": 8}', encoding="utf-8")
            return recorded

    server = VllmLike()
    with running(server.app()) as behind:
        serve = {"upstream": f"{behind}/v1"}
        config = parse_config({"name": "pumps", "model": BASE, "serve": serve}, "test")
        app = create_app(
            Workspace(tmp_path),
            config,
            key="",
            work=lambda ledger: train_next(ledger, RankedTrainer()),
        )
        with running(app) as front, OpenAI(base_url=f"{front}/v1", api_key="any") as client:
            done = ended(client, create(client, lines(10), model=BASE).id)
            assert done.status == "succeeded", done.error
            asked = [{"role": "user", "content": "hello"}]
            answers = [
                client.chat.completions.create(model=name, messages=asked, max_tokens=9)  # type: ignore[arg-type]
                for name in (BASE, done.fine_tuned_model or "")
            ]
    [name] = server.loaded
    texts = [answer.choices[0].message.content for answer in answers]
    assert texts == [f"{BASE}: hello", f"{name}: hello"]
    assert [answer.model for answer in answers] == [BASE, done.fine_tuned_model]
