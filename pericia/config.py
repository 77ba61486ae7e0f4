"""Every knob of pericia.yaml, with its range, its default and the reason for it.

`load_config` reports all faults of a file at once, each with the path of its key. Paths in the file are
relative to the folder in which it lies.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeGuard, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pericia.errors import ConfigError

ARM_NAMES = ("prompt", "few_shot", "rag", "fine_tuned", "rag_fine_tuned")


def knob(default: Any, why: str, *, unit: str = "", **limits: Any) -> Any:
    """Return a pydantic field that says its unit and the reason for its default."""
    return Field(default, description=why, json_schema_extra={"unit": unit}, **limits)


def _is_section(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _an_empty_section_has_defaults(cls, data: Any) -> Any:
        """Read `retrieval:` with nothing but comments below it, which YAML gives as null."""
        if not isinstance(data, dict):
            return data
        sections = {
            name for name, field in cls.model_fields.items() if _is_section(field.annotation)
        }
        return {
            key: {} if key in sections and value is None else value for key, value in data.items()
        }


class RetrievalConfig(Section):
    chunk_tokens: int = knob(
        200,
        "MiniLM reads 256 tokens; room is left for the headings",
        unit="tokens of the embedder",
        ge=20,
        le=2000,
    )
    top_k: int = knob(5, "what the bundled model was trained to read", unit="passages", ge=1, le=50)
    candidates: int = knob(
        50,
        "whole documents stand among them; 100 find no more on FaQuAD and TAT-QA and take longer",
        unit="chunks a leg",
        ge=1,
        le=1000,
    )
    context_tokens: int = knob(
        1500,
        "leaves half of a 4k context for examples and answer",
        unit="tokens of the model",
        ge=50,
        le=200_000,
    )
    neighbours: int = knob(
        0,
        "the text around a passage, where the budget has room; costs tokens, so on only where your questions gain",
        unit="chunks before and after",
        ge=0,
        le=10,
    )
    legs: Literal["hybrid", "dense", "lexical", "auto"] = knob(
        "auto", "measures each leg on development questions; without any, both are fused"
    )
    dense_weight: float = knob(
        0.2,
        "meaning against words where both legs search; legs auto chooses it on development questions",
        unit="share",
        ge=0,
        le=1,
    )
    tables: Literal["forms", "model"] = knob(
        "forms",
        "known forms of questions are computed; model lets an able model write SQL for the others, a request each",
    )
    reranker: str = knob(
        "",
        "a sentence-transformers CrossEncoder, folder or hub name; without one the order of the legs stays",
    )
    rerank: int = knob(
        30,
        "more takes longer and seldom helps",
        unit="passages that a reranker reads",
        ge=1,
        le=200,
    )
    language: str = knob("auto", "the stop words and stems: en, es, pt, bg, or auto per document")
    lexical_unit: Literal["auto", "surface", "stem", "grams"] = knob(
        "auto",
        "words, stems or 4-grams as the lexical leg compares them; auto is the language's best",
    )
    refusal: Literal["constant", "fitted"] = knob(
        "constant",
        "fitted follows the examples and catches more, but refuses too much where questions differ from them",
    )
    refuse_below: float = knob(
        0.25,
        "a careful constant until calibrated on unanswerable questions",
        unit="share of the question's rare words",
        ge=0,
        le=1,
    )
    follow_ups: Literal["auto", "rules", "off"] = knob(
        "auto",
        "a question that goes on from a chat is completed by an able model, else by rules; off searches it as it is",
    )
    pdf_password: str = knob("", "opens encrypted PDFs")
    access: dict[str, tuple[Annotated[str, Field(min_length=1)], ...]] = knob(
        {},
        "groups that may read a folder or pattern, the first that fits; others are for everybody",
    )


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


class PriceConfig(Section):
    token_in: float = knob(0.0, "hosted models ask for it", unit="USD a million tokens", ge=0)
    token_out: float = knob(0.0, "hosted models ask for it", unit="USD a million tokens", ge=0)
    machine_hour: float = knob(0.0, "own machines cost time", unit="USD an hour", ge=0)
    person_hour: float = knob(0.0, "somebody makes the examples", unit="USD an hour", ge=0)
    data_hours: float = knob(0.0, "spent on examples so far", unit="hours", ge=0)
    wrong_answer: float = knob(
        0.0, "what mending one costs; counts at break-even", unit="USD", ge=0
    )


class ExtraArmConfig(Section):
    name: str = knob(..., "how the results call it", pattern=r"^[A-Za-z][A-Za-z0-9._-]{0,63}$")
    arm: Literal["prompt", "few_shot", "rag", "fine_tuned", "rag_fine_tuned"] = knob(
        ..., "which of the five it is"
    )
    model: str | None = knob(None, "another base model, here or remote")
    embedder: str | None = knob(None, "another embedder, such as a fine-tuned one")
    prices: PriceConfig | None = knob(None, "what this model costs; without it as evaluate.prices")


class JudgeConfig(Section):
    model: str = knob("", "a model that reads answers; none is asked by default, and none decides")
    base_url: str | None = knob(None, "any OpenAI-compatible address; OpenAI's own without one")
    key: str = knob("OPENAI_API_KEY", "the variable of the environment that holds the key")
    max_tokens: int = knob(256, "room for a reason before the word", unit="tokens", ge=1, le=8192)
    labels: str | None = knob(
        None, "what people say of some answers, JSONL; without it nobody knows the judge's worth"
    )


class EvaluateConfig(Section):
    arms: tuple[Literal["prompt", "few_shot", "rag", "fine_tuned", "rag_fine_tuned"], ...] = knob(
        ARM_NAMES, "the five; advice to fine-tune is refused without its baselines", min_length=1
    )
    score: str = knob("token_f1", "the one score that carries a verdict, chosen before the run")
    smallest_gain: float = knob(
        0.05, "a smaller difference would change no decision", unit="of the score", gt=0, le=1
    )
    extra_arms: tuple[ExtraArmConfig, ...] = knob(
        (), "more arms on the same questions: {name, arm, model, embedder, prices}"
    )
    on_leak: Literal["stop", "show"] = knob(
        "stop", "show goes on, and gives the results without and with questions given away"
    )
    pattern: str = knob("", "a regular expression that a whole answer should match")
    terms: tuple[str, ...] = knob((), "house terms: answers should use them where references do")
    forbidden_terms: tuple[str, ...] = knob((), "words of others: answers should use none of them")
    few_shot: int = knob(
        3, "more examples cost tokens in every request", unit="examples", ge=1, le=64
    )
    max_new_tokens: int = knob(64, "short answers are asked for", unit="tokens", ge=1, le=8192)
    seed: int = knob(7, "resampling and order of questions", ge=0)
    prices: PriceConfig = PriceConfig()
    probes: int = knob(
        24, "shows what training has unlearnt; 0 shows nothing", unit="texts a model", ge=0, le=1000
    )
    gold: bool = knob(
        False,
        "also asks with the right passage alone, which parts faults of the search from faults of reading; "
        "an answer more a question and reading arm",
    )
    learning_curve: bool = knob(
        False,
        "also trains on a quarter and on half of the examples, which says if more of them would help; "
        "two trainings and two answers more a tuned arm",
    )
    judge: JudgeConfig = JudgeConfig()


class UseConfig(Section):
    goal: str = knob("", "what should get better; without it no advice to fine-tune")
    data_change: Literal["never", "yearly", "monthly", "weekly", "daily"] = knob(
        "yearly", "how often the facts change; often means that fine-tuning is a burden"
    )
    citations_required: bool = knob(False, "true leaves only arms that name their sources")
    good_enough: float = knob(
        0.3,
        "an expert below this helps nobody, so no arm is advised",
        unit="of the score",
        ge=0,
        le=1,
    )
    latency_limit_ms: float | None = knob(None, "slower arms are dropped", unit="ms, median", gt=0)
    forgetting_limit: float | None = knob(
        None,
        "an adapter that surely loses more on general texts is dropped",
        unit="bits a byte",
        gt=0,
    )
    requests_per_month: int = knob(1000, "spreads the one-off costs", ge=1)


class ServeConfig(Section):
    groups: tuple[Annotated[str, Field(min_length=1)], ...] = knob(
        (), "groups of retrieval.access that callers belong to; without any only open documents"
    )
    aliases: bool = knob(
        True, "code written for OpenAI's model names runs; jobs and lists say what really answers"
    )
    max_waiting: int = knob(
        64,
        "in the house at once; beyond it callers get 429 and come back",
        unit="requests",
        ge=1,
        le=10_000,
    )
    upstream: str = knob(
        "", "a server that computes for this one, such as vLLM's http://127.0.0.1:8000/v1"
    )
    takes_adapters: bool = knob(
        False, "a server in front may name adapter folders, as vLLM lets it; needs an admin key"
    )
    requests_per_minute: int = knob(
        0, "a key may send so many; 0 counts nothing", unit="requests a key", ge=0, le=1_000_000
    )
    together: int = knob(
        8, "more share a step at little cost, and each waits longer", unit="answers", ge=1, le=32
    )


class ColumnsConfig(Section):
    question: str = knob("", "a column, or a text with columns in braces: Tone of {phrase}")
    answer: str = knob("", "the same, for the answer to learn")
    system: str = knob("", "the same, for a system message before the question")
    rejected: str = knob("", "the same, for a worse answer: preference pairs")
    text: str = knob("", "plain text instead of question and answer")
    messages: str = knob("", "a column that holds whole chats")
    source: str = knob("", "the document that a row is about")


class SqlSource(Section):
    """A table or a query of a database, read as a document at each sync."""

    name: str = knob(..., "how citations call it", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    url: str = knob(..., "as SQLAlchemy writes it; a password comes from ${A_VARIABLE}")
    table: str = knob("", "a table or view, with its schema if it has one")
    query: str = knob(
        "", "or one SELECT; ORDER BY keeps unchanged rows from being read as new ones"
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.table) == bool(self.query):
            raise ValueError("give either a table or a query")
        return self


class Config(Section):
    """One industry: its documents, its questions and examples, the model, and how they are joined."""

    name: str = knob(
        "expert", "the model's name when served", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
    )
    documents: tuple[str, ...] = knob((), "files and folders")
    tables: tuple[SqlSource, ...] = knob(
        (), "SQL tables and queries: {name, url, table} or {name, url, query}"
    )
    questions: str | None = knob(None, "held-out questions with reference answers, JSONL")
    examples: str | None = knob(
        None, "solved examples to learn from: a file, a folder with splits, or owner/name of a hub"
    )
    validation: str | None = knob(
        None, "examples to choose the checkpoint by; without them a share of `examples` is held out"
    )
    columns: ColumnsConfig = ColumnsConfig()
    model: str = knob("pericia-nano", "the bundled model needs no network")
    embedder: str = knob(
        "minilm",
        "the bundled embedder needs no network; others: a sentence-transformers folder or hub name, openai:MODEL, "
        "jina:MODEL, https://HOST/v1?model=MODEL",
    )
    store: str = knob(
        "lance", "embedded, on disk; or postgresql://user@host/database, with pgvector"
    )
    instruction: str = knob("Answer in as few words as you can.", "how every arm is told to answer")
    use: UseConfig = UseConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    train: TrainConfig = TrainConfig()
    embedder_training: EmbedderTrainConfig = EmbedderTrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    serve: ServeConfig = ServeConfig()


def load_config(path: Path) -> Config:
    """Return the config of a YAML file.

    Raises:
        ConfigError: the file is missing, is no YAML, or has faults; all are listed with their keys.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"There is no config file '{path}'.", hint="Run: pericia init") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"'{path}' cannot be read: {error}.", hint="Give a text file in UTF-8."
        ) from error
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not readable as YAML"
        raise ConfigError(
            f"{path}{place}: {problem}.", hint="Mend the YAML; strings with ':' need quotes."
        ) from error
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(
            f"{path}: expected keys with values, found {type(data).__name__}.",
            hint="Run: pericia init",
        )
    return parse_config(data, str(path))


def parse_config(data: dict[str, Any], name: str) -> Config:
    """Return the config of a mapping; `name` stands in messages. Raises as `load_config`."""
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        first_of_each_key = {tuple(_key_path(i["loc"])): i for i in reversed(error.errors())}
        faults = [_fault(item) for item in reversed(first_of_each_key.values())]
    lines = "\n".join(f"{name}: {fault}" for fault in faults)
    raise ConfigError(
        lines,
        hint=f"Mend {'the key' if len(faults) == 1 else f'these {len(faults)} keys'}; every key is explained by: pericia init --explain",
    )


def _fault(item: Any) -> str:
    location = item["loc"]
    if item["type"] == "extra_forbidden":
        near = get_close_matches(str(location[-1]), _section_at(location[:-1]).model_fields, n=1)
        path = ".".join(map(str, location))
        return f"unknown key '{path}'" + (f"; did you mean '{near[0]}'?" if near else ".")
    message = f"{item['msg'][0].lower()}{item['msg'][1:]}"
    return f"{'.'.join(_key_path(location))} is {item['input']!r}; {message}."


def _key_path(location: Sequence[int | str]) -> Iterator[str]:
    """Yield the parts of a location that stand in the file: pydantic adds names of union members."""
    section: type[BaseModel] | None = Config
    for part in location:
        if isinstance(part, int):
            yield str(part)
            continue
        if section is None:
            return
        yield part
        field = section.model_fields.get(part)
        section = _section_of(field.annotation) if field else None


def _section_at(location: Sequence[int | str]) -> type[BaseModel]:
    section: type[BaseModel] = Config
    for part in location:
        field = section.model_fields.get(str(part))
        section = (_section_of(field.annotation) if field else None) or section
    return section


def _section_of(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a key holds, alone or in a list."""
    return next((a for a in (annotation, *get_args(annotation)) if _is_section(a)), None)


def render_config(chosen: Mapping[str, Any]) -> str:
    """Return the text of a pericia.yaml in which every knob stands with its unit and the reason for its default.

    Knobs of `chosen` (a nested mapping as in the file) are set; the others are comments that show the default.
    """
    header = "# Pericia's configuration. A line that begins with '#' shows a default; remove the '#' to set it.\n"
    return header + "\n".join(_render_section(Config, chosen)) + "\n"


def _render_section(section: type[BaseModel], chosen: Mapping[str, Any]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        value = chosen.get(name, field.default)
        if _is_section(field.annotation):
            yield ""
            yield f"{name}:"
            for line in _render_section(field.annotation, chosen.get(name, {})):
                yield f"  {line}" if line else ""
            continue
        extra = field.json_schema_extra
        unit = extra.get("unit") if isinstance(extra, dict) else ""
        mark = "" if name in chosen else "# "
        why = f"{field.description} ({unit})" if unit else field.description
        yield f"{mark}{name}: {json.dumps(value, ensure_ascii=False)}  # {why}"
