"""River 3: questions -> arms -> scores -> statistics -> report -> recommendation.

    read         held-out questions; how small a difference they can show    collect, stats
    collect      examples, checked against the questions for leaks           collect
    train        one adapter closed book, one with passages                  collect
    retrieve     the passages of each question, once for all arms            answer
    ask          every arm, question by question, a row each                 arms, scores, records
    report       means, intervals, verdicts, the advice, three files         report, recommend

A run is identified by everything that its answers depend on. The same run again does nothing; a run that was killed
goes on behind its last whole row; another run takes over answers to requests that are the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from pericia.config import Config
from pericia.errors import ConfigError
from pericia.evaluate.arms import ARMS, Bench, Request, runnable_arms
from pericia.evaluate.collect import (
    Event,
    collect_examples,
    collect_questions,
    train_adapters,
)
from pericia.evaluate.identity import describe, facts_of_adapter, identify
from pericia.evaluate.records import (
    RunRecord,
    answers_of_other_runs,
    append_row,
    read_record,
    read_rows,
    repair_rows,
    write_record,
)
from pericia.evaluate.report import recompute, write_report
from pericia.evaluate.scores import Attempt, outcome, score_answer
from pericia.evaluate.stats import detectable_in_words
from pericia.evaluate.tools import Tools, open_tools
from pericia.prompts import REFUSAL
from pericia.types import (
    Adapter,
    Answer,
    Context,
    Dataset,
    Question,
    Report,
    Row,
)
from pericia.workspace import Workspace, lock, sha256_of


@dataclass(frozen=True, slots=True)
class RunResult:
    """The report, where it lies, and how many answers were new, taken over from other runs, or there already."""

    report: Report
    folder: Path
    num_new: int
    num_taken_over: int
    num_there: int

    @property
    def html(self) -> Path:
        return self.folder / "report.html"


def run(
    config: Config,
    workspace: Workspace,
    *,
    on_event: Callable[[Event], None] | None = None,
    tools: Tools | None = None,
) -> RunResult:
    """Return the whole main job's result, doing only what has not been done. `tools` are opened from the config.

    Raises:
        InputError: questions or examples have faults, or examples give questions away; nothing is written then.
        ConflictError: another run is at work here.
    """
    tell = on_event or (lambda event: None)
    tools = tools or open_tools(
        config, workspace, lambda m, d, t: tell(Event("documents", m, d, t))
    )
    with lock(workspace.runs, "run"):
        questions = collect_questions(config, workspace, tools.sources)
        dataset, findings = collect_examples(config, workspace, questions)
        arms, left_out = _arms(config, tools, dataset)
        num_pairs = len(arms) * (len(arms) - 1) // 2
        families = [question.family for question in questions]
        tell(Event("questions", detectable_in_words(families, num_pairs)))
        for arm, reason in left_out.items():
            tell(Event("arms", f"{arm} is left out: {reason}"))

        identity = identify(config, questions, dataset, arms, tools)
        folder = workspace.runs / sha256_of(identity)[:12]
        repair_rows(folder)
        rows = {(row.question_id, row.arm): row for row in read_rows(folder)}
        missing = [(q, arm) for q in questions for arm in arms if (q.id, arm) not in rows]
        before = read_record(folder).facts if (folder / "run.json").exists() else {}
        facts = describe(config, identity, dataset, findings, left_out, before)
        record = RunRecord(folder.name, config.model_dump(mode="json"), questions, arms, facts)
        num_new = 0
        if missing:
            adapters = train_adapters(arms, dataset, tools, tell)
            record.facts["adapters"] = {kind: facts_of_adapter(a) for kind, a in adapters.items()}
            write_record(folder, record)
            contexts = _retrieve(arms, questions, tools, tell)
            bench = _bench(config, tools, dataset, contexts, adapters)
            earlier = answers_of_other_runs(workspace.runs, but=folder)
            num_new = _ask_all(missing, bench, tools, config, earlier, folder, tell)
        else:
            tell(Event("answers", f"Nothing has changed since run {folder.name}."))
            write_record(folder, record)
        report = recompute(folder)
        write_report(report, folder)
        tell(Event("report", report.recommendation.sentence))
    return RunResult(report, folder, num_new, len(missing) - num_new, len(rows))


# --- choose, retrieve, ask -------------------------------------------------------------------------------


def _arms(
    config: Config, tools: Tools, dataset: Dataset | None
) -> tuple[tuple[str, ...], dict[str, str]]:
    arms, left_out = runnable_arms(
        config.evaluate.arms,
        has_documents=bool(tools.sources),
        has_examples=dataset is not None,
        is_tunable=tools.is_tunable,
        model=config.model,
    )
    if not arms:
        reasons = "\n".join(f"{arm}: {reason}" for arm, reason in left_out.items())
        raise ConfigError(f"No arm can run.\n{reasons}", hint="Configure documents or examples.")
    return arms, left_out


def _retrieve(
    arms: tuple[str, ...],
    questions: tuple[Question, ...],
    tools: Tools,
    tell: Callable[[Event], None],
) -> dict[str, tuple[Context, float]]:
    """Return the passages of each question with the milliseconds that they took; {} if no arm reads passages."""
    found = {}
    for number, question in enumerate(questions, start=1):
        if not any(ARMS[arm].needs_passages for arm in arms):
            break
        start = perf_counter()
        context = tools.find(question.text)
        found[question.id] = context, 1000 * (perf_counter() - start)
        tell(Event("retrieve", "passages", number, len(questions)))
    return found


def _bench(
    config: Config,
    tools: Tools,
    dataset: Dataset | None,
    contexts: Mapping[str, tuple[Context, float]],
    adapters: Mapping[str, Adapter],
) -> Bench:
    return Bench(
        model=tools.load_model(),
        instruction=config.instruction,
        max_new_tokens=config.evaluate.max_new_tokens,
        contexts={question_id: context for question_id, (context, _) in contexts.items()},
        retrieval_ms={question_id: ms for question_id, (_, ms) in contexts.items()},
        examples=dataset.train if dataset else (),
        num_examples=config.evaluate.few_shot,
        adapters=adapters,
    )


def _ask_all(
    missing: list[tuple[Question, str]],
    bench: Bench,
    tools: Tools,
    config: Config,
    earlier: Mapping[tuple[str, str], Row],
    folder: Path,
    tell: Callable[[Event], None],
) -> int:
    """Append a row for each missing answer and return how many of them were asked for now."""
    num_new = 0
    warm: set[str] = set()
    for number, (question, arm) in enumerate(missing, start=1):
        request = ARMS[arm].request(question, bench)
        sha256 = _request_sha256(request, tools, config)
        known = earlier.get((question.id, sha256))
        if known is None:
            adapter = request.adapter.id if request.adapter else ""
            if adapter not in warm:  # the first answer pays for loading, so it is asked for twice
                _answer(request, tools)
                warm.add(adapter)
            answer = _answer(request, tools)
            if ARMS[arm].needs_passages:
                if not tools.is_about(question.text, bench.contexts[question.id]):
                    answer = Answer(REFUSAL, refused=True, passages=request.prompt.passages)
                answer = _with_retrieval_time(answer, bench.retrieval_ms[question.id])
            num_new += 1
        else:
            answer = known.answer
        append_row(folder, _row(question, arm, answer, sha256, config))
        tell(Event("answers", f"{arm}: {question.text}", number, len(missing)))
    return num_new


def _answer(request: Request, tools: Tools) -> Answer:
    return tools.answer(request.prompt, Path(request.adapter.path) if request.adapter else None)


def _with_retrieval_time(answer: Answer, retrieval_ms: float) -> Answer:
    usage = answer.usage
    first = None if usage.first_token_ms is None else usage.first_token_ms + retrieval_ms
    latency = usage.latency_ms + retrieval_ms
    return replace(answer, usage=replace(usage, latency_ms=latency, first_token_ms=first))


def _row(question: Question, arm: str, answer: Answer, sha256: str, config: Config) -> Row:
    attempt = Attempt(answer, question, scoring_language(config), config.evaluate.terms)
    scores = score_answer(attempt)
    what = outcome(attempt, scores[config.evaluate.score])
    return Row(question.id, arm, answer, scores, sha256, what)


def scoring_language(config: Config) -> str:
    """Return whose articles are dropped before comparing; English when the config leaves it open."""
    return "en" if config.retrieval.language == "auto" else config.retrieval.language


def _request_sha256(request: Request, tools: Tools, config: Config) -> str:
    sent = [[message.role, message.content] for message in request.prompt.messages]
    passages = [passage.chunk.id for passage in request.prompt.passages]
    adapter = request.adapter.id if request.adapter else ""
    return sha256_of(
        [sent, passages, tools.model_identity, adapter, config.evaluate.max_new_tokens]
    )
