"""POST /embeddings: texts become vectors of length 1; the official client asks for base64 unless told otherwise."""

import base64

import anyio.to_thread
import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from pericia.embedders import Embedder
from pericia.server.house import House
from pericia.server.schemas import EmbeddingRequest
from pericia.server.wire import RequestError, model_asked

MAX_INPUTS = 2048  # OpenAI's limit
_SEND_TEXT = "Send text; LangChain's OpenAIEmbeddings does with check_embedding_ctx_length=False."


def routes(house: House) -> APIRouter:
    router = APIRouter()

    @router.post("/embeddings")
    async def embed(body: EmbeddingRequest, request: Request) -> Response:
        name = model_asked(body.model, request)
        is_azure = request.url.path.startswith("/openai/")
        served = house.experts.find(name, in_deployments=is_azure)
        if served.kind != "embedder":
            text = f"'{name}' answers chats and makes no embeddings."
            hint = f"Ask '{house.config.embedder}'."
            raise RequestError(text, code="model_not_found", status=404, param="model", hint=hint)
        texts = _texts(body)
        embedder = await anyio.to_thread.run_sync(house.embedder)
        size = body.dimensions or embedder.num_dimensions
        if size > embedder.num_dimensions:
            text = f"'dimensions' is {size}; '{served.name}' has {embedder.num_dimensions}."
            raise RequestError(text, code="invalid_value", param="dimensions")
        vectors, num_tokens = await anyio.to_thread.run_sync(_embed, embedder, texts)
        vectors = vectors[:, :size]
        if size < embedder.num_dimensions:
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        data = []
        for index, vector in enumerate(vectors.astype("<f4")):
            shown = (
                base64.b64encode(vector.tobytes()).decode()
                if body.encoding_format == "base64"
                else vector.tolist()
            )
            data.append({"object": "embedding", "index": index, "embedding": shown})
        usage = {"prompt_tokens": num_tokens, "total_tokens": num_tokens}
        return JSONResponse({"object": "list", "data": data, "model": name, "usage": usage})

    return router


def _texts(body: EmbeddingRequest) -> list[str]:
    given = [body.input] if isinstance(body.input, str) else body.input
    texts = [text for text in given if isinstance(text, str)]
    if len(texts) < len(given):
        text = "'input' holds token ids; this embedder has a tokenizer of its own."
        raise RequestError(text, code="invalid_value", param="input", hint=_SEND_TEXT)
    if not texts or "" in texts or len(texts) > MAX_INPUTS:
        text = f"'input' holds {len(texts)} texts, or an empty one."
        hint = f"Send 1 to {MAX_INPUTS} texts that are not empty."
        raise RequestError(text, code="invalid_value", param="input", hint=hint)
    return texts


def _embed(embedder: Embedder, texts: list[str]) -> tuple[np.ndarray, int]:
    counts = [embedder.count_tokens(text) for text in texts]
    for index, count in enumerate(counts):
        if count > embedder.max_tokens:
            text = f"input[{index}] has {count} tokens; the embedder reads {embedder.max_tokens}."
            hint = "Split the text; the rest would be ignored."
            raise RequestError(text, code="context_length_exceeded", param="input", hint=hint)
    return embedder.embed_passages(texts), sum(counts)
