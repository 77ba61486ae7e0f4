"""Verbs that show what was made: serve, demo."""

from pathlib import Path
from typing import Annotated

import typer

from pericia.cli.app import CONFIG, ConfigFile, app, open_workspace
from pericia.cli.documents import add, ask
from pericia.cli.measuring import run
from pericia.errors import NotFoundError
from pericia.terminal.screen import screen

EXAMPLE = Path(__file__).parents[2] / "examples" / "ostermill"
DEMO_QUESTIONS = (
    "At what pressure does PX-40 work?",
    "What is the cause of F-104?",
    "Who won the chess world cup?",
)


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="Port.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Address; another than loopback needs a key.")
    ] = "127.0.0.1",
    config_file: ConfigFile = CONFIG,
) -> None:
    """Serve the web page, and the arms as models behind OpenAI's API at /v1.

    Example: pericia serve --port 8000
    """
    from pericia import lookup

    config, workspace = open_workspace(config_file, config_needed=False)
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
    _, workspace = open_workspace(config_file)
    readers = [a.id for a in registry.adapters(workspace.adapters) if a.kind == "rag_fine_tuned"]
    screen.print("Asked of the adapter that was trained to read passages.")
    for question in DEMO_QUESTIONS:
        screen.print(f"[cyan]{question}[/]")
        ask(question, config_file=config_file, adapter=readers[-1] if readers else None)
