"""Knobs of river 1: how documents are cut, searched and read."""

from typing import Annotated, Literal

from pydantic import Field

from pericia.config.section import Section, knob


class RetrievalConfig(Section):
    chunk_tokens: int = knob(
        200,
        "MiniLM reads 256 tokens; room is left for the headings",
        unit="tokens of the embedder",
        ge=20,
        le=2000,
    )
    top_k: int = knob(5, "what the bundled model was trained to read", unit="passages", ge=1, le=50)
    candidates: int = knob(
        50,
        "whole documents stand among them; 100 find no more on FaQuAD and TAT-QA and take longer",
        unit="chunks a leg",
        ge=1,
        le=1000,
    )
    context_tokens: int = knob(
        1500,
        "leaves half of a 4k context for examples and answer",
        unit="tokens of the model",
        ge=50,
        le=200_000,
    )
    neighbours: int = knob(
        0,
        "the text around a passage, where the budget has room; costs tokens, so on only where your questions gain",
        unit="chunks before and after",
        ge=0,
        le=10,
    )
    legs: Literal["hybrid", "dense", "lexical", "auto"] = knob(
        "auto", "measures each leg on development questions; without any, both are fused"
    )
    dense_weight: float = knob(
        0.2,
        "meaning against words where both legs search; legs auto chooses it on development questions",
        unit="share",
        ge=0,
        le=1,
    )
    tables: Literal["forms", "model"] = knob(
        "forms",
        "known forms of questions are computed; model lets an able model write SQL for the others, a request each",
    )
    summaries: Literal["extractive", "model"] = knob(
        "extractive",
        "title, headings and first sentences; model lets an able model write them, a request a document",
    )
    reranker: str = knob(
        "",
        "a sentence-transformers CrossEncoder, folder or hub name; without one the order of the legs stays",
    )
    rerank: int = knob(
        30,
        "more takes longer and seldom helps",
        unit="passages that a reranker reads",
        ge=1,
        le=200,
    )
    language: str = knob("auto", "the stop words and stems: en, es, pt, bg, or auto per document")
    lexical_unit: Literal["auto", "surface", "stem", "grams"] = knob(
        "auto",
        "words, stems or 4-grams as the lexical leg compares them; auto is the language's best",
    )
    refusal: Literal["constant", "fitted"] = knob(
        "constant",
        "fitted follows the examples and catches more, but refuses too much where questions differ from them",
    )
    refuse_below: float = knob(
        0.25,
        "a careful constant until calibrated on unanswerable questions",
        unit="share of the question's rare words",
        ge=0,
        le=1,
    )
    follow_ups: Literal["auto", "rules", "off"] = knob(
        "auto",
        "a question that goes on from a chat is completed by an able model, else by rules; off searches it as it is",
    )
    pdf_password: str = knob("", "opens encrypted PDFs")
    access: dict[str, tuple[Annotated[str, Field(min_length=1)], ...]] = knob(
        {},
        "groups that may read a folder or pattern, the first that fits; others are for everybody",
    )
