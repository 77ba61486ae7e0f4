"""What all verbs share: the app, the options, the workspace, and errors that end the process."""

import json
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from pericia.config import Config, load_config
from pericia.errors import PericiaError
from pericia.terminal.screen import notes, painted
from pericia.workspace import Workspace

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


def open_workspace(config_file: Path, *, config_needed: bool = True) -> tuple[Config, Workspace]:
    """Return config and workspace; without a file, where none is needed, the defaults in this folder."""
    exists = config_file.exists() or config_needed or config_file != CONFIG
    config = load_config(config_file) if exists else Config()
    return config, Workspace(config_file.resolve().parent)
