"""The arms of one run: the five, those that the config adds, and what is asked beside them to explain them.

Beside an arm stand lanes of its own that carry no verdict: *gold*, the same arm given the right passage alone, and the
points of a learning *curve*, the same arm with an adapter that learnt a part of the examples.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from pericia.config import ARM_NAMES, Config
from pericia.errors import ConfigError
from pericia.evaluate.arms import ARMS, Bench, Request, runnable_arms
from pericia.evaluate.collect import Event, train_adapters
from pericia.evaluate.tools import Tools
from pericia.said import joined, said
from pericia.types import Adapter, Context, Dataset, Question, SideKind
from pericia.workspace import sha256_of

CURVE = (0.25, 0.5)  # of the examples; the arm itself has learnt all of them
FEWEST_EXAMPLES = 4  # below, a part of the examples is no training


@dataclass(frozen=True, slots=True)
class Lane:
    """An arm as this run measures it. Lanes with the same tools get the same passages and adapters."""

    name: str
    kind: str
    config: Config
    tools: Tools
    side: SideKind | None = None  # None: an arm
    of: str = ""  # the arm that a side lane explains
    share: float = 1.0  # of the examples that the adapter learns
    adapter: Adapter | None = None  # trained before; None: this run trains it

    def asks(self, question: Question) -> bool:
        return is_asked(self.side, question)

    @property
    def needs_passages(self) -> bool:
        return ARMS[self.kind].needs_passages

    def request(self, question: Question, bench: Bench) -> Request:
        return ARMS[self.kind].request(question, bench)


def open_lanes(
    config: Config,
    tools: Tools,
    dataset: Dataset | None,
    open_more: Callable[[Config], Tools],
    find_adapter: Callable[[str], Adapter],
) -> tuple[tuple[Lane, ...], dict[str, str]]:
    """Return the lanes that can run, and of each other arm why not. `open_more` opens the tools of another config.

    Raises:
        ConfigError: no arm can run, an arm of the config has a name that is taken, or its adapter is of another kind or
            base. NotFoundError: there is no such adapter.
    """
    _check_names(config)
    wanted: list[tuple[str, str, Config, Adapter | None]] = [
        (arm, arm, config, None) for arm in config.evaluate.arms
    ]
    for extra in config.evaluate.extra_arms:
        changes = {"model": extra.model, "embedder": extra.embedder}
        own = config.model_copy(update={k: v for k, v in changes.items() if v is not None})
        adapter = find_adapter(extra.adapter) if extra.adapter else None
        wanted.append((extra.name, extra.arm, own, adapter))
    opened = {(config.model, config.embedder): tools}
    lanes: list[Lane] = []
    left_out: dict[str, str] = {}
    for name, kind, own, adapter in wanted:
        key = own.model, own.embedder
        if key not in opened:
            opened[key] = open_more(own)
        if adapter is not None:
            _check_adapter(adapter, name, kind, opened[key])
        _, reasons = runnable_arms(
            (kind,),
            has_documents=bool(opened[key].sources),
            has_examples=dataset is not None or adapter is not None,
            is_tunable=opened[key].is_tunable,
            model=own.model,
        )
        if kind in reasons:
            left_out[name] = reasons[kind]
        else:
            lanes.append(Lane(name, kind, own, opened[key], adapter=adapter))
    if not lanes:
        text = joined([joined((f"{arm}:", reason)) for arm, reason in left_out.items()], "\n")
        raise ConfigError(
            said("No arm can run.\n%(text)s", text=text),
            hint=said("Configure documents or examples."),
        )
    order = [*ARMS, *(extra.name for extra in config.evaluate.extra_arms)]
    return tuple(sorted(lanes, key=lambda lane: order.index(lane.name))), left_out


def side_lanes(lanes: Sequence[Lane], dataset: Dataset | None) -> tuple[Lane, ...]:
    """Return the lanes that the config asks for beside the five arms, none by default."""
    sides: list[Lane] = []
    for lane in (lane for lane in lanes if lane.name in ARM_NAMES):
        evaluate = lane.config.evaluate
        if evaluate.gold and lane.needs_passages:
            sides.append(replace(lane, name=f"{lane.name}@gold", side="gold", of=lane.name))
        if evaluate.learning_curve and ARMS[lane.kind].is_tuned and dataset is not None:
            sides += [
                replace(lane, name=f"{lane.name}@{s:.0%}", side="curve", of=lane.name, share=s)
                for s in CURVE
                if num_examples(dataset, s) >= FEWEST_EXAMPLES
            ]
    return tuple(sides)


def is_asked(side: SideKind | None, question: Question) -> bool:
    """Return whether a lane answers a question; without a named source nobody knows the right passage."""
    return side != "gold" or (question.answerable and bool(question.sources))


def num_examples(dataset: Dataset, share: float) -> int:
    """Return how many examples a share of the training examples is."""
    return int(share * len(dataset.train))


def part_of(dataset: Dataset, share: float, seed: int) -> Dataset:
    """Return a share of the training examples, drawn by the seed; a larger share holds the smaller ones."""
    order = list(range(len(dataset.train)))
    random.Random(seed).shuffle(order)
    kept = sorted(order[: num_examples(dataset, share)])
    train = tuple(dataset.train[i] for i in kept)
    return replace(dataset, train=train, sha256=sha256_of([dataset.sha256, kept]))


def set_side_benches(
    sides: Sequence[Lane],
    benches: Mapping[str, Bench],
    questions: Sequence[Question],
    dataset: Dataset | None,
    tell: Callable[[Event], None],
) -> dict[str, Bench]:
    """Return what each side lane works with: the bench of its arm but for the passages or the adapter."""
    made: dict[str, Bench] = {}
    for lane in sides:
        bench = benches[lane.of]
        if lane.side == "gold":
            asked = [question for question in questions if lane.asks(question)]
            right: dict[str, Context] = {}
            for number, question in enumerate(asked, start=1):
                right[question.id] = lane.tools.find_right(question)
                tell(Event("retrieve", "right passages", number, len(asked)))
            no_time = dict.fromkeys(right, 0.0)
            made[lane.name] = replace(bench, contexts=right, retrieval_ms=no_time)
        else:
            assert dataset is not None, "tuned arms are left out without examples"
            part = part_of(dataset, lane.share, lane.config.train.seed)
            tell(Event("train", f"{lane.of} on {lane.share:.0%} of the examples"))
            adapters = train_adapters({lane.kind}, part, lane.tools, tell)
            made[lane.name] = replace(bench, adapters={**bench.adapters, **adapters})
    return made


def set_benches(
    lanes: Sequence[Lane],
    questions: Sequence[Question],
    dataset: Dataset | None,
    tell: Callable[[Event], None],
) -> dict[str, Bench]:
    """Return what each lane works with, by its name: adapters are trained and passages retrieved now, once for all."""
    benches: dict[str, Bench] = {}
    for lane in lanes:
        if lane.name in benches:
            continue
        alike = [other for other in lanes if other.tools is lane.tools]
        to_train = {each.kind for each in alike if each.adapter is None}
        adapters = train_adapters(to_train, dataset, lane.tools, tell)
        reads = any(each.needs_passages for each in alike)
        found = _retrieve(questions, lane.tools, tell) if reads else {}
        bench = _bench(lane, dataset, found, adapters)
        benches.update({each.name: _with_own_adapter(bench, each) for each in alike})
    return benches


def _with_own_adapter(bench: Bench, lane: Lane) -> Bench:
    return bench if lane.adapter is None else replace(bench, adapters={lane.kind: lane.adapter})


def _check_names(config: Config) -> None:
    names = [extra.name for extra in config.evaluate.extra_arms]
    for name in names:
        if name in ARM_NAMES or names.count(name) > 1:
            raise ConfigError(
                said("evaluate.extra_arms: the name '%(name)s' is taken.", name=name),
                hint=said("Give each arm a name of its own."),
            )


def _check_adapter(adapter: Adapter, name: str, kind: str, tools: Tools) -> None:
    if (adapter.kind, adapter.manifest.get("base_sha256")) == (kind, tools.model_identity):
        return
    raise ConfigError(
        said(
            "evaluate.extra_arms: the adapter '%(id)s' is %(kind)s of '%(base)s', which does not fit the arm '%(name)s'.",
            id=adapter.id,
            kind=adapter.kind,
            base=adapter.base,
            name=name,
        ),
        hint=said("Give the arm the kind and the model of the adapter: pericia models"),
    )


def _retrieve(
    questions: Sequence[Question], tools: Tools, tell: Callable[[Event], None]
) -> dict[str, tuple[Context, float]]:
    """Return the passages of each question with the milliseconds that they took."""
    found = {}
    for number, question in enumerate(questions, start=1):
        start = perf_counter()
        context = tools.find(question.text)
        found[question.id] = context, 1000 * (perf_counter() - start)
        tell(Event("retrieve", "passages", number, len(questions)))
    return found


def _bench(
    lane: Lane,
    dataset: Dataset | None,
    found: Mapping[str, tuple[Context, float]],
    adapters: Mapping[str, Adapter],
) -> Bench:
    config = lane.config
    return Bench(
        model=lane.tools.load_model(),
        instruction=config.instruction,
        max_new_tokens=config.evaluate.max_new_tokens,
        contexts={question_id: context for question_id, (context, _) in found.items()},
        retrieval_ms={question_id: ms for question_id, (_, ms) in found.items()},
        examples=dataset.train if dataset else (),
        num_examples=config.evaluate.few_shot,
        adapters=adapters,
    )
