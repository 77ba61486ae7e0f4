"""The screens from Examples to Playground in a real browser; the slow test walks the whole path with the bundled model."""

import json
import shutil
from pathlib import Path

import httpx
import openai
import pytest
from playwright.sync_api import Page, expect

from pericia.evaluate.run import run
from tests.browser.conftest import (
    OSTERMILL,
    PATIENCE_MS,
    PATIENCE_S,
    SOME,
    Serve,
    Served,
    Visitor,
    check_a11y,
    check_fits,
    free_port,
)
from tests.evaluate.bench import FakeTools, write_firm

SCREENS = ("examples", "train", "compare", "recommendation", "playground")
LONG_MS = 5 * PATIENCE_MS  # a training and a comparison on a busy machine


@pytest.fixture(scope="module")
def firm(tmp_path_factory: pytest.TempPathFactory, chromium: object) -> object:
    """A served firm whose five arms have been measured."""
    root = tmp_path_factory.mktemp("firm")
    config, workspace = write_firm(root, num_examples=30)
    run(config, workspace, tools=FakeTools().tools())
    (root / "documents").mkdir()
    (root / "documents" / "pumps.md").write_text("# P1\n\nPressure: 107 bar\n", encoding="utf-8")
    (root / "pericia.yaml").write_text(
        "name: pumps\nmodel: quote\ndocuments: [documents]\nquestions: questions.jsonl\n"
        "examples: examples.jsonl\nretrieval: {legs: lexical}\n",
        encoding="utf-8",
    )
    served = Served(root, free_port())
    served.start()
    yield served
    served.kill()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_every_screen_fits_and_can_be_used_by_all(
    firm: Served, visitor: Visitor, width: int, scheme: str
) -> None:
    page = visitor.open(f"{firm.url}/examples", width=width, scheme=scheme)
    for name in SCREENS:
        page.goto(f"{firm.url}/{name}")
        expect(page.locator(f'main[data-screen="{name}"] h1')).to_be_visible()
        if name == "train":
            for method in ("lora", "qlora", "full"):
                card = page.get_by_test_id(f"plan-{method}")
                expect(card).to_have_attribute("data-state", "error")
                expect(card).to_contain_text("quote")
            expect(page.get_by_role("button", name="Start training")).to_be_visible()
        check_fits(page)
        check_a11y(page)


@pytest.mark.parametrize("locale", ["es-ES", "pt-BR", "bg-BG"])
def test_every_screen_speaks(firm: Served, visitor: Visitor, locale: str) -> None:
    page = visitor.open(f"{firm.url}/examples", locale=locale)
    titles = []
    for name in SCREENS:
        page.goto(f"{firm.url}/{name}")
        titles.append(page.locator("main h1").inner_text())
        check_fits(page)
    assert not {"Examples", "Train", "Compare", "Recommendation"} & set(titles)


def test_an_example_is_edited_refused_saved_and_undone(firm: Served, visitor: Visitor) -> None:
    page = visitor.open(f"{firm.url}/examples")
    expect(page.locator("#lengths svg")).to_be_visible()
    row = page.locator("#row-3")
    before = row.locator(".a").inner_text()
    row.get_by_role("link", name="Edit").click()
    answer = row.get_by_label("Answer")
    answer.fill("")
    visitor.watch.expected = "422"
    row.get_by_label("Question").fill("What is typed stays")
    row.get_by_role("button", name="Save").click()
    expect(page.locator("#fault-answer")).to_be_visible()
    expect(page.locator("#row-3").get_by_label("Question")).to_have_value("What is typed stays")
    page.locator("#row-3").get_by_label("Answer").fill("17 kg")
    page.locator("#row-3").get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    expect(page.locator("#row-3 .a")).to_have_text("17 kg")
    page.get_by_role("status").get_by_role("button", name="Undo").click()
    expect(page.locator("#row-3 .a")).to_have_text(before)


def test_news_of_a_check_takes_nothing_from_who_is_typing(firm: Served, visitor: Visitor) -> None:
    page = visitor.open(f"{firm.url}/train")
    page.get_by_role("button", name="Only check").click()
    expect(page.get_by_test_id("check")).to_be_visible()
    page.get_by_text("Every setting").click()
    rate = page.get_by_role("textbox", name="learning_rate", exact=True)
    rate.fill("0.00025")
    expect(page.get_by_test_id("check")).to_have_attribute("data-state", "failed")
    expect(page.get_by_test_id("check")).to_contain_text("'quote' cannot be fine-tuned here")
    expect(rate).to_have_value("0.00025")


def test_two_tabs_cannot_overwrite_each_other(firm: Served, visitor: Visitor) -> None:
    one = visitor.open(f"{firm.url}/examples?edit=5")
    other = visitor.open(f"{firm.url}/examples?edit=5")
    other.locator("#row-5").get_by_label("Answer").fill("from the other tab")
    other.locator("#row-5").get_by_role("button", name="Save").click()
    expect(other.get_by_text("Saved.")).to_be_visible()
    visitor.watch.expected = "422"
    one.locator("#row-5").get_by_label("Answer").fill("from this tab")
    one.locator("#row-5").get_by_role("button", name="Save").click()
    expect(one.get_by_text("has changed since it was shown")).to_be_visible()
    expect(one.locator("#row-5").get_by_label("Answer")).to_have_value("from this tab")
    other.get_by_role("status").get_by_role("button", name="Undo").click()
    expect(other.get_by_text("The last change was undone.")).to_be_visible()


def test_the_grid_filters_and_opens_a_case(firm: Served, visitor: Visitor) -> None:
    page = visitor.open(f"{firm.url}/compare")
    expect(page.get_by_test_id("arms").locator("tbody tr")).to_have_count(5)
    rows = page.get_by_test_id("questions").locator("tbody > tr")
    every = rows.count()
    page.get_by_test_id("questions").get_by_role("link", name="arms disagree").click()
    page.wait_for_url("**filter=disagree**")
    expect(rows.first).to_be_visible()
    assert 0 < rows.count() < every
    rows.first.locator("summary").click()
    expect(rows.first.get_by_text("Expected")).to_be_visible()
    page.get_by_role("link", name="time", exact=True).click()
    expect(page.get_by_test_id("scatter")).to_contain_text("ms a request")


def test_two_models_answer_side_by_side(firm: Served, visitor: Visitor) -> None:
    firm.read_documents()
    page = visitor.open(f"{firm.url}/playground")
    page.locator("#model-left").select_option("pumps:rag")
    page.locator("#model-right").select_option("quote")
    page.get_by_role("button", name="Ask both").click()
    page.get_by_label("Question").fill("Which pressure does P1 have?")
    page.get_by_role("button", name="Ask both").click()
    left = page.get_by_test_id("answer-left")
    expect(left).to_have_attribute("data-state", "done")
    expect(left.locator(".said")).to_contain_text("107 bar")
    expect(left.locator(".sources")).to_contain_text("pumps.md")
    expect(page.get_by_test_id("answer-right")).to_have_attribute("data-state", "done")
    expect(page.locator("#panel-openai code")).to_contain_text("pumps:rag")
    page.get_by_role("tab", name="curl").click()
    expect(page.locator("#panel-curl")).to_be_visible()
    expect(page.locator("#panel-openai")).to_be_hidden()


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    """A folder with what a person has at hand: four documents, forty examples and twelve questions."""
    made = tmp_path / "at hand"
    for name in SOME:
        target = made / "documents" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(OSTERMILL / "documents" / name, target)
    examples = (OSTERMILL / "examples.jsonl").read_text(encoding="utf-8").splitlines()[:40]
    (made / "examples.jsonl").write_text("\n".join(examples) + "\n", encoding="utf-8")
    text = (OSTERMILL / "questions.jsonl").read_text(encoding="utf-8")
    questions = [json.loads(line) for line in text.splitlines()]
    stems = [Path(name).name for name in SOME]
    known = [q for q in questions if all(Path(s).name in stems for s in q["sources"])]
    chosen = [q for q in known if q["answers"]][:9] + [q for q in known if not q["answers"]][:3]
    lines = "".join(json.dumps(q, ensure_ascii=False) + "\n" for q in chosen)
    (made / "questions.jsonl").write_text(lines, encoding="utf-8")
    return made


def set_up(page: Page) -> None:
    page.get_by_role("link", name="Set up this project").click()
    page.get_by_label("Name", exact=True).fill("ostermill")
    page.get_by_label("Base model").fill("pericia-nano")
    page.get_by_label("What should get better?").fill("answer the desk")
    page.get_by_role("button", name="Write the settings and go on").click()
    expect(page.get_by_text("Nothing here yet")).to_be_visible()


def add_documents(page: Page, folder: Path) -> None:
    page.locator("#folder").set_input_files(folder)
    expect(page.get_by_test_id("file")).to_have_count(len(SOME))
    region = page.locator("#files-region")
    expect(region).to_have_attribute("data-state", "done", timeout=LONG_MS)


def ask_with_sources(page: Page) -> None:
    page.get_by_role("link", name="Ask a question").click()
    page.get_by_label("Your question").fill("What is the price of Valve V-8?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator(".exchange")).to_have_attribute("data-state", "done", timeout=LONG_MS)
    expect(page.locator(".source-line").first).to_contain_text("price-list.xlsx")


def add_examples(page: Page, file: Path) -> None:
    page.goto(page.url.partition("/ask")[0] + "/examples")
    page.get_by_label("File of examples").set_input_files(file)
    page.locator("#upload").get_by_role("button", name="Upload").click()
    expect(page.get_by_text("40 examples").first).to_be_visible()


def add_questions(page: Page, file: Path) -> None:
    page.goto(page.url.partition("/examples")[0] + "/compare")
    page.get_by_label("File of questions (JSONL)").set_input_files(file)
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_text("12 held-out questions").first).to_be_visible()


def num_steps(page: Page, job: str) -> int:
    server = page.url.partition("/train")[0]
    view = httpx.get(f"{server}/api/jobs/{job}", timeout=PATIENCE_S).json()
    return len(view["steps"])


@pytest.mark.slow
def test_from_an_empty_folder_to_an_answer_of_the_deployed_expert(
    serve: Serve, sent: Path, visitor: Visitor
) -> None:
    company = serve("")
    page = visitor.open(company.url)
    set_up(page)
    add_documents(page, sent / "documents")
    ask_with_sources(page)
    add_examples(page, sent / "examples.jsonl")
    add_questions(page, sent / "questions.jsonl")

    page.goto(f"{company.url}/examples")
    expect(page.get_by_text("no leaks").first).to_be_visible()
    page.get_by_role("link", name="Train", exact=True).last.click()
    page.get_by_role("button", name="Start training").click()
    live = page.get_by_test_id("live")
    expect(live).to_be_visible(timeout=LONG_MS)
    job = live.get_attribute("data-job") or ""
    page.wait_for_function(
        "job => fetch(`/api/jobs/${job}`).then(r => r.json()).then(v => v.steps.length > 1)",
        arg=job,
        timeout=LONG_MS,
    )
    page.reload()
    expect(page.get_by_test_id("live")).to_have_attribute("data-job", job)
    other = visitor.open(f"{company.url}/train")
    expect(other.get_by_test_id("live")).to_have_attribute("data-job", job)
    for tab in (page, other):
        expect(tab.get_by_test_id("live-head")).to_have_attribute(
            "data-state", "succeeded", timeout=LONG_MS
        )
    expect(page.locator("#curve canvas")).to_be_visible()
    assert num_steps(page, job) > 4

    page.get_by_role("link", name="Compare it with the other arms").click()
    for arm in ("few_shot", "rag_fine_tuned"):
        page.locator(f'input[name="arms"][value="{arm}"]').uncheck()
    page.get_by_role("button", name="Measure").click()
    expect(page.get_by_test_id("progress")).to_be_visible()
    page.goto("about:blank")  # the comparison goes on when its page is closed
    page.goto(f"{company.url}/compare")
    expect(page.get_by_test_id("compare")).to_have_attribute("data-state", "done", timeout=LONG_MS)
    expect(page.get_by_test_id("arms").locator("tbody tr")).to_have_count(3)
    adapters = httpx.get(f"{company.url}/api/adapters", timeout=PATIENCE_S).json()["data"]
    kinds = [one["kind"] for one in adapters]
    assert kinds.count("fine_tuned") == 1, "the adapter that the page trained is the arm's"

    page.goto(f"{company.url}/recommendation")
    expect(page.get_by_test_id("recommendation")).to_have_attribute("data-state", "done")
    expect(page.locator("#verdict")).not_to_be_empty()

    page.goto(f"{company.url}/playground?left=ostermill:fine_tuned&right=pericia-nano")
    page.get_by_label("Question").fill("What is the price of Valve V-8?")
    page.get_by_role("button", name="Ask both").click()
    for side in ("left", "right"):
        answer = page.get_by_test_id(f"answer-{side}")
        expect(answer).to_have_attribute("data-state", "done", timeout=LONG_MS)
        expect(answer.locator(".said")).not_to_be_empty()
    page.locator("#field-name").fill("service-desk")
    page.locator("#deploy-model").select_option("ostermill:fine_tuned")
    page.get_by_role("button", name="Deploy").click()
    expect(page.get_by_text("Deployed: the name can be called now.")).to_be_visible()

    with openai.OpenAI(base_url=f"{company.url}/v1", api_key="none", timeout=PATIENCE_S) as client:
        said = client.chat.completions.create(
            model="service-desk",
            messages=[{"role": "user", "content": "What is the price of Valve V-8?"}],
        )
    assert said.choices[0].message.content
