"""The five arms of one industry as the server asks them: what `pericia run` measured, question by question.

Index, adapters, examples and advice are looked up when they are needed and again when they have changed on disk.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from pericia import registry
from pericia.answer import Prepared, checked, prepare, read_reply
from pericia.config import ARM_NAMES, Config
from pericia.dataset import read_dataset
from pericia.errors import NotFoundError, PericiaError
from pericia.evaluate.arms import ARMS, Bench
from pericia.evaluate.records import latest_run, read_record
from pericia.evaluate.report import recompute
from pericia.evaluate.tools import is_tunable
from pericia.library import Library, open_library
from pericia.models import Model
from pericia.prompts import PROMPTS_VERSION
from pericia.server.choice import read_choice
from pericia.server.served import ArmRoom, Asked
from pericia.types import Adapter, Answer, Example, Generation, Message, Question
from pericia.understand import Understood
from pericia.workspace import Workspace, sha256_of, sha256_of_file


class Industry(ArmRoom):
    """See `ArmRoom`."""

    def __init__(self, config: Config, workspace: Workspace) -> None:
        self._config = config
        self._workspace = workspace
        self._opened: tuple[int, Library] | None = None
        self._advice: tuple[int, str] | None = None
        self._indexed: tuple[int, str] | None = None

    def arms(self) -> tuple[str, ...]:
        """See `ArmRoom.arms`."""
        adapters = self._adapters()
        able = []
        for name in ARM_NAMES:
            arm = ARMS[name]
            if (
                (not arm.needs_passages or self._changed_at() > 0)
                and (not arm.is_tuned or name in adapters)
                and (name != "few_shot" or self._config.examples is not None)
            ):
                able.append(name)
        return tuple(able)

    def recommended(self) -> str:
        """Return the arm that was chosen after the last whole run, else the one that it advises.

        Without a run, `rag` if there are documents, else `prompt`.
        """
        able = self.arms()
        usual = "rag" if "rag" in able else "prompt"
        advised = self._chosen() or self._advised()
        return advised if advised in able else usual

    def state(self, arm: str) -> str:
        """See `ArmRoom.state`."""
        config = self._config
        parts: list[object] = [PROMPTS_VERSION, config.instruction, config.evaluate.max_new_tokens]
        kind = ARMS.get(arm)
        if kind is not None and kind.needs_passages:
            parts += [config.retrieval.model_dump(), config.embedder, self._index_sha256()]
        if kind is not None and kind.is_tuned and arm in (adapters := self._adapters()):
            parts.append(adapters[arm].path)
        if arm == "few_shot" and config.examples is not None:
            parts += [config.evaluate.few_shot, config.examples, config.train.seed]
        return sha256_of(parts)

    def ask(
        self,
        arm: str,
        question: str,
        instruction: str,
        model: Model,
        history: Sequence[Message] = (),
    ) -> Asked:
        """See `ArmRoom.ask`."""
        kind = ARMS[arm]
        instruction = instruction or self._config.instruction
        max_new_tokens = self._config.evaluate.max_new_tokens
        library = self.library() if kind.needs_passages else None
        asked = Prepared(Understood(question))
        if library is not None:
            asked = prepare(
                question,
                library,
                model,
                instruction=instruction,
                max_new_tokens=max_new_tokens,
                history=history,
                sent=history,
            )
        bench = Bench(
            model=model,
            instruction=instruction,
            max_new_tokens=max_new_tokens,
            contexts={"asked": asked.context},
            examples=self._examples if arm == "few_shot" else (),
            num_examples=self._config.evaluate.few_shot,
            adapters=self._adapters(),
        )
        request = kind.request(Question("asked", asked.understood.question, ()), bench)
        adapter = Path(request.adapter.path) if request.adapter else None

        def cite(said: Generation) -> Answer:
            answer = read_reply(said, request.prompt)
            if library is None:
                return answer
            return asked.understood.explain(checked(answer, library))

        return Asked(request.prompt, adapter, max_new_tokens, cite, asked.settled)

    def library(self) -> Library:
        """See `ArmRoom.library`; it is opened again when it has changed."""
        changed_at = self._changed_at()
        if self._opened is None or self._opened[0] != changed_at:
            # Callers read what is open to everybody, and what the groups that the config gives them may read.
            groups = self._config.serve.groups if self._config.retrieval.access else None
            opened = open_library(self._workspace, self._config, groups=groups)
            self._opened = changed_at, opened
        return self._opened[1]

    def _changed_at(self) -> int:
        """Return when the index was last written, 0 without one; files are looked at, nothing is loaded."""
        index = self._workspace.index
        written = [*index.glob("*/catalogue.json"), *index.glob("*/whole.json")]
        return max((path.stat().st_mtime_ns for path in written), default=0)

    def _index_sha256(self) -> str:
        """Return the hash of what is indexed, read again when the index has been written."""
        changed_at = self._changed_at()
        if self._indexed is None or self._indexed[0] != changed_at:
            files = self._workspace.index.glob("*/catalogue.json")
            self._indexed = changed_at, sha256_of([sha256_of_file(path) for path in sorted(files)])
        return self._indexed[1]

    def _adapters(self) -> dict[str, Adapter]:
        """Return the adapter of each tuned arm: the one that was measured last, else the newest on this base."""
        if not is_tunable(self._config.model):
            return {}
        every = [
            a for a in registry.adapters(self._workspace.adapters) if a.base == self._config.model
        ]
        chosen: dict[str, Adapter] = {adapter.kind: adapter for adapter in every}
        by_id = {adapter.id: adapter for adapter in every}
        try:
            record = read_record(latest_run(self._workspace.runs))
        except NotFoundError:
            return chosen
        for kind, facts in record.facts.get("adapters", {}).items():
            if facts.get("id") in by_id:
                chosen[kind] = by_id[facts["id"]]
        return chosen

    def _chosen(self) -> str:
        try:
            made = read_choice(latest_run(self._workspace.runs))
        except PericiaError:
            return ""
        return made.arm if made else ""

    def _advised(self) -> str:
        try:
            folder = latest_run(self._workspace.runs)
            rows = folder / "rows.jsonl"
            changed_at = rows.stat().st_mtime_ns if rows.exists() else 0
            if self._advice is None or self._advice[0] != changed_at:
                self._advice = changed_at, recompute(folder).recommendation.arm
            return self._advice[1]
        except PericiaError:  # no run, or none that has ended: there is no advice yet
            return ""

    @cached_property
    def _examples(self) -> tuple[Example, ...]:
        """Return the examples that the arm few_shot may show: the training part, as in a run."""
        if self._config.examples is None:
            return ()
        made, _ = read_dataset(self._config, self._workspace)
        return made.train
