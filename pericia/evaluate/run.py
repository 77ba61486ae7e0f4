"""River 3: questions -> arms -> scores -> statistics -> report -> recommendation.

    read         held-out questions; how small a difference they can show    collect, stats
    collect      examples, checked against the questions for leaks           collect
    open         the arms, each with its model and index                     lanes
    train        one adapter closed book, one with passages                  lanes, collect
    retrieve     the passages of each question, once for all arms            lanes, answer
    set beside   arms given the right passage, or part of the examples       lanes
    ask          every arm, question by question, a row each                 arms, scores, records
    probe        what training has unlearnt, and the loss on the users' texts  probes
    judge        another model reads the answers, if the config names one    judge
    report       means, intervals, verdicts, the advice, three files         report, recommend

A run is identified by everything that its answers depend on. The same run again does nothing; a run that was killed
goes on behind its last whole row; another run takes over answers to requests that are the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pericia.config import Config
from pericia.evaluate.arms import Bench, Request
from pericia.evaluate.collect import (
    Event,
    collect_examples,
    collect_questions,
    given_away,
    same_facts,
)
from pericia.evaluate.families import (
    join_families,
    named_documents,
    near_duplicates,
    twins_in_words,
)
from pericia.evaluate.identity import Found, describe, facts_of_adapter, identify
from pericia.evaluate.judge import (
    append_judgement,
    judge_rows,
    open_judge,
    read_judgements,
    read_labels,
)
from pericia.evaluate.lanes import Lane, open_lanes, set_benches, set_side_benches, side_lanes
from pericia.evaluate.power import detectable_in_words
from pericia.evaluate.probes import probe
from pericia.evaluate.records import (
    RunRecord,
    answers_of_other_runs,
    append_row,
    earlier_looks,
    looks_in_words,
    read_record,
    read_rows,
    repair_lines,
    write_record,
)
from pericia.evaluate.report import recompute, write_report
from pericia.evaluate.scores import outcome, score_answer
from pericia.evaluate.sourcing import Attempt
from pericia.evaluate.tools import Tools, open_tools
from pericia.machine import peak_memory_bytes
from pericia.prompts import REFUSAL
from pericia.registry import find_adapter
from pericia.types import Answer, Question, Report, Row
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
    open_more: Callable[[Config], Tools] | None = None,
) -> RunResult:
    """Return the whole main job's result, doing only what has not been done.

    `tools` are opened from the config, and those of arms with another model or embedder by `open_more`.

    Raises:
        InputError: questions or examples have faults, or examples give questions away; nothing is written then.
        ConflictError: another run is at work here.
    """
    tell = on_event or (lambda event: None)

    def open_(own: Config) -> Tools:
        arm = "" if own.embedder == config.embedder else own.embedder
        there = replace(workspace, arm=arm)
        return open_tools(own, there, lambda m, d, t: tell(Event("documents", m, d, t)))

    # Before the documents are opened, so that a fault in the files is told before anything is written.
    questions = collect_questions(config, workspace, ())
    dataset, findings = collect_examples(config, workspace, questions)
    tools = tools or open_(config)
    with lock(workspace.runs, "run"):
        questions = collect_questions(config, workspace, tools.sources)
        twins = near_duplicates(tools.texts(named_documents(questions, dataset, tools.sources)))
        questions = join_families(questions, twins)
        tainted = given_away(dataset, questions) if config.evaluate.on_leak == "show" else {}
        lanes, left_out = open_lanes(
            config, tools, dataset, open_more or open_, partial(find_adapter, workspace.adapters)
        )
        sides = side_lanes(lanes, dataset)
        num_pairs = len(lanes) * (len(lanes) - 1) // 2
        families = [question.family for question in questions]
        tell(Event("questions", detectable_in_words(families, num_pairs)))
        if twins:
            tell(Event("questions", twins_in_words(twins)))
        for arm, reason in left_out.items():
            tell(Event("arms", f"{arm} is left out: {reason}"))

        identity = identify(config, questions, dataset, (*lanes, *sides), tools)
        folder = workspace.runs / sha256_of(identity)[:12]
        repair_lines(folder / "rows.jsonl")
        rows = {(row.question_id, row.arm): row for row in read_rows(folder)}
        missing = [
            (question, lane)
            for question in questions
            for lane in (*lanes, *sides)
            if lane.asks(question) and (question.id, lane.name) not in rows
        ]
        before = read_record(folder).facts if (folder / "run.json").exists() else {}
        looks = earlier_looks(workspace.runs, folder, questions, identity)
        found = Found(left_out, tainted, twins, looks, same_facts(dataset, questions))
        facts = describe(
            config, identity, questions, dataset, findings, (*lanes, *sides), found, before
        )
        if said := looks_in_words(facts["looks"]):
            tell(Event("questions", said))
        arms = tuple(lane.name for lane in lanes)
        record = RunRecord(folder.name, config.model_dump(mode="json"), questions, arms, facts)
        num_new = 0
        if missing:
            benches = set_benches(lanes, questions, dataset, tell)
            record.facts["adapters"] = {
                lane.name: facts_of_adapter(benches[lane.name].adapters[lane.kind])
                for lane in lanes
                if lane.kind in benches[lane.name].adapters
            }
            write_record(folder, record)
            earlier = answers_of_other_runs(workspace.runs, but=folder)
            beside = set_side_benches(sides, benches, questions, dataset, tell)
            num_new = _ask_all(missing, {**benches, **beside}, earlier, folder, tell)
            record.facts["probes"] = facts["probes"] or probe(lanes, benches, tell)
            record.facts["peak_memory_bytes"] = max(peak_memory_bytes(), facts["peak_memory_bytes"])
        else:
            tell(Event("answers", f"Nothing has changed since run {folder.name}."))
        write_record(folder, record)
        if config.evaluate.judge.model:
            labels = _judge(config, workspace, record, tell)
            record.facts["labels"] = [[*key, right] for key, right in labels.items()]
            write_record(folder, record)
        report = recompute(folder)
        write_report(report, folder)
        tell(Event("report", report.recommendation.sentence))
    return RunResult(report, folder, num_new, len(missing) - num_new, len(rows))


# --- ask -------------------------------------------------------------------------------------------------


def _ask_all(
    missing: list[tuple[Question, Lane]],
    benches: Mapping[str, Bench],
    earlier: Mapping[tuple[str, str], Row],
    folder: Path,
    tell: Callable[[Event], None],
) -> int:
    """Append a row for each missing answer and return how many of them were asked for now."""
    num_new = 0
    warm: set[tuple[str, str]] = set()
    for number, (question, lane) in enumerate(missing, start=1):
        bench, tools = benches[lane.name], lane.tools
        request = lane.request(question, bench)
        sha256 = _request_sha256(request, lane)
        known = earlier.get((question.id, sha256))
        if known is None:
            loaded = (tools.model_identity, request.adapter.id if request.adapter else "")
            if loaded not in warm:  # the first answer pays for loading, so it is asked for twice
                _answer(request, tools)
                warm.add(loaded)
            answer = _answer(request, tools)
            if lane.needs_passages:
                if (computed := tools.compute(question.text)) is not None:
                    answer = computed
                elif lane.side != "gold" and not tools.is_about(
                    question.text, bench.contexts[question.id]
                ):
                    answer = Answer(REFUSAL, refused=True, passages=request.prompt.passages)
                answer = _with_retrieval_time(answer, bench.retrieval_ms[question.id])
            num_new += 1
        else:
            answer = known.answer
        append_row(folder, _row(question, lane, answer, sha256))
        tell(Event("answers", f"{lane.name}: {question.text}", number, len(missing)))
    return num_new


def _judge(
    config: Config, workspace: Workspace, record: RunRecord, tell: Callable[[Event], None]
) -> dict[tuple[str, str], bool]:
    """Append what the judge says of answers that it has not seen, and return the labels of people."""
    settings, folder = config.evaluate.judge, workspace.runs / record.id
    labels = read_labels(workspace.resolve(settings.labels)) if settings.labels else {}
    rows = [row for row in read_rows(folder) if row.arm in record.arms]
    repair_lines(folder / "judge.jsonl")
    known = read_judgements(folder)
    judged = judge_rows(rows, record.questions, settings, open_judge(settings), known)
    for number, judgement in enumerate(judged, start=1):
        append_judgement(folder, judgement)
        tell(Event("judge", f"{judgement.arm}: {judgement.reply.strip()[:60]}", number))
    return labels


def _answer(request: Request, tools: Tools) -> Answer:
    return tools.answer(request.prompt, Path(request.adapter.path) if request.adapter else None)


def _with_retrieval_time(answer: Answer, retrieval_ms: float) -> Answer:
    usage = answer.usage
    first = None if usage.first_token_ms is None else usage.first_token_ms + retrieval_ms
    latency = usage.latency_ms + retrieval_ms
    return replace(answer, usage=replace(usage, latency_ms=latency, first_token_ms=first))


def _row(question: Question, lane: Lane, answer: Answer, sha256: str) -> Row:
    evaluate = lane.config.evaluate
    language = scoring_language(lane.config)
    attempt = Attempt(
        answer, question, language, evaluate.terms, evaluate.pattern, evaluate.forbidden_terms
    )
    scores = score_answer(attempt)
    what = outcome(attempt, scores[evaluate.score])
    return Row(question.id, lane.name, answer, scores, sha256, what)


def scoring_language(config: Config) -> str:
    """Return whose articles are dropped before comparing; English when the config leaves it open."""
    return "en" if config.retrieval.language == "auto" else config.retrieval.language


def _request_sha256(request: Request, lane: Lane) -> str:
    sent = [[message.role, message.content] for message in request.prompt.messages]
    passages = [passage.chunk.id for passage in request.prompt.passages]
    adapter = request.adapter.id if request.adapter else ""
    limit = lane.config.evaluate.max_new_tokens
    return sha256_of([sent, passages, lane.tools.model_identity, adapter, limit])
