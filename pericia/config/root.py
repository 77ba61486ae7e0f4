"""The whole of pericia.yaml: one industry."""

from typing import Self

from pydantic import model_validator

from pericia.config.evaluation import EvaluateConfig, UseConfig
from pericia.config.retrieval import RetrievalConfig
from pericia.config.section import Section, knob
from pericia.config.serving import ServeConfig
from pericia.config.training import ColumnsConfig, EmbedderTrainConfig, TrainConfig


class SqlSource(Section):
    """A table or a query of a database, read as a document at each sync."""

    name: str = knob(..., "how citations call it", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    url: str = knob(..., "as SQLAlchemy writes it; a password comes from ${A_VARIABLE}")
    table: str = knob("", "a table or view, with its schema if it has one")
    query: str = knob(
        "", "or one SELECT; ORDER BY keeps unchanged rows from being read as new ones"
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.table) == bool(self.query):
            raise ValueError("give either a table or a query")
        return self


class Config(Section):
    """One industry: its documents, its questions and examples, the model, and how they are joined."""

    name: str = knob(
        "expert", "the model's name when served", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
    )
    documents: tuple[str, ...] = knob((), "files and folders")
    tables: tuple[SqlSource, ...] = knob(
        (), "SQL tables and queries: {name, url, table} or {name, url, query}"
    )
    questions: str | None = knob(None, "held-out questions with reference answers, JSONL")
    examples: str | None = knob(
        None, "solved examples to learn from: a file, a folder with splits, or owner/name of a hub"
    )
    validation: str | None = knob(
        None, "examples to choose the checkpoint by; without them a share of `examples` is held out"
    )
    columns: ColumnsConfig = ColumnsConfig()
    model: str = knob(
        "pericia-nano",
        "the bundled model needs no network; others: quote (no language model), a folder with safetensors, a hub name, "
        "openai:MODEL, https://HOST/v1?model=MODEL",
    )
    embedder: str = knob(
        "minilm",
        "the bundled embedder needs no network; others: a sentence-transformers folder or hub name, openai:MODEL, "
        "jina:MODEL, https://HOST/v1?model=MODEL",
    )
    store: str = knob(
        "lance", "embedded, on disk; or postgresql://user@host/database, with pgvector"
    )
    instruction: str = knob("Answer in as few words as you can.", "how every arm is told to answer")
    use: UseConfig = UseConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    train: TrainConfig = TrainConfig()
    embedder_training: EmbedderTrainConfig = EmbedderTrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    serve: ServeConfig = ServeConfig()
