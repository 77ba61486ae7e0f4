"""A question answered from vector stores: `file_search` gives any base or fine-tuned model passages to read."""

from collections.abc import Sequence
from dataclasses import replace

from pericia.answer import is_about, read_reply, room_for_passages, text_counter
from pericia.catalogue import Catalogue
from pericia.citations import checked_files
from pericia.context import fit_context
from pericia.models import Model
from pericia.prompts import REFUSAL, open_book_prompt
from pericia.server.attachments import search
from pericia.server.house import House
from pericia.server.open_stores import open_stores
from pericia.server.served import Ask, Asked, Served
from pericia.server.store_schemas import FileSearch
from pericia.types import Answer, Context, Generation, Message
from pericia.understand import understand, with_chat


def reader_of(house: House, tool: FileSearch, served: Served) -> Ask:
    """Return what makes a prompt with passages of the tool's stores from a question and an instruction.

    Raises (when it is called):
        NotFoundError: there is no such store, or nothing in it can be searched.
    """

    def ask(question: str, instruction: str, model: Model, history: Sequence[Message]) -> Asked:
        config = house.config
        instruction = instruction or config.instruction
        max_new_tokens = config.evaluate.max_new_tokens
        libraries = open_stores(house, tool.vector_store_ids, tool.filters)
        understood = understand(question, libraries[0][0], model, history=history)

        def look_up(wanted: str) -> tuple[Context, bool]:
            passages = search(
                libraries,
                wanted,
                max_results=tool.max_num_results or config.retrieval.top_k,
                min_score=tool.ranking_options.score_threshold if tool.ranking_options else 0.0,
            )
            room = room_for_passages(wanted, model, instruction, max_new_tokens, history)
            budget = min(config.retrieval.context_tokens, room)
            context = fit_context(passages, budget_tokens=budget, count_tokens=text_counter(model))
            return context, any(is_about(wanted, context, library) for library, _ in libraries)

        context, is_found = look_up(understood.question)
        if not is_found and (completed := with_chat(understood, history, libraries[0][0])):
            understood = completed
            context, is_found = look_up(understood.question)
        prompt = open_book_prompt(understood.question, context, instruction)
        files = {s: e for library, _ in libraries for s, e in library.catalogue.files.items()}

        def cite(said: Generation) -> Answer:
            answer = read_reply(said, prompt)
            checked = checked_files(answer.citations, Catalogue(files))
            return understood.explain(replace(answer, citations=checked))

        refused = Answer(REFUSAL, refused=True, passages=context.passages)
        refusal = None if is_found else understood.explain(refused)
        return Asked(prompt, served.adapter, max_new_tokens, cite, refusal)

    return ask
