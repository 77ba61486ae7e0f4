"""Verbs of river 1: init, add, ask."""

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from pericia.cli.app import CONFIG, AsJson, ConfigFile, app, open_workspace
from pericia.config import parse_config, render_config
from pericia.errors import ConfigError, InputError
from pericia.machine import hub_answers, look_at_machine, propose_model
from pericia.terminal.answers import answer_block, answer_json, sync_lines
from pericia.terminal.screen import Asker, bars, notes, screen, show
from pericia.terminal.training import made_lines
from pericia.workspace import write_atomic


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
    from pericia.summaries import summarist
    from pericia.verify import verify as prove

    config, workspace = open_workspace(config_file, config_needed=not (paths or verify))
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
            summarist=summarist(config.retrieval.summaries, config.model, config.serve.upstream),
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

    config, workspace = open_workspace(config_file, config_needed=False)
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
