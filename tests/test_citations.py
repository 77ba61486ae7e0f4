from pericia.citations import cite
from pericia.types import Place
from tests.passages import passage

KILN = passage(
    "The kiln is old.\nIt runs at 900 degrees.\nThe pump holds 42 bar.",
    place=Place(page=3, line=10),
)
PRICE = passage(
    "Model: PX-20 | Price: 310 EUR", place=Place(sheet="Prices", cell="A7:B7"), source="p.xlsx"
)


def test_a_reference_leads_to_the_line_of_its_sentence() -> None:
    [citation] = cite("It runs at 900 degrees [1].", "How hot is the kiln?", [KILN])
    assert citation.quote == "It runs at 900 degrees."
    assert (citation.page, citation.line, citation.verified, citation.reason) == (3, 11, True, "")


def test_a_short_claim_takes_the_sentence_that_the_question_is_about() -> None:
    two = passage("Pump P-7 holds 42 bar.\nPump P-8 holds 42 bar.", place=Place(line=1))
    [citation] = cite("42 bar [1]", "What does pump P-8 hold?", [two])
    assert citation.quote == "Pump P-8 holds 42 bar."
    assert citation.line == 2


def test_a_row_is_cited_by_its_cells() -> None:
    [citation] = cite("310 EUR [2]", "What does the PX-20 cost?", [KILN, PRICE])
    assert (citation.cell, citation.source, citation.verified) == ("A7:B7", "p.xlsx", True)


def test_several_references_are_resolved_one_by_one() -> None:
    found = cite("It is old [1, 2]. [2]", "q", [KILN, PRICE])
    assert [c.number for c in found] == [1, 2]
    assert [c.verified for c in found] == [True, False]


def test_a_number_that_the_passage_does_not_hold_is_named() -> None:
    [citation] = cite("It runs at 950 degrees [1]", "q", [KILN])
    assert not citation.verified
    assert citation.reason == "the number 950 does not stand in the passage"


def test_a_passage_that_was_not_shown_is_named() -> None:
    [citation] = cite("900 [7]", "q", [KILN])
    assert not citation.verified
    assert citation.reason == "there is no passage 7; 1 were shown"


def test_no_shared_word_is_no_support() -> None:
    [citation] = cite("Bananas [1]", "q", [KILN])
    assert not citation.verified


def test_thousands_may_be_written_either_way() -> None:
    [citation] = cite("1250 kg [1]", "q", [passage("It weighs 1,250 kg.")])
    assert citation.verified
