"""Addresses: secrets from the environment, none in the open, none shown."""

import pytest

from pericia.addresses import with_secrets, without_password
from pericia.errors import ConfigError


def test_a_variable_is_filled_in_and_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANT_PASSWORD", "a@b/c d")
    monkeypatch.setenv("PLANT_URL", "sqlite:///plant.db")
    filled = with_secrets("postgresql://ada:${PLANT_PASSWORD}@db/plant")
    assert filled == "postgresql://ada:a%40b%2Fc%20d@db/plant"
    assert without_password(filled) == "postgresql://ada@db/plant"
    assert with_secrets("${PLANT_URL}") == "sqlite:///plant.db"


@pytest.mark.parametrize(
    "address", ["postgresql://ada:secret@db/plant", "mysql://db/plant?user=ada&password=secret"]
)
def test_a_password_in_the_open_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(ConfigError) as error:
        with_secrets(address)
    assert "secret" not in error.value.message


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLANT_PASSWORD", raising=False)
    with pytest.raises(ConfigError, match="PLANT_PASSWORD, which is not set"):
        with_secrets("postgresql://ada:${PLANT_PASSWORD}@db/plant")
