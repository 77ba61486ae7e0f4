"""LoRA adapters beside one base in memory: each answer of a batch is computed with its own one, or with none."""

import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from pericia.errors import ModelError, NotFoundError
from pericia.said import said

MAX_LOADED = 16  # the least recently used one makes room for the next
_BASE = "__base__"  # peft's name for no adapter in a mixed batch


class Adapters:
    """The base, and the adapters that were asked for lately. Not for several threads at once.

    `check` refuses a folder that does not belong to this base.
    """

    def __init__(self, base: Any, name: str, check: Callable[[Path], None]) -> None:
        self._base = base
        self._model = base
        self._name = name
        self._check = check
        self._loaded: OrderedDict[tuple[Path, int], str] = OrderedDict()
        self._num_made = 0
        self._active: str | None = None

    def load(self, folder: Path) -> None:
        """Have an adapter in memory. Raises as `forward`."""
        self._name_of(folder)

    def forward(self, folders: Sequence[Path | None], **inputs: Any) -> Any:
        """Return what the model computes; `folders[i]` is the adapter of row i of the inputs, None the bare base.

        Raises:
            NotFoundError: a folder holds no adapter. ModelError: it does not fit the base.
        """
        names = [None if folder is None else self._name_of(folder) for folder in folders]
        if not self._loaded:
            return self._base(**inputs)
        if len(set(names)) == 1:
            self._activate(names[0])
            return self._model(**inputs)
        self._activate(next(name for name in names if name is not None))
        mixed = [name or _BASE for name in names]
        return self._model(adapter_names=mixed, **inputs)

    def _activate(self, name: str | None) -> None:
        if name == self._active:
            return
        if name is None:
            self._model.base_model.disable_adapter_layers()
        else:
            self._model.base_model.enable_adapter_layers()
            self._model.set_adapter(name)
        self._active = name

    def _name_of(self, folder: Path) -> str:
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            if not (folder / file).exists():
                hint = said("Train it again, or mend the path.")
                raise NotFoundError(
                    said(
                        "'%(folder)s' is no adapter: it has no %(file)s.", folder=folder, file=file
                    ),
                    hint=hint,
                )
        # weights that were trained anew in the same place are another adapter
        key = folder.resolve(), (folder / "adapter_model.safetensors").stat().st_mtime_ns
        if key in self._loaded:
            self._loaded.move_to_end(key)
            return self._loaded[key]
        self._check(folder)
        name = f"adapter{self._num_made}"
        self._num_made += 1
        try:
            with warnings.catch_warnings():  # peft uses an old name of transformers
                warnings.filterwarnings("ignore", ".*gradient_checkpointing. is dep", FutureWarning)
                # `_complete` mends what this warns of.
                warnings.filterwarnings("ignore", ".*to a meta parameter", UserWarning)
                # Not at the top: peft takes seconds to import, and most answers need no adapter.
                from peft import PeftModel

                if isinstance(self._model, PeftModel):
                    self._model.load_adapter(folder, name)
                else:
                    self._model = PeftModel.from_pretrained(self._base, folder, adapter_name=name)
                    self._active = name
            _complete(self._model, folder, name)
        except (SafetensorError, OSError, ValueError, RuntimeError) as error:
            reason = str(error).strip().split("\n")[0]
            text = said(
                "The adapter in '%(folder)s' does not fit '%(name)s': %(reason)s",
                folder=folder,
                name=self._name,
                reason=reason,
            )
            raise ModelError(text, hint=said("Train it again on this base model.")) from error
        self._model.eval()
        self._loaded[key] = name
        return name

    def make_room(self, in_use: Sequence[Path | None]) -> None:
        """Drop the adapters used least recently, above `MAX_LOADED`, that nobody needs now."""
        needed = {folder.resolve() for folder in in_use if folder is not None}
        for key in list(self._loaded):
            if len(self._loaded) <= MAX_LOADED:
                return
            if key[0] not in needed and self._loaded[key] != self._active:
                self._model.delete_adapter(self._loaded.pop(key))


def _complete(model: Any, folder: Path, name: str) -> None:
    """Write an adapter's weights a second time where they did not arrive.

    While another thread loads a model, new layers may be made on the meta device, where a copy is lost in silence, and
    are then given memory with anything in it: the adapter would answer, and nonsense.
    """
    import torch
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    wanted = load_file(folder / "adapter_model.safetensors")
    for _ in range(2):
        held = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
        if all(
            not weight.is_meta and torch.equal(weight.cpu().float(), wanted[key].float())
            for key, weight in held.items()
        ):
            return
        # Put in place of what is there, because into the meta device nothing can be copied.
        set_peft_model_state_dict(model, wanted, adapter_name=name, low_cpu_mem_usage=True)
    raise ValueError(said("its weights do not stay where they are put"))
