"""Which server computes: OpenAI's or Azure's service, or any address that speaks their API."""

import os
from urllib.parse import parse_qs

import openai

from pericia.errors import ConfigError, ModelError
from pericia.models.remote.model import RemoteModel, as_ours

KEY_VARIABLE = "PERICIA_UPSTREAM_KEY"


def load_openai(name: str) -> RemoteModel:
    """Return a model by its name there; OPENAI_BASE_URL and OPENAI_API_KEY say where, as for OpenAI's own client.

    Raises:
        ModelError: no key is set, or the server does not answer.
    """
    with as_ours(name):
        return RemoteModel(f"openai:{name}", name, openai.OpenAI())


def load_azure(name: str) -> RemoteModel:
    """Return an Azure deployment; the variables are those of OpenAI's own client. Raises as `load_openai`."""
    with as_ours(name):
        return RemoteModel(f"azure:{name}", name, openai.AzureOpenAI())


def load_address(name: str) -> RemoteModel:
    """Return the model of https://HOST/v1?model=NAME; PERICIA_UPSTREAM_KEY is its key, where it needs one.

    Raises:
        ConfigError: no model is named. ModelError: as `load_upstream`.
    """
    url, _, query = name.partition("?")
    wanted = parse_qs(query).get("model", [""])[0]
    if not wanted:
        raise ConfigError(
            f"The model '{name}' does not say which one.", hint=f"Write: {url}?model=NAME"
        )
    model = load_upstream(wanted, url)
    model.name = name
    return model


def load_upstream(name: str, url: str) -> RemoteModel:
    """Return the base `name` as the server at `url` has it: under this name, or as its only base model.

    Raises:
        ModelError: the server does not answer, or has several models and none of this name.
    """
    client = openai.OpenAI(base_url=url, api_key=os.environ.get(KEY_VARIABLE, "none"))
    with as_ours(name):
        listed = client.models.list().data
    known = [one.id for one in listed if not getattr(one, "parent", None)]
    if name not in known and len(known) != 1:
        text = f"The server at '{url}' has no model '{name}'."
        raise ModelError(text, hint=f"It has: {', '.join(known) or 'none'}.")
    return RemoteModel(name, name if name in known else known[0], client)
