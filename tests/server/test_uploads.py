"""Files with a time to live: once it is over they are gone for everybody who asks."""

import time
from pathlib import Path

import openai
import pytest

from pericia.jobs import Ledger, StoredFile
from tests.server.conftest import Start
from tests.server.test_fine_tuning import lines


def test_an_expired_file_is_gone_for_files_jobs_and_stores(start: Start, tmp_path: Path) -> None:
    client = start().openai()
    ledger = Ledger(tmp_path / ".pericia" / "server")

    def expired() -> str:
        """Return the id of a file whose hour is over."""
        made = client.files.create(
            file=("train.jsonl", lines(10)),
            purpose="fine-tune",
            expires_after={"anchor": "created_at", "seconds": 3600},
        )
        assert made.expires_at is not None
        assert 3590 <= made.expires_at - time.time() <= 3601
        assert client.files.retrieve(made.id).status == "processed"
        assert ledger.set_where(StoredFile, {"id": made.id}, expires_at=time.time() - 1)
        return made.id

    with pytest.raises(openai.NotFoundError, match="No such File object"):
        client.files.retrieve(expired())
    with pytest.raises(openai.NotFoundError):
        client.files.content(expired())
    with pytest.raises(openai.BadRequestError) as refused:
        client.fine_tuning.jobs.create(model="fake-base", training_file=expired())
    assert refused.value.param == "training_file"
    store = client.vector_stores.create(name="notes").id
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)):
        client.vector_stores.files.create(vector_store_id=store, file_id=expired())
    expired()
    assert client.files.list().data == []
    assert not list((ledger.folder / "files").iterdir())
    ledger.close()
