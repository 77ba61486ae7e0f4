from random import Random

import pytest

from pericia.lab.words import (
    FORMS,
    NAMES_PER_SEED,
    NUM_SEEDS,
    TRAINING_SEEDS,
    Names,
    loose_name,
    scatter,
)

KINDS = list(FORMS)


def _names(seed: int, count: int) -> list[str]:
    names = Names(seed)
    return [names.take(KINDS[index % len(KINDS)]) for index in range(count)]


def test_no_two_seeds_share_a_name() -> None:
    seeds = [*range(150), *range(TRAINING_SEEDS, TRAINING_SEEDS + 150), NUM_SEEDS - 1]
    names = [name for seed in seeds for name in _names(seed, 140)]
    assert len(set(names)) == len(names)


def test_the_numbers_of_all_seeds_are_scattered_without_a_collision() -> None:
    rng = Random(0)
    numbers = rng.sample(range(NUM_SEEDS * NAMES_PER_SEED), k=200_000)
    assert len({scatter(number) for number in numbers}) == len(numbers)


@pytest.mark.parametrize("kind", KINDS)
def test_each_form_tells_different_numbers_apart(kind: str) -> None:
    numbers = Random(1).sample(range(2**28), k=50_000)
    assert len({FORMS[kind](number) for number in numbers}) == len(numbers)


def test_a_seed_gives_the_same_names_again() -> None:
    assert _names(7, 20) == _names(7, 20)


def test_a_seed_outside_the_range_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 0 to"):
        Names(NUM_SEEDS)


def test_loose_names_are_never_empty() -> None:
    rng = Random(2)
    assert all(loose_name(rng, ["Pump", "Press"]).strip() for _ in range(500))
