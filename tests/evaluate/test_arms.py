"""The arms differ only by what they are for."""

from pathlib import Path

import pytest

from pericia.errors import InputError
from pericia.evaluate.arms import ARMS, Bench, runnable_arms, similar_examples
from pericia.types import Adapter, Chunk, Context, Example, Message, Passage, Place, Question
from tests.fakes import FakeModel

QUESTION = Question("q", "How heavy is valve V2?", ("5 kg",))
CHUNK = Chunk("c", "d", "v.md", "Valve V2: 5 kg.", 0, 15, Place(line=1))


def _bench(context_tokens: int = 500, num_examples: int = 2) -> Bench:
    texts = ("How heavy is valve V1?", "Who paints the hall?", "How heavy is pump P1?")
    examples = tuple(
        Example((Message("user", text), Message("assistant", f"answer {n}")), f"e{n}", n)
        for n, text in enumerate(texts)
    )
    kinds = ("fine_tuned", "rag_fine_tuned")
    return Bench(
        model=FakeModel(context_tokens=context_tokens),
        instruction="Be short.",
        max_new_tokens=8,
        contexts={"q": Context((Passage(CHUNK, 1, 1.0),))},
        examples=examples,
        num_examples=num_examples,
        adapters={k: Adapter(k, str(Path("a") / k), "fake", k) for k in kinds},  # type: ignore[arg-type]
    )


def test_what_each_arm_sends() -> None:
    bench = _bench()
    sent = {name: arm.request(QUESTION, bench) for name, arm in ARMS.items()}
    assert sent["fine_tuned"].prompt == sent["prompt"].prompt
    assert sent["rag_fine_tuned"].prompt == sent["rag"].prompt
    assert sent["rag"].prompt.passages[0].chunk is CHUNK
    assert [m.role for m in sent["few_shot"].prompt.messages] == [
        "system",
        *["user", "assistant"] * 2,
        "user",
    ]
    assert {name: r.adapter.id if r.adapter else "" for name, r in sent.items()} == {
        "prompt": "",
        "few_shot": "",
        "rag": "",
        "fine_tuned": "fine_tuned",
        "rag_fine_tuned": "rag_fine_tuned",
    }
    assert all("Be short." in r.prompt.messages[0].content for r in sent.values())


def test_examples_are_the_most_alike_and_the_best_comes_last() -> None:
    assert [e.id for e in similar_examples(QUESTION, _bench())] == ["e2", "e0"]


def test_examples_that_do_not_fit_are_left_out_from_the_least_alike() -> None:
    whole = FakeModel().count_tokens(ARMS["few_shot"].request(QUESTION, _bench()).prompt.messages)
    fitting = similar_examples(QUESTION, _bench(context_tokens=whole + 8 - 1))
    assert [e.id for e in fitting] == ["e0"]
    with pytest.raises(InputError, match="does not fit the 5 tokens"):
        similar_examples(QUESTION, _bench(context_tokens=5))


def test_arms_that_cannot_run_are_left_out_with_the_reason() -> None:
    arms, left_out = runnable_arms(
        tuple(ARMS), has_documents=True, has_examples=True, is_tunable=False, model="quote"
    )
    assert arms == ("prompt", "rag")
    assert "cannot be fine-tuned" in left_out["fine_tuned"]
    assert "no language model" in left_out["few_shot"]
