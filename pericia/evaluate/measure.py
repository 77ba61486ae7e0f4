"""The rows of some questions become what the advice rests on, and what a judge and the probes say beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pericia.config import Config
from pericia.evaluate.arms import ARMS
from pericia.evaluate.evidence import Evidence
from pericia.evaluate.judge import (
    FEWEST_LABELS,
    Judgement,
    Key,
    agreement,
    needs_judge,
    right_by_judge,
)
from pericia.evaluate.kinds import means_by_kind
from pericia.evaluate.losses import probed, setbacks
from pericia.evaluate.power import detectable_difference, shown_difference
from pericia.evaluate.records import RunRecord
from pericia.evaluate.results import (
    Spending,
    break_even,
    compare_arms,
    summarise_arms,
    thoughtless_scores,
)
from pericia.evaluate.sides import BASE, old_answers
from pericia.evaluate.stats import mean_interval
from pericia.said import Figure, said
from pericia.types import Question, Row

ENDLESS = 0.05  # share of answers; a model that has unlearnt its end marker cuts off nearly all


def measure(
    record: RunRecord, config: Config, rows: Sequence[Row], part: Sequence[Question]
) -> Evidence:
    """Return what these questions show."""
    arms, score, seed = record.arms, config.evaluate.score, config.evaluate.seed
    adapters: Mapping[str, Any] = record.facts["adapters"]
    kinds: Mapping[str, str] = record.facts.get("kinds", {})
    spending = Spending(
        prices=config.evaluate.prices,
        requests_per_month=config.use.requests_per_month,
        data_change=config.use.data_change,
        train_s={arm: float(adapter.get("train_s", 0.0)) for arm, adapter in adapters.items()},
        own_prices={
            extra.name: extra.prices
            for extra in config.evaluate.extra_arms
            if extra.prices is not None
        },
    )
    results = summarise_arms(rows, part, arms, score, spending, seed, kinds)
    pairs = compare_arms(rows, part, arms, score, seed)
    families = [question.family for question in part]
    by_kind = means_by_kind(rows, part, arms, score)
    card = record.facts["dataset"]
    tuned = [arm for arm in arms if ARMS[kinds.get(arm, arm)].is_tuned]
    untuned = [arm for arm in arms if arm not in tuned]
    return Evidence(
        arms=results,
        pairs=pairs,
        primary=score,
        num_questions=len(part),
        num_families=len(set(families)),
        detectable=detectable_difference(families, len(pairs)),
        smallest_gain=config.evaluate.smallest_gain,
        use=config.use,
        main_kind=by_kind[0].kind,
        by_kind=by_kind,
        shown_from=shown_difference(pairs, len(set(families))),
        num_examples=card.get("num_train", 0) + card.get("num_validation", 0),
        num_contradictions=card.get("num_findings", {}).get("contradiction", 0),
        thoughtless=thoughtless_scores(part),
        left_out=record.facts["left_out"],
        old_answers=old_answers(rows, part, arms),
        setbacks={
            **setbacks(probed(record.facts.get("probes", {})), config.use.forgetting_limit),
            **endless(rows, part, {arm: kinds.get(arm, arm) for arm in arms}),
        },
        break_even=[
            break_even(rows, part, a, b, score, spending)
            for b in tuned
            for a in untuned
            if spending.is_priced
        ],
    )


def endless(
    rows: Sequence[Row], part: Sequence[Question], kinds: Mapping[str, str]
) -> dict[str, str]:
    """Return, by arm, that training has unlearnt to stop: answers end at the limit of tokens that the base ends itself.

    `kinds` says which of the five each arm is.
    """
    asked = {question.id for question in part}
    ends: dict[str, list[bool]] = {arm: [] for arm in kinds}
    for row in rows:
        if row.question_id in asked and row.arm in ends:
            ends[row.arm].append(row.answer.finish_reason == "length")
    found: dict[str, str] = {}
    for arm, base in ((arm, BASE.get(kind)) for arm, kind in kinds.items()):
        if base in ends and sum(ends[arm]) > max(sum(ends[base]), ENDLESS * len(ends[arm])):
            found[arm] = said(
                "%(n)s of its %(total)s answers do not stop before evaluate.max_new_tokens, %(other)s of those of %(base)s",
                n=Figure(sum(ends[arm])),
                total=Figure(len(ends[arm])),
                other=Figure(sum(ends[base])),
                base=base,
            )
    return found


def judged(
    record: RunRecord,
    rows: Sequence[Row],
    said: Mapping[Key, Judgement],
    part: Sequence[Question],
) -> dict[str, Any]:
    """Return each arm's share of right answers by the judge, what could not be read, and its agreement with people."""
    if not said:
        return {}
    question_of = {question.id: question for question in part}
    arms: dict[str, Any] = {}
    for arm in record.arms:
        own = [row for row in rows if row.arm == arm and row.question_id in question_of]
        asked = [row for row in own if needs_judge(row, question_of[row.question_id])]
        right = [right_by_judge(row, question_of[row.question_id], said) for row in own]
        families = [question_of[row.question_id].family for row in own]
        share = mean_interval([float(r is True) for r in right], families, seed=0)
        arms[arm] = {
            "mean": share.mean,
            "low": share.low,
            "high": share.high,
            "num_asked": len(asked),
            "num_unread": sum(value is None for value in right),
        }
    labels = {(q, arm): right for q, arm, right in record.facts["labels"]}
    agreed = agreement({key: judgement.right for key, judgement in said.items()}, labels)
    return {
        "model": next(iter(said.values())).judge,
        "arms": arms,
        "agreement": asdict(agreed) if agreed else None,
        "fewest_labels": FEWEST_LABELS,
    }
