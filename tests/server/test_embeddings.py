"""Embeddings, with the official client."""

import math

import openai
import pytest

from tests.server.conftest import Start


def test_vectors_come_back_in_order_and_in_both_encodings(start: Start) -> None:
    create = start().openai(strict=False).embeddings.create
    packed = create(model="minilm", input=["aaa", "b b"])
    plain = create(model="text-embedding-3-small", input=["aaa", "b b"], encoding_format="float")
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding)
    assert packed.data[0].embedding[0] > 0.9
    assert packed.data[1].embedding[1] > 0.9
    assert packed.usage.total_tokens == 3
    assert plain.model == "text-embedding-3-small"


def test_dimensions_are_cut_and_have_length_1(start: Start) -> None:
    create = start().openai(strict=False).embeddings.create
    vector = create(model="minilm", input="aabb", dimensions=2).data[0].embedding
    assert len(vector) == 2
    assert math.hypot(*vector) == pytest.approx(1)
    with pytest.raises(openai.BadRequestError) as refused:
        create(model="minilm", input="a", dimensions=5)
    assert refused.value.param == "dimensions"


@pytest.mark.parametrize("given", ["", [], ["a", ""], [1, 2], "word " * 101])
def test_what_cannot_be_embedded_is_refused(start: Start, given: object) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        start().openai().embeddings.create(model="minilm", input=given)  # type: ignore[arg-type]
    assert refused.value.param == "input"
