"""Verbs of river 3: run, recommend."""

from typing import Annotated

import typer

from pericia.cli.app import CONFIG, AsJson, ConfigFile, ConfigPath, app, open_workspace
from pericia.terminal.report import report_blocks
from pericia.terminal.screen import bars, show


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

    config, workspace = open_workspace(config_path or config_file)
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

    _, workspace = open_workspace(config_file)
    folder = workspace.runs / run_id if run_id else latest_run(workspace.runs)
    report = recompute(folder)
    write_report(report, folder)
    html = folder / "report.html"
    show(as_json, report_json(report, html), report_blocks(report, html))
