import subprocess
import sys

import pydantic
import pytest

from pericia.stores.lance.deferred import deferred_models

CODE = """
import pericia.stores.lance.store, pydantic
from lance_namespace import CreateNamespaceRequest as Request

print(Request.__pydantic_complete__, Request(id=["a"]).id, Request.__pydantic_complete__)
print(pydantic.BaseModel.model_config.get("defer_build", False))
"""


def test_the_models_of_lancedb_s_rest_client_are_built_when_they_are_used() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["False ['a'] True", "False"]


def test_a_deferred_model_and_call_refuse_what_is_wrong() -> None:
    before = pydantic.BaseModel.model_config, pydantic.validate_call
    with deferred_models():

        class Size(pydantic.BaseModel):
            width: int

        @pydantic.validate_call
        def double(number: int) -> int:
            return 2 * number

    assert before == (pydantic.BaseModel.model_config, pydantic.validate_call)
    assert (Size(width=3).width, double(4)) == (3, 8)
    with pytest.raises(pydantic.ValidationError):
        Size.model_validate({"width": "wide"})
    with pytest.raises(pydantic.ValidationError):
        double("four")  # type: ignore[arg-type]
