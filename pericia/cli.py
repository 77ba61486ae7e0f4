"""The command line: at most twelve verbs, each a thin door to a function of the rivers.

Exit codes: 0 done, 1 the run failed, 2 the input is at fault. With --json, stdout holds one JSON document and
nothing else; progress and messages go to stderr.
"""

import json
import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from pericia.config import Config, load_config, parse_config, render_config
from pericia.errors import ConfigError, InputError, NotFoundError, PericiaError
from pericia.machine import hub_answers, look_at_machine, propose_model
from pericia.terminal import (
    Asker,
    adapter_lines,
    answer_block,
    answer_json,
    autotrain_table,
    bars,
    check_lines,
    comparison_lines,
    embedder_lines,
    made_lines,
    notes,
    painted,
    remote_lines,
    report_blocks,
    screen,
    show,
    sync_lines,
    trained_lines,
    tuned_lines,
)
from pericia.workspace import Workspace, write_atomic

# The rivers are imported by the verb that needs them, so that `pericia --help` answers at once.
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Make a small language model the expert of your industry, and measure which way is best.",
)

ConfigFile = Annotated[Path, typer.Option("--config", "-c", help="The config file.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]
ConfigPath = Annotated[Path | None, typer.Argument(help="The config file.")]
CONFIG = Path("pericia.yaml")
EXAMPLE = Path(__file__).parent.parent / "examples" / "ostermill"
DEMO_QUESTIONS = (
    "At what pressure does PX-40 work?",
    "What is the cause of F-104?",
    "Who won the chess world cup?",
)


def main() -> None:
    """Run the command line and end the process; an error is two lines, what is wrong and what to do."""
    signal.signal(signal.SIGINT, _stop)
    try:
        app()
    except PericiaError as error:
        if "--json" in sys.argv:
            fault = {"message": error.message, "hint": error.hint, "param": error.param}
            print(json.dumps({"error": fault | {"code": error.code}}, ensure_ascii=False))
        notes.print(f"[bold red]Error:[/] {painted(error.message)}", soft_wrap=True)
        if error.hint:
            notes.print(escape(error.hint), soft_wrap=True)
        sys.exit(error.exit_code)


def _stop(*_: object) -> None:
    notes.print("Stopped. What was finished is kept; the same command goes on from there.")
    sys.exit(130)


@app.command()
def init(
    config_file: ConfigFile = CONFIG,
    name: Annotated[str | None, typer.Option(help="The model's name when served.")] = None,
    documents: Annotated[
        list[str] | None, typer.Option(help="A file or folder; repeat it for more.")
    ] = None,
    questions: Annotated[str | None, typer.Option(help="Held-out questions, JSONL.")] = None,
    examples: Annotated[str | None, typer.Option(help="Solved examples, JSONL.")] = None,
    goal: Annotated[str | None, typer.Option(help="What should get better.")] = None,
    data_change: Annotated[
        str | None, typer.Option(help="never, yearly, monthly, weekly, daily.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Base model; by default one that fits here.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing: flags and defaults.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Only show every key, explained.")
    ] = False,
) -> None:
    """Write a commented pericia.yaml, with a base model that fits this machine.

    Example: pericia init --name pumps --documents manuals --yes
    """
    if explain:
        print(render_config({}), end="")
        return
    if config_file.exists():
        raise ConfigError(
            f"'{config_file}' exists already.", hint="Edit it, or give another --config."
        )
    machine = look_at_machine()
    proposal = propose_model(machine, hub_answers())
    notes.print(f"This machine: {machine}.")
    ask = Asker(quiet=yes or not sys.stdin.isatty())
    chosen: dict[str, Any] = {
        "name": ask("Name of the expert", name, config_file.resolve().parent.name),
        "documents": documents or ask("Folder with the documents", None, "documents").split(),
        "questions": ask("File with held-out questions (empty: none yet)", questions, "") or None,
        "examples": ask("File with solved examples (empty: none yet)", examples, "") or None,
        "model": model or proposal.model,
        "use": {
            "goal": ask("What should get better", goal, ""),
            "data_change": ask("How often do the facts change", data_change, "yearly"),
        },
    }
    parse_config(chosen, "the answers")
    write_atomic(config_file, render_config(chosen))
    why = f": {proposal.why}" if model is None else ""
    screen.print(escape(f"Wrote {config_file}. Base model {chosen['model']}{why}."))
    screen.print('Next: pericia add, then pericia ask "…"')


@app.command()
def add(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files and folders; by default those of the config.")
    ] = None,
    config_file: ConfigFile = CONFIG,
    verify: Annotated[
        bool, typer.Option("--verify", help="Prove that files, chunks, vectors and words agree.")
    ] = False,
    examples_to: Annotated[
        Path | None,
        typer.Option(
            "--make-examples", help="Write examples to learn from, made of the documents."
        ),
    ] = None,
    most: Annotated[int, typer.Option(help="So many examples at most.")] = 200,
    writer: Annotated[
        str | None, typer.Option(help="A model that writes them; by default forms do.")
    ] = None,
    with_passages: Annotated[
        bool, typer.Option(help="Whole prompts, with passages that answer and others.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make documents searchable; only what changed is read again.

    Example: pericia add manuals prices.xlsx
    """
    from pericia import embedders, index, snapshots
    from pericia.verify import verify as prove

    config, workspace = _open(config_file, config_needed=not (paths or verify))
    chosen = [path.absolute() for path in paths or ()] or [
        workspace.resolve(path) for path in config.documents
    ]
    if not chosen and not config.tables and not verify:
        hint = "Give a path, or set the key 'documents'."
        raise ConfigError(f"'{config_file}' names no documents.", hint=hint)
    embedder = embedders.load(config.embedder)
    if verify:
        proof = prove(
            folder=workspace.index,
            store_name=config.store,
            embedder=embedder,
            settings=config.retrieval,
        )
        show(as_json, asdict(proof), map(escape, proof.faults or proof.shown))
        raise typer.Exit(1 if proof.faults else 0)
    unread = snapshots.refresh(config.tables, workspace.tables, root=workspace.root)
    chosen += [workspace.tables] if any(workspace.tables.glob("*.tsv")) else []
    if not chosen:
        raise InputError(f"No table can be read; '{unread[0][0]}': {unread[0][1]}")
    with bars() as shown:
        report = index.sync(
            chosen,
            folder=workspace.index,
            store_name=config.store,
            embedder=embedder,
            settings=config.retrieval,
            root=workspace.root,
            embedder_key=config.embedder,
            on_event=lambda e: shown.show(e.stage, e.message, e.done, e.total),
        )
    report = replace(report, skipped=(*unread, *report.skipped))
    if examples_to is not None:
        from pericia import tune_examples as drafting

        made = drafting.write_examples(
            examples_to, config, workspace, most, writer, with_passages=with_passages
        )
        show(as_json, asdict(report) | {"examples": made}, [*sync_lines(report), *made_lines(made)])
        return
    show(as_json, asdict(report), sync_lines(report))


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="The question.")],
    config_file: ConfigFile = CONFIG,
    model: Annotated[
        str | None, typer.Option(help="Instead of the config's: quote, a folder, a hub name.")
    ] = None,
    adapter: Annotated[
        str | None, typer.Option(help="An adapter's id, see: pericia models.")
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(help="Use only what this group may read; repeat it for more."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Answer from the documents, with citations that were checked in the sources.

    Example: pericia ask "At what pressure does PX-20 work?" --model quote
    """
    from pericia import answer as answering
    from pericia import models, registry
    from pericia.library import open_library

    config, workspace = _open(config_file, config_needed=False)
    library = open_library(workspace, config)
    reply = answering.answer(
        question,
        library,
        models.load(model or config.model),
        instruction=config.instruction,
        max_new_tokens=config.evaluate.max_new_tokens,
        adapter=Path(registry.find_adapter(workspace.adapters, adapter).path) if adapter else None,
        groups=group,
    )
    show(as_json, answer_json(reply), [answer_block(reply)])


@app.command()
def check(
    source: Annotated[
        str, typer.Argument(help="Examples: a file, a folder, or owner/name:split of a hub.")
    ],
    config_file: ConfigFile = CONFIG,
    model: Annotated[
        str | None, typer.Option(help="Measure the rows as training on this model would.")
    ] = None,
    validation: Annotated[str | None, typer.Option(help="A validation split of its own.")] = None,
    questions: Annotated[
        Path | None, typer.Option(help="Held-out questions that no example may give away.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help='A column\'s part, such as question="Tone of: {phrase}"; repeat it.'),
    ] = None,
    price: Annotated[float | None, typer.Option(help="USD a million trained tokens.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show every fault, duplicate, leak and contradiction of training data, with line numbers.

    Example: pericia check examples.jsonl --model pericia-nano --questions questions.jsonl
    """
    from pericia import check as checking
    from pericia.evaluate.questions import read_questions

    config, _ = _open(config_file, config_needed=False)
    report = checking.check(
        source,
        columns=checking.parse_columns(column or (), config.columns),
        validation=validation,
        questions=read_questions(questions) if questions else (),
        base=model,
        settings=config.train,
        usd_per_million_tokens=price,
    )
    show(as_json, report.as_json(), check_lines(report))
    raise typer.Exit(2 if report.num_errors else 0)


@app.command(name="plan")
def foresee(
    model: Annotated[str, typer.Argument(help="A model's name, folder or hub name.")] = "",
    method: Annotated[str, typer.Option(help="lora, qlora or full.")] = "lora",
    gpu_memory_gb: Annotated[
        float | None, typer.Option(help="Of one card; else this machine.")
    ] = None,
    context: Annotated[int, typer.Option(help="Tokens of one example.")] = 1024,
    tokens: Annotated[
        int | None, typer.Option(help="Of all epochs together, for the time on this computer.")
    ] = None,
    cards: Annotated[int, typer.Option(help="Cards to start on, with --launch.")] = 2,
    launch: Annotated[
        Path | None, typer.Option(help="Write accelerate's configs and start.sh here.")
    ] = None,
    known: Annotated[
        bool, typer.Option("--list", help="Only list the models known without a network.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Foresee memory, cards and time of a training, without weights or GPU.

    Example: pericia plan microsoft/Phi-3-mini-4k-instruct --method qlora --gpu-memory-gb 8
    """
    from pericia import plan as planning
    from pericia.launchers import write_launchers
    from pericia.shapes import known_models

    if known:
        show(as_json, {"models": known_models()}, known_models())
        return
    foreseen = planning.plan(
        model,
        method=method,
        gpu_memory_gb=gpu_memory_gb,
        context_tokens=context,
        num_tokens=tokens,
        measure_time=gpu_memory_gb is None,
    )
    files = [str(path) for path in write_launchers(foreseen, launch, cards)] if launch else []
    lines = [*foreseen.lines, *(f"wrote {file}" for file in files)]
    show(as_json, asdict(foreseen) | {"files": files}, [escape(line) for line in lines])


@app.command()
def train(
    config_path: Annotated[
        Path | None, typer.Argument(help="The config file, or one of AutoTrain's.")
    ] = None,
    config_file: ConfigFile = CONFIG,
    model: Annotated[
        str | None, typer.Option(help="Instead of the base model of AutoTrain's file.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Instead of its data.path.")] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Train here what its backend would send elsewhere.")
    ] = False,
    embedder: Annotated[
        bool, typer.Option("--embedder", help="Train the embedder instead, on the same examples.")
    ] = False,
    upload: Annotated[
        bool, typer.Option("--upload", help="Let a remote trainer have the examples.")
    ] = False,
    parent: Annotated[
        str | None, typer.Option(help="Go on from this adapter, see: pericia models.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train the adapters: one that answers alone, one that reads passages, if there are documents.

    Example: pericia train pericia.yaml
    """
    from pericia import registry, tune
    from pericia.autotrain import is_autotrain, read_autotrain
    from pericia.evaluate.collect import train_all
    from pericia.tune_embedder import train_embedder

    chosen = config_path or config_file
    if is_autotrain(chosen):
        job = read_autotrain(chosen, base=model or "", data_path=data or "", local=local)
        (notes if as_json else screen).print(autotrain_table(job.lines))
        with bars() as shown:
            tuned = tune.train_autotrain(
                job, Workspace(config_file.resolve().parent), shown.show_step
            )
        show(
            as_json,
            asdict(tuned) | {"lines": [asdict(line) for line in job.lines]},
            tuned_lines(tuned),
        )
        raise typer.Exit(1 if tuned.merged and tuned.merged.failed else 0)
    config, workspace = _open(chosen)
    with bars() as shown:
        if embedder:
            finder = train_embedder(config, workspace, shown.show_step)
            show(as_json, asdict(finder), embedder_lines(finder))
            return
        if config.train.trainer != "local":
            if left := tune.left_to_the_service(config.train):
                notes.print(f"[dim]The service chooses itself: {', '.join(left)}[/]")
            made = tune.train_remote(config, workspace, may_upload=upload, on_event=shown.show_step)
            show(as_json, asdict(made), remote_lines(made))
            return
        known = registry.find_adapter(workspace.adapters, parent) if parent else None
        trained = (
            (tune.train_on(known, config, workspace, shown.show_step),)
            if known
            else train_all(config, workspace, shown.show_event)
        )
    show(as_json, {"adapters": [asdict(a) for a in trained]}, trained_lines(trained))


@app.command()
def run(
    config_path: ConfigPath = None,
    config_file: ConfigFile = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Do the whole main job: sync, train, measure the arms, recommend. Only what changed is done.

    Example: pericia run pericia.yaml
    """
    from pericia.evaluate import run as running
    from pericia.evaluate.report import report_json

    config, workspace = _open(config_path or config_file)
    with bars() as shown:
        result = running.run(config, workspace, on_event=shown.show_event)
    show(
        as_json, report_json(result.report, result.html), report_blocks(result.report, result.html)
    )


@app.command()
def recommend(
    run_id: Annotated[
        str | None, typer.Option("--run", help="A run's id; by default the latest.")
    ] = None,
    config_file: ConfigFile = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show a run's result again, recomputed from its rows; no model is needed.

    Example: pericia recommend --run 3f2a
    """
    from pericia.evaluate.records import latest_run
    from pericia.evaluate.report import recompute, report_json, write_report

    _, workspace = _open(config_file)
    folder = workspace.runs / run_id if run_id else latest_run(workspace.runs)
    report = recompute(folder)
    write_report(report, folder)
    html = folder / "report.html"
    show(as_json, report_json(report, html), report_blocks(report, html))


@app.command(name="models")
def list_models(
    config_file: ConfigFile = CONFIG,
    compare: Annotated[
        tuple[str, str] | None, typer.Option(help="Show what differs between two adapters.")
    ] = None,
    roll_back: Annotated[
        str | None, typer.Option(help="Take an adapter back; the one before it serves again.")
    ] = None,
    restore: Annotated[str | None, typer.Option(help="List one again that was taken back.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the base models that come along and the adapters trained here; compare them, or go back to an earlier one.

    Example: pericia models --compare fine-tuned-3f2a fine-tuned-91bc
    """
    from pericia import models, registry

    _, workspace = _open(config_file, config_needed=False)
    folder = workspace.adapters
    if compare:
        found = registry.compare(*(registry.find_adapter(folder, id_) for id_ in compare))
        show(as_json, asdict(found), comparison_lines(found))
        return
    if roll_back or restore:
        one = (
            registry.roll_back(folder, roll_back)
            if roll_back
            else registry.restore(folder, restore or "")
        )
        show(
            as_json,
            asdict(one),
            [f"[bold]{one.id}[/] is the newest {one.kind} of {escape(one.base)} now."],
        )
        return
    adapters = registry.adapters(folder)
    value = {"models": sorted(models.MODELS), "adapters": [asdict(adapter) for adapter in adapters]}
    lines = [f"{name}  [dim]comes along[/]" for name in sorted(models.MODELS)]
    show(as_json, value, [*lines, *adapter_lines(adapters)])


@app.command(name="export")
def export_adapter(
    adapter: Annotated[str, typer.Argument(help="An adapter's id, see: pericia models.")],
    target: Annotated[str, typer.Option("--to", help="merged, gguf or ollama.")],
    folder: Annotated[Path, typer.Option("--folder", help="Where it goes.")],
    precision: Annotated[
        str, typer.Option(help="merged: fp32, bf16, fp16; gguf and ollama: f16, q8_0, f32, bf16.")
    ] = "",
    config_file: ConfigFile = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Write an adapter as a model of its own, and prove on held-out questions that it answers the same.

    Example: pericia export fine-tuned-3f2a --to gguf --precision q8_0 --folder out
    """
    from pericia import export as exporting
    from pericia import registry, tune
    from pericia.evaluate.collect import held_out_chats

    config, workspace = _open(config_file)
    ask_of = held_out_chats if config.questions else tune.held_out_prompts
    prompts = ask_of(config, workspace)
    known = registry.find_adapter(workspace.adapters, adapter)
    written = exporting.export(
        known,
        target,
        folder,
        prompts,
        precision=precision,
        on_step=lambda step: notes.print(f"[dim]{escape(step)}[/]"),
    )
    verdict = "[red]failed the parity gate[/]" if written.failed else "passed the parity gate"
    show(as_json, asdict(written), [f"{escape(written.path)} {verdict}"])
    raise typer.Exit(1 if written.failed else 0)


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="Port.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Address; another than loopback needs a key.")
    ] = "127.0.0.1",
    config_file: ConfigFile = CONFIG,
) -> None:
    """Serve the arms as models behind OpenAI's API at /v1.

    Example: pericia serve --port 8000
    """
    from pericia import lookup

    config, workspace = _open(config_file, config_needed=False)
    lookup.load_object({"app": "pericia.server.app:serve"}, "app", "server")(
        config, workspace, port, host
    )


@app.command()
def demo(folder: Annotated[Path, typer.Argument(help="The example company.")] = EXAMPLE) -> None:
    """Run the main job on the example company: answers with citations, five arms, a recommendation.

    Example: pericia demo
    """
    from pericia import registry

    config_file = folder / "pericia.yaml"
    if not config_file.exists():
        raise NotFoundError(
            f"There is no example in '{folder}'.",
            hint="It lies in examples/ of a clone of the project.",
        )
    screen.rule("1  Documents become searchable")
    add(config_file=config_file)
    screen.rule("2  Five arms on the same held-out questions")
    run(config_file=config_file)
    screen.rule("3  Answers with citations that were checked")
    _, workspace = _open(config_file)
    readers = [a.id for a in registry.adapters(workspace.adapters) if a.kind == "rag_fine_tuned"]
    screen.print("Asked of the adapter that was trained to read passages.")
    for question in DEMO_QUESTIONS:
        screen.print(f"[cyan]{question}[/]")
        ask(question, config_file=config_file, adapter=readers[-1] if readers else None)


def _open(config_file: Path, *, config_needed: bool = True) -> tuple[Config, Workspace]:
    """Return config and workspace; without a file, where none is needed, the defaults in this folder."""
    exists = config_file.exists() or config_needed or config_file != CONFIG
    config = load_config(config_file) if exists else Config()
    return config, Workspace(config_file.resolve().parent)
