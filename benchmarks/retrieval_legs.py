"""How often search brings the right document: each leg alone, and both as pericia weighs them by itself."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from pericia.config import load_config
from pericia.evaluate.tools import open_tools
from pericia.library import Library, open_library
from pericia.retrieve import fuse, search
from pericia.workspace import Workspace

Asked = Sequence[tuple[str, str]]  # question, source of its document


def open_chosen(folder: Path) -> Library:
    """Return the workspace's index, brought up to date, with the legs chosen on its examples as `pericia run` does."""
    config, workspace = load_config(folder / "pericia.yaml"), Workspace(folder)
    open_tools(
        config, workspace, lambda message, *_: print(message) if "chosen" in message else None
    )
    return open_library(workspace, config)


def legs_of(library: Library) -> dict[str, float]:
    """Return the weights of the dense leg to be compared, by name."""
    chosen = {"lexical": 0.0, "dense": 1.0}.get(
        library.settings.legs, library.settings.dense_weight
    )
    return {"lexical": 0.0, "dense": 1.0, f"chosen: {chosen:g} dense": chosen}


def show_legs(library: Library, parts: dict[str, Asked]) -> None:
    """Print hit@1, hit@5 and mean reciprocal rank of the right document, a line a leg, three columns a part."""
    both = library.settings.model_copy(update={"legs": "hybrid"})
    weights = legs_of(library)

    @cache
    def ranks_of(question: str, gold: str) -> list[int]:
        found = search(
            question,
            store=library.store,
            embedder=library.embedder,
            settings=both,
            language=library.language_of(question),
        )
        fused = [fuse(found, weight) for weight in weights.values()]
        return [rank_of(gold, [passage.chunk.source for passage in one]) for one in fused]

    ranks = [[ranks_of(*asked) for asked in part] for part in parts.values()]
    show_header(parts)
    for place, name in enumerate(weights):
        show_line(f"pericia, {name}", [[one[place] for one in part] for part in ranks])


def show_header(parts: dict[str, Asked]) -> None:
    print(f"{'':26}" + "".join(f"{f'{name} {len(asked)}':>24}" for name, asked in parts.items()))
    print(f"{'':26}" + f"{'hit@1':>8}{'hit@5':>8}{'MRR':>8}" * len(parts))


def show_line(name: str, ranks: Sequence[Sequence[int]]) -> None:
    cells = ""
    for one in ranks:
        hits = sum(r == 1 for r in one), sum(0 < r <= 5 for r in one), sum(1 / r for r in one if r)
        cells += "".join(f"{value / len(one):8.3f}" for value in hits)
    print(f"{name:26}{cells}", flush=True)


def rank_of(gold: str, sources: Sequence[str]) -> int:
    """Return the position of the document from 1, 0 when it was not found; a document counts once."""
    unique = list(dict.fromkeys(sources))
    return unique.index(gold) + 1 if gold in unique else 0
