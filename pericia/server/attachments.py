"""Vector stores that requests make: each is an index of its own, filled with uploaded files one after another.

A file is copied to `stores/STORE/files/FILE/NAME` and read by the same code as the industry's documents. What is not
read yet is in the ledger as `in_progress`, so a server that was killed goes on where it was.
"""

import logging
import shutil
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from pericia.catalogue import Catalogue, read_catalogue
from pericia.config import Config
from pericia.embedders import Embedder
from pericia.errors import ConflictError, InputError, NotFoundError, PericiaError
from pericia.index import index_folder, open_store, sync
from pericia.jobs import AttachedFile, Ledger, StoredFile, StoreRecord
from pericia.library import Library
from pericia.retrieve import retrieve, with_legs
from pericia.types import Chunk, Passage

log = logging.getLogger("pericia.server")


def attached_id(store_id: str, file_id: str) -> str:
    """Return the id of a file in a store: one file may stand in several."""
    return f"{store_id}/{file_id}"


class Attachments:
    """The stores on disk, and the thread that fills them."""

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        embedder: Callable[[], Embedder],
        *,
        every_s: float = 0.3,
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._embedder = embedder
        self._every_s = every_s
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._look_after, name="attachments", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop once the file at hand is read."""
        self._closing.set()
        self._thread.join()

    def library(self, store_id: str) -> Library:
        """Return a store's index, ready to be searched.

        Raises:
            NotFoundError: there is no such store, or nothing in it is read yet.
        """
        self._ledger.get(StoreRecord, store_id)
        embedder = self._embedder()
        catalogue = self._catalogue(store_id)
        if not catalogue.files:
            text = f"The vector store '{store_id}' holds no file that can be searched."
            raise NotFoundError(text, hint="Add files and wait until they are 'completed'.")
        own = index_folder(self._folder(store_id) / "index", embedder.name)
        settings = with_legs(self._config.retrieval, own)
        store = open_store(self._folder(store_id) / "index", self._config.store, embedder)
        return Library(store, embedder, settings, catalogue)

    def chunks(self, store_id: str, file_id: str) -> list[Chunk]:
        """Return what a file was split into, in its order."""
        library = self.library(store_id)
        found = []
        for document in self.documents(library.catalogue, [file_id]):
            found += library.store.chunks(document)
        return found

    @staticmethod
    def documents(catalogue: Catalogue, file_ids: Collection[str]) -> list[str]:
        """Return the ids under which files are indexed."""
        return [
            entered.document_id
            for source, entered in catalogue.files.items()
            if source.partition("/")[0] in file_ids
        ]

    def take_off(self, attached: AttachedFile) -> None:
        """Remove a file from its store; what was found of it is not found any more."""
        self._ledger.remove(AttachedFile, attached.id)
        shutil.rmtree(self._files(attached.store_id) / attached.file_id, ignore_errors=True)
        self._sync(attached.store_id)

    def drop(self, store_id: str) -> None:
        """Remove a store with all that is in it."""
        for attached in self._ledger.all(AttachedFile, store_id=store_id):
            self._ledger.remove(AttachedFile, attached.id)
        self._ledger.remove(StoreRecord, store_id)
        shutil.rmtree(self._folder(store_id), ignore_errors=True)

    def _look_after(self) -> None:
        while not self._closing.wait(self._every_s):
            try:
                waiting = self._ledger.all(AttachedFile, status="in_progress")
                for attached in reversed(waiting):
                    if self._closing.is_set():
                        return
                    self._attach(attached)
            except Exception:  # one bad moment, of the database say, must not end the watch
                log.exception("reading attached files")

    def _attach(self, attached: AttachedFile) -> None:
        """Read a file into its store; afterwards it is completed or failed, with the reason."""
        try:
            source = self._copy(attached)
            skipped = self._sync(attached.store_id)
            entered = self._catalogue(attached.store_id).files.get(source)
            if entered is None:
                raise InputError(skipped.get(source, "The file holds no text."))
        except ConflictError:  # another server fills this store now
            return
        except PericiaError as error:
            code = "unsupported_file" if isinstance(error, InputError) else "server_error"
            fault = {"code": code, "message": f"{error.message} {error.hint}".strip()}
            self._settle(attached, "failed", error=fault)
            shutil.rmtree(self._files(attached.store_id) / attached.file_id, ignore_errors=True)
            return
        except Exception:
            log.exception("reading %s into %s", attached.file_id, attached.store_id)
            fault = {"code": "server_error", "message": "The server's log has the reason."}
            self._settle(attached, "failed", error=fault)
            return
        self._settle(attached, "completed", num_bytes=entered.size)

    def _settle(self, attached: AttachedFile, status: str, **values: object) -> None:
        """Write how a file ended, unless it was taken off or cancelled meanwhile."""
        self._ledger.set_where(
            AttachedFile, {"id": attached.id, "status": "in_progress"}, status=status, **values
        )

    def _copy(self, attached: AttachedFile) -> str:
        """Put a file into the store's folder and return its name there."""
        stored: StoredFile = self._ledger.get(StoredFile, attached.file_id)
        source = f"{stored.id}/{stored.filename}"
        target = self._files(attached.store_id) / source
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(".copy")
            shutil.copyfile(self._ledger.file_path(stored.id), temporary)
            temporary.replace(target)
        return source

    def _sync(self, store_id: str) -> dict[str, str]:
        """Make the index equal to the store's folder; return the files that cannot be read, each with its reason."""
        index, files = self._folder(store_id) / "index", self._files(store_id)
        if not any(path.is_file() for path in files.rglob("*")):
            shutil.rmtree(index, ignore_errors=True)
            return {}
        report = sync(
            [files],
            folder=index,
            store_name=self._config.store,
            embedder=self._embedder(),
            settings=self._config.retrieval,
            root=files,
        )
        return dict(report.skipped)

    def _catalogue(self, store_id: str) -> Catalogue:
        index = self._folder(store_id) / "index"
        return read_catalogue(index_folder(index, self._embedder().name))

    def _folder(self, store_id: str) -> Path:
        return self._ledger.folder / "stores" / store_id

    def _files(self, store_id: str) -> Path:
        return self._folder(store_id) / "files"


def search(
    libraries: Sequence[tuple[Library, Collection[str] | None]],
    question: str,
    *,
    max_results: int,
    min_score: float = 0.0,
) -> list[Passage]:
    """Return the best passages of all libraries, each limited to the documents beside it (None: all).

    Several libraries are joined by their ranks, as the legs of a search are.
    """
    found: list[Passage] = []
    for library, documents in libraries:
        if documents is not None and not documents:
            continue
        found += retrieve(
            question,
            store=library.store,
            embedder=library.embedder,
            settings=library.settings.model_copy(update={"top_k": max_results}),
            language=library.language_of(question),
            groups=library.groups,
            documents=documents,
        )
    kept = [passage for passage in found if score(passage) >= min_score]
    return sorted(kept, key=lambda passage: passage.rank)[:max_results]


def score(passage: Passage) -> float:
    """Return how near a passage is to the question, 0..1: its cosine, 0 where only words were found."""
    return min(1.0, max(0.0, passage.dense or 0.0))
