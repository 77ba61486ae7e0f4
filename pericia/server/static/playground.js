// Two models get the same question, seed and settings; their answers stream in side by side through the API that any
// program uses. Markers such as [1] become links to the sources that came with the answer.
import { faultOf } from "./app.js";

const form = document.getElementById("duel");
const halt = document.getElementById("halt");
let stopping = null;

const number = new Intl.NumberFormat(document.documentElement.lang, { maximumFractionDigits: 1 });
const fill = (text, values) => Object.entries(values).reduce((t, [key, value]) => t.replace(`{${key}}`, number.format(value)), text);

function settings() {
  const temperature = Number(form.elements.temperature.value || 0);
  const asked = { temperature };
  if (temperature > 0) asked.seed = Number(form.elements.seed.value || 0);
  return asked;
}

function show(side, text, notes) {
  const box = side.querySelector(".said");
  box.replaceChildren();
  let at = 0;
  const letters = [...text]; // code points, as the server counts
  for (const note of notes) {
    const span = note.url_citation;
    box.append(letters.slice(at, span.start_index).join(""));
    const mark = document.createElement("a");
    mark.href = span.url;
    mark.className = "cited";
    mark.title = note.pericia?.quote ?? span.title;
    mark.textContent = letters.slice(span.start_index, span.end_index).join("");
    box.append(mark);
    at = span.end_index;
  }
  box.append(letters.slice(at).join(""));
  const sources = side.querySelector(".sources");
  sources.replaceChildren(...notes.map((note) => {
    const line = document.createElement("p");
    const about = note.pericia ?? {};
    const place = [about.source ?? note.url_citation.title, about.cell].filter(Boolean).join(", ");
    line.textContent = `${place} · ${about.verified ? form.dataset.textCited : form.dataset.textUncited}: “${(about.quote ?? "").slice(0, 180)}”`;
    return line;
  }));
}

async function ask(side, question, signal) {
  const model = side.querySelector("select").value;
  const began = performance.now();
  let first = 0;
  let text = "";
  let notes = [];
  let usage = null;
  side.dataset.state = "loading";
  show(side, "", []);
  side.querySelector(".spent").textContent = "";
  const body = { model, stream: true, stream_options: { include_usage: true }, messages: [{ role: "user", content: question }], ...settings() };
  try {
    const answer = await fetch("/v1/chat/completions", { method: "POST", signal, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(await faultOf(answer));
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      rest += value;
      const blocks = rest.split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const data = block.split("\n").filter((l) => l.startsWith("data: ")).map((l) => l.slice(6)).join("\n");
        if (!data || data === "[DONE]") continue;
        const piece = JSON.parse(data);
        if (piece.error) throw new Error(piece.error.message);
        usage = piece.usage ?? usage;
        const delta = piece.choices[0]?.delta;
        if (!delta) continue;
        if (delta.content && !first) first = performance.now() - began;
        text += delta.content ?? "";
        notes = delta.annotations ?? notes;
        show(side, text, notes);
      }
    }
    side.dataset.state = "done";
    const ms = Math.round(performance.now() - began);
    const spent = usage ? [fill(form.dataset.textTokens, { read: usage.prompt_tokens, written: usage.completion_tokens })] : [];
    spent.push(fill(form.dataset.textTimes, { first: first / 1000, whole: ms / 1000 }));
    side.querySelector(".spent").textContent = spent.join(" · ");
  } catch (error) {
    side.dataset.state = signal.aborted ? "done" : "error";
    const line = document.createElement("p");
    line.className = signal.aborted ? "muted" : "fault-line";
    line.textContent = signal.aborted ? form.dataset.textStopped : error.message;
    side.querySelector(".said").append(line); // what has arrived stays
  }
  return text;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = form.elements.question;
  const fault = document.getElementById("question-fault");
  fault.hidden = field.value.trim() !== "";
  field.setAttribute("aria-invalid", String(!fault.hidden));
  if (!fault.hidden) { fault.textContent = form.dataset.textEmpty; field.focus(); return; }
  stopping?.abort();
  stopping = new AbortController();
  halt.hidden = false;
  document.getElementById("alike").textContent = "";
  const sides = [...form.querySelectorAll(".duelist")];
  const said = await Promise.all(sides.map((side) => ask(side, field.value, stopping.signal)));
  halt.hidden = true;
  if (said[0] && said[0] === said[1]) document.getElementById("alike").textContent = form.dataset.textAlike;
});
halt.addEventListener("click", () => stopping?.abort());
form.elements.question.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); form.requestSubmit(); }
});

// --- snippets: tabs by click and by arrow keys; the model and question of the left side stand in them

function choose(tab) {
  for (const other of document.querySelectorAll('#call [role="tab"]')) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", String(chosen));
    other.tabIndex = chosen ? 0 : -1;
    document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
  }
}
document.addEventListener("click", (event) => {
  const tab = event.target.closest('#call [role="tab"]');
  if (tab) choose(tab);
});
document.addEventListener("keydown", (event) => {
  const tab = event.target.closest?.('#call [role="tab"]');
  if (!tab || !["ArrowRight", "ArrowLeft"].includes(event.key)) return;
  const tabs = [...tab.parentElement.children];
  const next = tabs[(tabs.indexOf(tab) + (event.key === "ArrowRight" ? 1 : tabs.length - 1)) % tabs.length];
  choose(next);
  next.focus();
});

async function refresh() {
  const query = new URLSearchParams({ model: form.elements.left.value, question: form.elements.question.value });
  const answer = await fetch(`/api/snippets?${query}`);
  if (!answer.ok) return;
  for (const [client, text] of Object.entries(await answer.json())) {
    const panel = document.querySelector(`[data-client="${client}"]`);
    if (!panel) continue;
    panel.querySelector("code").textContent = text;
    panel.querySelector("[data-copy]").dataset.copy = text;
  }
}
form.elements.left.addEventListener("change", refresh);
form.elements.question.addEventListener("change", refresh);
