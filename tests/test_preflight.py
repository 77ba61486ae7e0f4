"""The pre-flight: each silent failure, planted, stops the run with the row shown."""

from dataclasses import replace

import pytest

from pericia.errors import PreflightError
from pericia.preflight import check_preparation, show_row
from pericia.terminal.screen import painted
from pericia.types import Example, LabelledRow, Message, Preparation

WORDS = ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>", "\n", "how", "hot", "900", "cold"]
END = 3


def row(
    answer: tuple[int, ...] = (7,), question: tuple[int, ...] = (5, 6), line: int = 1
) -> LabelledRow:
    prompt = (1, *question, END, 2)
    ids = (*prompt, *answer, END, 4, 0)
    mask = tuple(i >= len(prompt) for i in range(len(ids)))
    messages = (
        Message("user", decode(question)),
        Message("assistant", decode(answer)),
    )
    return LabelledRow(Example(messages, f"e{line}", line), ids, mask, prompt)


def decode(ids: object) -> str:
    return "".join(WORDS[i] for i in ids)  # type: ignore[attr-defined]


GOOD = Preparation(
    rows=(row(),),
    validation_rows=(row(question=(6, 5), line=2),),
    num_too_long=0,
    stop_ids=frozenset({0, END}),
    decode=decode,
    target_modules=("qkv_proj", "o_proj"),
    hit_modules=tuple(f"model.layers.{i}.{n}" for i in range(2) for n in ("qkv_proj", "o_proj")),
    num_layers=2,
    num_trainable=100,
    num_parameters=1000,
    num_tokens_known=9,
    num_embeddings=16,
    base_sha256="b",
    template_sha256="t",
    stop_sha256="s",
)


def with_mask(mask: object) -> Preparation:
    return replace(GOOD, rows=(replace(row(), mask=tuple(mask)),))  # type: ignore[arg-type]


def test_a_good_preparation_passes() -> None:
    check_preparation(GOOD, truncated_share=0.05)
    assert show_row(GOOD.rows[0], GOOD) == (
        "<|user|>howhot<|end|><|assistant|>⟦900<|end|>\n<|endoftext|>⟧"
    )


N = len(row().ids)
FAULTS = {
    "end marker without label": (with_mask(i == 5 for i in range(N)), "end marker"),
    "end marker unknown": (replace(GOOD, stop_ids=frozenset({8})), "end marker"),
    "no label at all": (with_mask(False for _ in range(N)), "no token that counts"),
    "question in the loss": (with_mask(True for _ in range(N)), "question in the loss"),
    "answer half in the loss": (with_mask(i >= 6 for i in range(N)), "whole answer"),
    "template that does not round-trip": (
        replace(GOOD, rows=(replace(row(), prompt_ids=(1, 6, END, 2)),)),
        "begin with its prompt",
    ),
    "too many rows too long": (replace(GOOD, num_too_long=1), r"1 of 3 rows"),
    "too few steps": (replace(GOOD, num_steps=2), r"1 training rows make 2 optimiser step"),
    "no training rows": (replace(GOOD, rows=()), "No training row"),
    "no validation rows": (replace(GOOD, validation_rows=()), "No validation row"),
    "a row in both parts": (replace(GOOD, validation_rows=GOOD.rows), "both training and"),
    "a target that hits nothing": (replace(GOOD, target_modules=("q_proj", "o_proj")), "q_proj 0"),
    "a target that misses a layer": (replace(GOOD, hit_modules=GOOD.hit_modules[:3]), "o_proj 1"),
    "no target": (replace(GOOD, target_modules=()), "every layer"),
    "more tokens than embeddings": (replace(GOOD, num_tokens_known=17), "17 tokens"),
    "a name that this model lacks": (
        replace(
            GOOD,
            target_modules=("q_proj", "o_proj"),
            linear_modules=GOOD.hit_modules,
            num_all_linear=25_165_824,
            num_trainable=8_912_896,
            num_parameters=10**9,
        ),
        r"q_proj 0 of 0, o_proj 2 of 2.* 8,912,896 parameters would learn.* 25,165,824",
    ),
    "another number of parameters than the shapes say": (
        replace(GOOD, num_expected=200, linear_modules=GOOD.hit_modules),
        "100 parameters would learn.* 200",
    ),
    "added tokens that never learnt": (
        replace(GOOD, untrained_tokens=("<|im_start|>",)),
        "'<|im_start|>', whose embeddings were never trained".replace("|", r"\|"),
    ),
    "a template that drops the system message": (
        replace(
            GOOD,
            rows=(
                replace(
                    row(),
                    example=Example(
                        (Message("system", "Be brief."), *row().example.messages), "s", 7
                    ),
                ),
            ),
        ),
        "loses its system message",
    ),
    "a worse answer without an end marker": (
        replace(GOOD, rows=(replace(row(), rejected_ids=(8,)),)),
        "end marker",
    ),
    "quantised without guard": (replace(GOOD, unguarded_layers=("model.a",)), r"model\.a"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_planted_fault_stops_the_run(name: str) -> None:
    preparation, message = FAULTS[name]
    with pytest.raises(PreflightError, match=message) as caught:
        check_preparation(preparation, truncated_share=0.05)
    assert caught.value.hint
    assert caught.value.exit_code == 2


def test_the_faulty_row_is_shown_with_its_place() -> None:
    with pytest.raises(PreflightError) as caught:
        check_preparation(FAULTS["end marker without label"][0], truncated_share=0.05)
    assert "'e1' (line 1)" in caught.value.message
    assert "<|assistant|>⟦900⟧<|end|>" in caught.value.message


def test_earlier_answers_may_count() -> None:
    turns = replace(
        row(),
        example=Example(
            (
                Message("user", "how"),
                Message("assistant", "hot"),
                Message("user", "how"),
                Message("assistant", "900"),
            ),
            "m",
            1,
        ),
        mask=(False, False, True, True, False, *[True] * (N - 5)),
    )
    check_preparation(replace(GOOD, rows=(turns,)), truncated_share=0.05)


def test_the_lines_of_all_rows_with_the_same_fault_are_named() -> None:
    rows = tuple(replace(row(line=n), mask=(False,) * N) for n in range(3, 11))
    with pytest.raises(PreflightError, match=r"7 more: line 4, 5, 6, 7, 8, …"):
        check_preparation(replace(GOOD, rows=rows), truncated_share=0.05)


def test_an_answer_that_is_not_to_be_learnt_need_not_be_in_the_loss() -> None:
    example = row().example
    messages = (
        Message("user", "cold"),
        Message("assistant", "900"),
        *example.messages[:-1],
        replace(example.messages[-1], content="hot", trains=False),
    )
    ids = (1, 8, END, 2, 7, END, 4, 1, 5, 6, END, 2, 6, END, 4, 0)
    mask = tuple(4 <= i <= 6 for i in range(len(ids)))
    silent = LabelledRow(replace(example, messages=messages), ids, mask, ids[:12])
    check_preparation(replace(GOOD, rows=(silent,)), truncated_share=0.05)


def test_training_in_full_needs_no_layers_to_be_named() -> None:
    full = replace(GOOD, target_modules=(), hit_modules=(), num_trainable=1000)
    check_preparation(full, truncated_share=0.05)


def test_labels_are_shown_in_colour() -> None:
    assert painted("line [1]: ask⟦900<|end|>⟧") == ("line [1]: ask[black on green]⟦900<|end|>⟧[/]")
