"""Knobs of river 3: what is measured, what things cost, and what the model is for."""

from typing import Literal

from pericia.config.section import Section, knob

ARM_NAMES = ("prompt", "few_shot", "rag", "fine_tuned", "rag_fine_tuned")


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
    adapter: str | None = knob(
        None, "of a tuned arm: an adapter trained before, by its id (pericia models)"
    )
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
        (), "more arms on the same questions: {name, arm, model, embedder, adapter, prices}"
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
