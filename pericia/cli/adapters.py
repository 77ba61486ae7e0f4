"""Verbs of river 2 after training: models, export."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from pericia.cli.app import CONFIG, AsJson, ConfigFile, app, open_workspace
from pericia.terminal.screen import notes, show
from pericia.terminal.training import adapter_lines, comparison_lines


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

    _, workspace = open_workspace(config_file, config_needed=False)
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

    config, workspace = open_workspace(config_file)
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
