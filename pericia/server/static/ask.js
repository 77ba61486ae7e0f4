// Asks /v1/chat/completions like any other client and shows the stream: text as it comes, then its sources.
import { faultOf, toast } from "./app.js";

const ask = document.querySelector("[data-ask]");
const words = ask.dataset;
const form = ask.querySelector("[data-form]");
const field = form.elements.q;
const fault = ask.querySelector("[data-fault]");
const answers = ask.querySelector("[data-answers]");
const say = ask.querySelector("[data-say]");
const stop = ask.querySelector("[data-stop]");
const sendButton = ask.querySelector("[data-send]");
const pane = ask.querySelector("[data-pane]");
const paneBody = ask.querySelector("[data-pane-body]");
const number = new Intl.NumberFormat(document.documentElement.lang, { maximumFractionDigits: 1 });

const talk = []; // the turns of this page, which a follow-up question goes on from
const TURNS_SENT = 4;
let running = null; // the AbortController of the answer that is on its way
let opener = null; // the button that opened the pane

function make(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}
const fill = (text, values) => Object.entries(values).reduce((t, [key, value]) => t.replace(`{${key}}`, value), text);

function showFault(text) {
  fault.textContent = text;
  fault.hidden = !text;
  field.setAttribute("aria-invalid", text ? "true" : "false");
}

// --- the stream ------------------------------------------------------------------------------------

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("\n");
      if (data && data !== "[DONE]") yield JSON.parse(data);
    }
  }
}

async function request(question, arm, signal) {
  const body = {
    model: `${words.project}:${arm}`,
    messages: [...talk.slice(-TURNS_SENT), { role: "user", content: question }],
    stream: true,
    stream_options: { include_usage: true },
  };
  for (;;) {
    const answer = await fetch("/v1/chat/completions", {
      method: "POST", signal, body: JSON.stringify(body), headers: { "content-type": "application/json" },
    });
    if (answer.status !== 429) return answer;
    const wait = Number(answer.headers.get("retry-after") || 2);
    toast(fill(words.textWait, { n: number.format(wait) }));
    await new Promise((done) => setTimeout(done, wait * 1000));
    signal.throwIfAborted();
  }
}

// After the first question the page's title is kept for those who hear the page.
function welcome() {
  const section = ask.querySelector("[data-welcome]");
  if (!section || section.className === "visually-hidden") return;
  section.className = "visually-hidden";
  section.replaceChildren(section.querySelector("h1"));
}

async function put(question, arm) {
  const started = performance.now();
  const box = make("article", "exchange");
  box.dataset.state = "loading";
  const heading = make("h2", "asked", question);
  const thinking = make("p", "thinking", "");
  thinking.append(make("span", "spinner"), make("span", "", words.textThinking));
  const text = make("div", "answer pending");
  text.hidden = true;
  box.append(heading, thinking, text);
  welcome();
  answers.append(box);
  answers.dataset.state = "loading";
  box.scrollIntoView({ block: "start", behavior: "smooth" });
  say.textContent = words.textThinking;
  running = new AbortController();
  stop.hidden = false;
  sendButton.disabled = true;
  const got = { text: "", notes: [], usage: null, about: null, first: 0 };
  try {
    const response = await request(question, arm, running.signal);
    if (!response.ok) throw new Error(await faultOf(response));
    for await (const event of events(response)) {
      if (event.error) throw new Error(event.error.message);
      got.usage = event.usage ?? got.usage;
      const choice = event.choices[0];
      if (!choice) continue;
      got.notes.push(...(choice.delta.annotations ?? []));
      got.about = choice.pericia ?? got.about;
      if (!choice.delta.content) continue;
      got.first ||= performance.now() - started;
      got.text += choice.delta.content;
      thinking.hidden = true;
      text.hidden = false;
      text.textContent = got.text;
    }
    finish(box, text, question, got, (performance.now() - started) / 1000);
    if (got.text.trim()) talk.push({ role: "user", content: question }, { role: "assistant", content: got.text });
  } catch (error) {
    const stopped = error.name === "AbortError";
    box.append(make("p", stopped ? "answer-note" : "notice bad", stopped ? words.textStopped : error.message));
    box.dataset.state = stopped ? "paused" : "error";
    say.textContent = stopped ? words.textStopped : error.message;
    if (!stopped && !got.text) { field.value ||= question; }
  } finally {
    thinking.remove();
    text.classList.remove("pending");
    answers.dataset.state = box.dataset.state;
    running = null;
    stop.hidden = true;
    sendButton.disabled = false;
    field.focus({ preventScroll: true });
  }
}

// --- what has come in ------------------------------------------------------------------------------

function address(note, claim) {
  const { source, page, line, cell, quote } = note;
  const query = new URLSearchParams({ quote: quote ?? "", claim });
  for (const [key, value] of Object.entries({ page, line, cell })) if (value != null) query.set(key, value);
  return `/source/${source.split("/").map(encodeURIComponent).join("/")}?${query}`;
}

function place(note) {
  if (note.page) return fill(words.textPage, { n: number.format(note.page) });
  if (note.cell) return note.cell;
  return note.line ? fill(words.textLine, { n: number.format(note.line) }) : "";
}

// A remark comes in English, with its parts for those who read another language.
function inWords(note, parts) {
  const sentence = JSON.parse(words.notes)[parts?.said];
  return sentence ? sentence.replace(/%\((\w+)\)s/g, (whole, name) => parts.with[name] ?? whole) : note;
}

function finish(box, text, question, got, seconds) {
  const refused = got.about?.refused ?? (!got.notes.length && got.text.trim() === words.refusal);
  got.about?.notes?.forEach((note, number) => box.append(make("p", "answer-note", inWords(note, got.about.note_parts?.[number]))));
  if (refused) return showRefusal(box, text, question, got);
  const cited = got.notes.filter((note) => note.pericia);
  const characters = [...got.text]; // positions count code points, JavaScript counts UTF-16 units
  text.replaceChildren();
  let at = 0;
  for (const note of cited) {
    const { start_index: start, end_index: end } = note.url_citation;
    if (start < at) continue;
    const marker = characters.slice(start, end).join("");
    const cite = make("button", "cite", marker.replace(/[[\]]/g, ""));
    cite.type = "button";
    open(cite, note.pericia, got.text, question);
    cite.title = note.pericia.quote;
    cite.setAttribute("aria-label", `${words.textSource} ${cite.textContent}: ${note.pericia.source}`);
    if (!note.pericia.verified) cite.classList.add("unverified");
    text.append(characters.slice(at, start).join(""), cite);
    at = end;
  }
  text.append(characters.slice(at).join(""));
  if (cited.length) box.append(sourceList(cited, characters, got.text, question));
  else box.append(make("p", "answer-note", words.textUncited));
  box.append(foot(question, got, seconds));
  box.dataset.state = "done";
  say.textContent = `${got.text} ${words.textDone}`;
}

function sourceList(cited, characters, whole, question) {
  const list = make("ol", "sources");
  list.setAttribute("aria-label", words.textSources);
  const seen = new Set();
  for (const note of cited) {
    const { start_index: start, end_index: end } = note.url_citation;
    const mark = characters.slice(start, end).join("").replace(/[[\]]/g, "");
    const key = `${mark} ${note.pericia.quote}`;
    if (seen.has(key)) continue;
    seen.add(key);
    list.append(sourceLine(mark, note.pericia, whole, question));
  }
  return list;
}

function sourceLine(mark, note, whole, question) {
  const item = document.createElement("li");
  const line = make("button", `source-line${note.verified === false ? " unverified" : ""}`);
  line.type = "button";
  const name = make("span", "source-name", note.source.split("/").pop());
  const where = place(note);
  if (where) name.append(make("span", "where", ` · ${where}`));
  if (note.verified === false) {
    const badge = make("span", "badge warn", words.textUnverified);
    badge.title = note.reason ?? "";
    name.append(badge);
  }
  line.append(make("span", "source-number", mark), name, make("span", "source-quote", note.quote));
  open(line, note, whole, question);
  item.append(line);
  return item;
}

// An answer, right or wrong, becomes an example: it is written there, where it can be mended first.
function keep(question, got, answer = got.text.replace(/\s*\[\d+(?:,\s*\d+)*\]/g, "")) {
  const source = got.notes.find((note) => note.pericia)?.pericia.source ?? "";
  const link = make("a", "", words.textKeep);
  link.href = `/examples?${new URLSearchParams({ question, answer, source })}#write`;
  return link;
}

function foot(question, got, seconds) {
  const line = make("div", "answer-foot");
  const copy = make("button", "link", words.textCopy);
  copy.type = "button";
  copy.dataset.copy = got.text;
  line.append(copy, keep(question, got));
  if (got.usage) {
    const { prompt_tokens: read, completion_tokens: written } = got.usage;
    line.append(make("span", "", fill(words.textTokens, { read: number.format(read), written: number.format(written) })));
  }
  line.append(make("span", "", fill(words.textTimes, { first: number.format(got.first / 1000), whole: number.format(seconds) })));
  return line;
}

function showRefusal(box, text, question, got) {
  const card = make("div", "refusal");
  card.append(make("p", "refusal-title", words.textRefused));
  const near = (got.about?.passages ?? []).slice(0, 3);
  if (near.length) {
    card.append(make("p", "muted", words.textSearched));
    const list = make("ol", "sources");
    near.forEach((one, index) => list.append(sourceLine(String(one.number ?? index + 1), { ...one, quote: one.text }, "", "")));
    card.append(list);
  }
  const advice = make("p", "muted", `${words.textAdvice} `);
  const link = make("a", "", words.textAdd);
  link.href = "/documents";
  advice.append(link, " · ", keep(question, got, ""));
  card.append(advice);
  text.remove();
  box.append(card);
  box.dataset.state = "done";
  box.dataset.refused = "true";
  say.textContent = words.textRefused;
}

// --- the pane with the source ----------------------------------------------------------------------

function open(button, note, claim) {
  button.setAttribute("aria-expanded", "false");
  button.addEventListener("click", async () => {
    closePane();
    opener = button;
    button.setAttribute("aria-expanded", "true");
    const answer = await fetch(address(note, claim), { headers: { "HX-Request": "true" } });
    if (!answer.ok) { toast(await faultOf(answer), "bad"); return; }
    paneBody.innerHTML = await answer.text(); // our own template, with the document's text escaped
    pane.hidden = false;
    ask.classList.add("with-pane");
    pane.focus({ preventScroll: true });
    pane.querySelector("mark, .lit-row")?.scrollIntoView({ block: "center" });
  });
}

function closePane() {
  if (pane.hidden) return;
  pane.hidden = true;
  ask.classList.remove("with-pane");
  opener?.setAttribute("aria-expanded", "false");
  opener?.focus({ preventScroll: true });
  opener = null;
}

ask.querySelector("[data-close]").addEventListener("click", closePane);
document.addEventListener("keydown", (event) => { if (event.key === "Escape") closePane(); });
stop.addEventListener("click", () => running?.abort());

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const question = field.value.trim();
  if (running) return;
  if (!question) { showFault(words.textEmpty); field.focus(); return; }
  showFault("");
  field.value = "";
  await put(question, form.elements.arm.value);
});
form.noValidate = true;
field.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
});
for (const suggestion of ask.querySelectorAll("[data-suggestion]")) {
  suggestion.addEventListener("click", () => { field.value = suggestion.textContent; form.requestSubmit(); });
}
if (field.value.trim()) form.requestSubmit(); else field.focus({ preventScroll: true });
