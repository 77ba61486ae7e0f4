"""Verbs of river 2 before and during training: check, plan, train."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from pericia.cli.app import CONFIG, AsJson, ConfigFile, app, open_workspace
from pericia.terminal.screen import bars, notes, screen, show
from pericia.terminal.training import (
    autotrain_table,
    check_lines,
    embedder_lines,
    remote_lines,
    trained_lines,
    tuned_lines,
)
from pericia.workspace import Workspace


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

    config, _ = open_workspace(config_file, config_needed=False)
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
    config, workspace = open_workspace(chosen)
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
