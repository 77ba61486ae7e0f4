"""A training by itself, outside the comparison of arms: AutoTrain's file here, or our data at a remote service."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from pericia.autotrain import Translation
from pericia.config import Config
from pericia.dataset import (
    check_objective,
    closed_book,
    make_dataset,
    read_dataset,
    read_examples,
    stop_at_errors,
)
from pericia.errors import ConfigError
from pericia.export import export
from pericia.recast import Columns
from pericia.train import train
from pericia.trainers import load_remote
from pericia.types import Adapter, Dataset, Export, Finding, RemoteModel, TrainEvent
from pericia.workspace import Workspace, lock, sha256_of

GATE_PROMPTS = 50  # of the validation split, for the parity of a merged copy


@dataclass(frozen=True, slots=True)
class Tuned:
    """What an AutoTrain file came to; `merged` is the copy that it asked for, if it did."""

    adapter: Adapter
    findings: tuple[Finding, ...]
    merged: Export | None = None


def read_autotrain_data(translation: Translation) -> tuple[Dataset, tuple[Finding, ...]]:
    """Return the data set that an AutoTrain file names, its validation split honoured, and what was found in it.

    Raises:
        InputError: a split is missing, empty or has faults; or as `make_dataset`.
    """
    source = translation.data
    columns = _columns(translation)
    is_chat = translation.settings.objective != "text"  # else the text is trained as it stands
    examples, findings = read_examples(source.train_name, columns, reads_markers=is_chat)
    stop_at_errors(findings, source.train_name)
    others = None
    if source.validation_name is not None:
        others, also = read_examples(source.validation_name, columns, reads_markers=is_chat)
        stop_at_errors(also, source.validation_name)
        findings = (*findings, *also)
    settings = translation.settings
    check_objective((*examples, *(others or ())), settings.objective, source.train_name)
    dataset = make_dataset(
        examples,
        validation_share=settings.validation_share,
        seed=settings.seed,
        validation=others,
    )
    return dataset, (*findings, *dataset.findings)


def train_autotrain(
    translation: Translation,
    workspace: Workspace,
    on_event: Callable[[TrainEvent], None] | None = None,
) -> Tuned:
    """Return the adapter that an AutoTrain file asks for, its chats trained as they are; nothing is uploaded.

    Raises:
        ConfigError: a key is refused that the training depends on. Else as `read_autotrain_data` and `train.train`.
    """
    translation.check()
    dataset, findings = read_autotrain_data(translation)
    adapter = train(
        dataset,
        base=translation.base,
        kind="fine_tuned",
        settings=translation.settings,
        instruction=None,
        folder=workspace.adapters,
        on_event=on_event,
    )
    merged = None
    if translation.merge:
        prompts = [example.messages[:-1] for example in dataset.validation[:GATE_PROMPTS]]
        folder = workspace.state / "exports" / f"{adapter.id}-merged"
        merged = export(adapter, "merged", folder, prompts)
    return Tuned(adapter, findings, merged)


def train_remote(
    config: Config,
    workspace: Workspace,
    *,
    may_upload: bool,
    on_event: Callable[[TrainEvent], None] | None = None,
) -> RemoteModel:
    """Return the model that a service has trained on the examples of a config, asked as the arm `prompt` asks.

    Raises:
        ConfigError: no examples, or they may not leave this computer. Else as `read_dataset` and
            `trainers.RemoteTrainer.train`.
    """
    settings = config.train
    if config.examples is None:
        hint = "Name a file of solved examples."
        raise ConfigError("No examples are configured (key 'examples').", hint=hint)
    if not may_upload and not _is_here(settings.base_url):
        where = settings.base_url or f"the service of '{settings.trainer}'"
        raise ConfigError(
            f"train.trainer is '{settings.trainer}', which would send {config.examples} to {where}.",
            hint="If that is what you want: pericia train --upload",
            param="train.trainer",
        )
    dataset, _ = read_dataset(config, workspace)
    book = closed_book(dataset, config.instruction)
    base = config.model.partition(":")[2] or config.model
    folder = workspace.state / "remote" / sha256_of([book.sha256, base, settings.model_dump()])[:12]
    with lock(folder, "remote training"):
        trainer = load_remote(settings.trainer, settings.base_url)
        return trainer.train(book, base, settings, folder, suffix=config.name, on_event=on_event)


def _is_here(url: str | None) -> bool:
    """Return whether an address is of this computer."""
    host = urlsplit(url or "").hostname
    return host is not None and (host == "localhost" or host == "::1" or host.startswith("127."))


def _columns(translation: Translation) -> Columns:
    """Return AutoTrain's column names as ours: its text column holds a text, a chat, or the better answer."""
    source = translation.data
    if translation.settings.objective == "dpo":
        return Columns(
            question=source.prompt_column or "",
            answer=source.text_column,
            rejected=source.rejected_column or "rejected",
        )
    return Columns(text=source.text_column)
