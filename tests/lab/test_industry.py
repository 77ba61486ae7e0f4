import string
from random import Random

from pericia.lab.industry import Attribute, Entity, Fact, Industry, load_wording
from pericia.lab.known import known_facts
from pericia.lab.pages import STYLES, write_passage


def test_wording_is_whole() -> None:
    wording = load_wording()
    for kind in wording.kinds.values():
        assert set(kind["attributes"]) <= set(wording.attributes)
    for name, attribute in wording.attributes.items():
        assert len(attribute.say) >= 4, name
        assert len(attribute.ask) >= 4, name
        assert all("{v}" in text and "{e}" in text for text in attribute.say), name
        assert all("{e}" in text and "{v}" not in text for text in attribute.ask), name
        if attribute.value[0] == "choice":
            assert attribute.value[1] in wording.lists
    assert len({a.label for a in wording.attributes.values()}) == len(wording.attributes)


def test_every_template_uses_known_places_only() -> None:
    wording = load_wording()
    texts = [t for a in wording.attributes.values() for t in (*a.say, *a.ask)]
    places = {place for t in texts for _, place, _, _ in string.Formatter().parse(t) if place}
    assert places <= {"e", "v", "l"}


def test_an_industry_repeats_itself_by_seed() -> None:
    def facts(seed: int) -> list[str]:
        industry = Industry(seed)
        entity = industry.new_entity("machine")
        return [industry.new_fact(entity, a).say(1) for a in industry.pick_attributes("machine", 6)]

    assert facts(5) == facts(5)
    assert facts(5) != facts(6)


def test_every_style_of_page_holds_every_value() -> None:
    for seed in range(40):
        industry = Industry(seed)
        entities = [industry.new_entity("site") for _ in range(3)]
        pool = industry.pick_attributes("site", 4)
        facts = [industry.new_fact(e, a) for e in entities for a in pool]
        for style in STYLES:
            text = write_passage(facts, Random(seed), industry.wording, style)
            assert all(fact.value.casefold() in text.casefold() for fact in facts), (style, text)
            assert all(entity.name in text for entity in entities)


def test_a_question_of_two_hops_names_the_phrase() -> None:
    attribute = Attribute("manager", ("name", "person"), ("{e}: {v}",), ("Who leads {e}?",))
    fact = Fact(Entity("Hall A", "site"), attribute, "Ida Ray")
    assert fact.ask(0, "the site where Pump 1 stands") == "Who leads the site where Pump 1 stands?"


def test_common_knowledge_has_no_question_twice() -> None:
    facts = known_facts()
    asks = [ask for fact in facts for ask in fact.asks]
    assert len(facts) >= 150
    assert len(set(asks)) == len(asks)
    assert all(isinstance(fact.answer, str) for fact in facts)
    assert all(f.answer.casefold() in say.casefold() for f in facts for say in f.says)
