"""A training by itself, outside the comparison of arms: AutoTrain's file, from a parent on, or at a remote service."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from pericia import answer, models
from pericia.autotrain import Translation
from pericia.config import Config, TrainConfig
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
from pericia.library import open_library
from pericia.recast import Columns
from pericia.train import train
from pericia.trainers import load_remote
from pericia.types import (
    Adapter,
    Context,
    Dataset,
    Export,
    Finding,
    Message,
    RemoteModel,
    TrainEvent,
)
from pericia.workspace import Workspace, lock, sha256_of

_SENT = {  # keys of `train` that a service hears of, or that are done here
    "trainer",
    "base_url",
    "objective",
    "epochs",
    "batch_size",
    "learning_rate_multiplier",
    "dpo_beta",
    "seed",
    "validation_share",
}
_BEGINNING = 200  # letters
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
        folder = workspace.state / "exports" / f"{adapter.id}-merged"
        merged = export(adapter, "merged", folder, gate_prompts(dataset))
    return Tuned(adapter, findings, merged)


def train_on(
    parent: Adapter,
    config: Config,
    workspace: Workspace,
    on_event: Callable[[TrainEvent], None] | None = None,
) -> Adapter:
    """Return the adapter that goes on from `parent` with the examples and settings of a config, of the same kind.

    Raises:
        ConfigError: no examples. Else as `read_dataset`, `open_library` and `train.train`.
    """
    if config.examples is None:
        hint = "Name a file of solved examples."
        raise ConfigError("No examples are configured (key 'examples').", hint=hint)
    dataset, _ = read_dataset(config, workspace)
    reads = parent.kind == "rag_fine_tuned"
    return train(
        dataset,
        base=config.model,
        kind=parent.kind,
        settings=config.train,
        instruction=config.instruction,
        folder=workspace.adapters,
        find=_search(config, workspace) if reads else None,
        on_event=on_event,
        parent=parent,
    )


def _search(config: Config, workspace: Workspace) -> Callable[[str], Context]:
    library, model = open_library(workspace, config), models.load(config.model)
    most = config.evaluate.max_new_tokens

    def find(question: str) -> Context:
        room = answer.room_for_passages(question, model, config.instruction, most)
        return answer.find(question, library, answer.text_counter(model), room_tokens=room)

    return find


def gate_prompts(dataset: Dataset) -> list[tuple[Message, ...]]:
    """Return validation examples up to the answer, which an export is compared on; plain texts ask by their beginning.

    Example:
        >>> from pericia.types import Example
        >>> text = Example((Message("assistant", "The kiln runs at 900 degrees."),), "e1", 1)
        >>> gate_prompts(Dataset((), (text,), ""))[0][0].role
        'user'
    """
    return [
        (Message("user", e.answer[:_BEGINNING]),) if e.is_text else e.messages[:-1]
        for e in dataset.validation[:GATE_PROMPTS]
    ]


def held_out_prompts(config: Config, workspace: Workspace) -> list[tuple[Message, ...]]:
    """Return the prompts of `gate_prompts` for the examples of a config, as the arm `prompt` asks.

    Raises:
        ConfigError: no examples. Else as `read_dataset`.
    """
    if config.examples is None:
        hint = "Name a file of held-out questions, or of solved examples (key 'examples')."
        raise ConfigError("No questions are configured (key 'questions').", hint=hint)
    dataset, _ = read_dataset(config, workspace)
    return gate_prompts(closed_book(dataset, config.instruction))


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


def left_to_the_service(settings: TrainConfig) -> tuple[str, ...]:
    """Return the keys of `train` that were set and are no setting of a remote training: the service chooses them itself.

    Example:
        >>> left_to_the_service(TrainConfig(trainer="openai", epochs=3, learning_rate=1e-4, rank=8))
        ('train.learning_rate', 'train.rank')
    """
    return tuple(f"train.{name}" for name in sorted(settings.model_fields_set - _SENT))


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
