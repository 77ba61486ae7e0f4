"""Knobs of river 2: how adapters and embedders are trained, and what the columns of a table of examples are."""

from typing import Annotated, Literal

from pydantic import Field

from pericia.config.section import Section, knob


class TrainConfig(Section):
    method: Literal["lora", "qlora", "full"] = knob(
        "lora", "fastest on a CPU; qlora saves memory, never time there"
    )
    rank: int = knob(
        16,
        "the QLoRA paper found rank hardly matters once all layers are hit",
        unit="LoRA rank",
        ge=1,
        le=512,
    )
    alpha: int = knob(32, "twice the rank, as most recipes", unit="LoRA alpha", ge=1, le=1024)
    dropout: float = knob(0.05, "a little, because data sets are small", ge=0, le=0.9)
    learning_rate: Annotated[float, Field(gt=0, le=1)] | Literal["auto"] = knob(
        "auto",
        "2e-4 for adapters of Phi-3-mini, more the narrower the model; a tenth for all weights, a fortieth for dpo",
    )
    learning_rate_multiplier: float = knob(1.0, "a little more or less than this rate", gt=0)
    epochs: int | Literal["auto"] = knob("auto", "OpenAI's rule: few rows are read more often")
    batch_size: int = knob(8, "examples an optimiser step", unit="examples", ge=1, le=1024)
    max_tokens: int = knob(
        1024,
        "longer rows are refused above the stated share, never cut in silence",
        unit="tokens",
        ge=32,
        le=200_000,
    )
    truncated_share: float = knob(
        0.05, "more than this and the data need other settings", unit="share of rows", ge=0, le=1
    )
    validation_share: float = knob(
        0.1, "chooses the best checkpoint", unit="share of source documents", gt=0, lt=0.9
    )
    warmup: float = knob(0.1, "steady start for small data", unit="share of steps", ge=0, lt=1)
    trainer: Literal["local", "openai", "azure"] = knob(
        "local", "openai and azure send the examples away, which needs: pericia train --upload"
    )
    base_url: str | None = knob(
        None,
        "of a remote trainer, any service with OpenAI's API; else as its client's variables say",
    )
    objective: Literal["sft", "dpo", "text"] = knob(
        "sft", "answers; dpo learns from pairs of a better and a worse one, text from all words"
    )
    optimizer: str = knob("adamw_torch_fused", "a name of transformers' optimisers")
    scheduler: str = knob("linear", "a name of transformers'; constant keeps its warm-up here")
    weight_decay: float = knob(0.0, "adapters are small already", ge=0, le=1)
    max_grad_norm: float = knob(1.0, "one odd batch cannot throw the adapter off", gt=0)
    target_modules: tuple[str, ...] = knob(
        (), "names of linear layers; without any all of them but the head, which learns best"
    )
    rslora: bool = knob(False, "scales by the root of the rank; for ranks of 64 and more")
    dora: bool = knob(False, "learns length and direction apart; slower, sometimes better")
    packing: Literal["auto", "on", "off"] = knob(
        "auto", "rows of a batch in one, without padding, where the model keeps them apart exactly"
    )
    patience: int = knob(
        5,
        "the best checkpoint is kept anyway; this saves time. 0: never stop early",
        unit="evaluations without a gain",
        ge=0,
    )
    checkpoint_steps: int = knob(
        200,
        "a long epoch is evaluated and saved on its way; shorter ones at their end",
        unit="optimiser steps",
        ge=1,
    )
    track: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = knob(
        (), "losses go to no other tool unless you name it"
    )
    dpo_beta: float = knob(0.1, "how near the answers stay to the base's, by dpo", gt=0)
    seed: int = knob(42, "the same data and seed give the same adapter on a CPU", ge=0)


class EmbedderTrainConfig(Section):
    epochs: int = knob(4, "the best one is kept", ge=1, le=100)
    batch_size: int = knob(
        32,
        "every other passage of a batch is a wrong one to learn from",
        unit="pairs",
        ge=2,
        le=4096,
    )
    learning_rate: float = knob(5e-5, "all weights are trained, so little at a time", gt=0, le=0.1)
    dimensions: tuple[Annotated[int, Field(ge=8)], ...] = knob(
        (), "lengths to which vectors may be cut later (Matryoshka); without any only the whole"
    )
    seed: int = knob(42, "order of the pairs", ge=0)


class ColumnsConfig(Section):
    question: str = knob("", "a column, or a text with columns in braces: Tone of {phrase}")
    answer: str = knob("", "the same, for the answer to learn")
    system: str = knob("", "the same, for a system message before the question")
    rejected: str = knob("", "the same, for a worse answer: preference pairs")
    text: str = knob("", "plain text instead of question and answer")
    messages: str = knob("", "a column that holds whole chats")
    source: str = knob("", "the document that a row is about")
