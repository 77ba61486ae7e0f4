from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericia.editions import Edition, edition, is_newer

DAY_NS = 24 * 3600 * 10**9


@pytest.mark.parametrize(
    ("source", "opening", "version", "dated"),
    [
        ("a/refunds-v2.md", "", (2,), None),
        ("Refund policy rev. 3.docx", "Version 3.1", (3,), None),
        ("refunds.md", "Refunds. Version 2.10 of the rules", (2, 10), None),
        ("политика.txt", "Редакция 4, 1 март 2023", (4,), date(2023, 3, 1)),
        ("refund_policy_2023.pdf", "", None, date(2023, 1, 1)),
        ("rules 12.03.2021.txt", "", None, date(2021, 3, 12)),
        ("x.txt", "Valid from 2024-05-06", None, date(2024, 5, 6)),
        ("x.txt", "In force since March 2020", None, date(2020, 3, 1)),
        ("x.txt", "Issued March 5, 2020", None, date(2020, 3, 5)),
        ("x.txt", "Vigente desde el 3 de marzo de 2022", None, date(2022, 3, 3)),
        ("x.txt", "Em vigor desde 3 de março de 2022", None, date(2022, 3, 3)),
        ("x.txt", "31 February 2020, that is 3 May 2021", None, date(2021, 5, 3)),
        ("px-20.pdf", "The pump was built in 2019 and covers 3 sites", None, None),
    ],
)
def test_a_document_says_its_version_and_date_in_its_name_or_first_words(
    source: str, opening: str, version: tuple[int, ...] | None, dated: date | None
) -> None:
    found = edition(source, opening, 0)
    assert (found.version, found.dated) == (version, dated)


def test_versions_count_within_a_series_dates_before_files() -> None:
    second = edition("refunds-v2.md", "1 March 2024", 0)
    tenth = edition("old/Refunds v10.docx", "1 March 2020", 0)
    assert second.series == tenth.series == "refunds"
    assert is_newer(tenth, second) is True
    assert is_newer(second, tenth) is False
    other = edition("travel-v3.md", "1 March 2023", 9 * DAY_NS)
    assert is_newer(other, second) is False  # by date: another series


def test_files_written_together_say_nothing() -> None:
    early, late = edition("a.md", "", 0), edition("b.md", "", 3 * DAY_NS)
    assert is_newer(late, early) is True
    assert is_newer(edition("b.md", "", DAY_NS // 2), early) is None


editions = st.builds(
    Edition,
    st.just("s"),
    st.none() | st.tuples(st.integers(1, 3)),
    st.none() | st.dates(),
    st.integers(0, 9 * DAY_NS),
)


@given(editions, editions)
def test_of_two_at_most_one_is_newer(one: Edition, other: Edition) -> None:
    there, back = is_newer(one, other), is_newer(other, one)
    assert (there is None) == (back is None)
    assert there is None or there != back


@given(st.text(), st.text())
def test_any_name_and_text_can_be_read(source: str, opening: str) -> None:
    edition(source, opening, 0)
