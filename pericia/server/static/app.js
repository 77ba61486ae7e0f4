// What every page does: theme, language, menu, toasts, copying, and the one stream of events.
import { listen } from "./live.js";

const root = document.documentElement;
const body = document.body;

// --- toasts: one sentence, gone after a while; errors stay until they are closed

export function toast(text, tone = "plain") {
  const box = document.createElement("div");
  box.className = `toast ${tone}`;
  const words = document.createElement("span");
  words.textContent = text;
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "×";
  close.setAttribute("aria-label", "OK");
  close.addEventListener("click", () => box.remove());
  box.append(words, close);
  document.getElementById("toasts").append(box);
  if (tone !== "bad") setTimeout(() => box.remove(), 6000);
}

// The server's own words about a failed request, with the id that its log knows.
export async function faultOf(response) {
  let text = body.dataset.textFailed;
  try { text = (await response.json()).error.message; } catch { /* no JSON: the general sentence stays */ }
  const id = response.headers.get("x-request-id");
  return id ? `${text} (${id.slice(0, 12)})` : text;
}

body.addEventListener("htmx:responseError", (event) => {
  const request = event.detail.xhr;
  let text = body.dataset.textFailed;
  try { text = JSON.parse(request.responseText).error.message; } catch { /* as above */ }
  toast(text, "bad");
});
body.addEventListener("htmx:sendError", () => toast(body.dataset.textOffline, "bad"));

// --- theme and language: chosen at once, kept by a cookie that the server reads

document.addEventListener("click", async (event) => {
  const choice = event.target.closest("[data-themes] button");
  if (choice) {
    event.preventDefault();
    root.dataset.theme = choice.value;
    for (const button of choice.parentElement.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button === choice));
    }
    body.dispatchEvent(new CustomEvent("pericia:theme"));
    await fetch("/settings", { method: "POST", body: new URLSearchParams({ theme: choice.value }), redirect: "manual" });
    return;
  }
  const copied = event.target.closest("[data-copy]");
  if (copied) {
    await navigator.clipboard.writeText(copied.dataset.copy);
    toast(body.dataset.textCopied);
  }
});
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
});

const menu = document.querySelector("[data-menu]");
menu?.addEventListener("click", () => {
  const open = document.getElementById("side-menu").classList.toggle("open");
  menu.setAttribute("aria-expanded", String(open));
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && menu?.getAttribute("aria-expanded") === "true") {
    menu.click();
    menu.focus();
  }
});

// --- events: say that something has changed; a region then fetches itself again (hx-trigger="pericia:event from:body")

// Templates do not throttle: an element has one throttle for all its triggers, and what it drops may be the last event.
const APART_MS = 1600; // so that a burst of events is one look, and the last of them always comes through
const kinds = new Map(); // of each kind of event: when it was told, what waits, and how many regions fetch because of it

const kindOf = (name) => kinds.get(name) ?? kinds.set(name, { at: -Infinity, timer: 0, waiting: null, fetching: 0 }).get(name);

function tell(name, event) {
  const kind = kindOf(name);
  kind.waiting = event;
  clearTimeout(kind.timer);
  kind.timer = setTimeout(() => {
    // A region that fetches is about to be replaced and would not hear; the event is told when it has been.
    if (kind.fetching || !kind.waiting) return;
    const detail = kind.waiting;
    kind.waiting = null;
    kind.at = performance.now();
    body.dispatchEvent(new CustomEvent(name, { detail }));
  }, Math.max(0, kind.at + APART_MS - performance.now()));
}

const causeOf = (event) => event.detail.requestConfig?.triggeringEvent?.type ?? "";
body.addEventListener("htmx:beforeRequest", (event) => {
  if (causeOf(event).startsWith("pericia:")) kindOf(causeOf(event)).fetching += 1;
});
body.addEventListener("htmx:afterRequest", (event) => {
  if (!causeOf(event).startsWith("pericia:")) return;
  const kind = kindOf(causeOf(event));
  kind.fetching = Math.max(0, kind.fetching - 1);
  if (!kind.fetching && kind.waiting) tell(causeOf(event), kind.waiting);
});

// News of work in the background brings a new screen when the work has ended. While it goes on, or while somebody fills
// in a form, only the part that tells of it is replaced: nothing that was typed, opened or scrolled to is lost.
const isTouched = (field) => (field.matches("[type=checkbox], [type=radio]")
  ? field.checked !== field.defaultChecked
  : field.matches("select") ? ![...field.options].some((one) => one.selected && one.defaultSelected) && field.selectedIndex > 0
    : field.value !== field.defaultValue);

body.addEventListener("htmx:beforeSwap", (event) => {
  const { elt } = event.detail.requestConfig;
  if (event.detail.target.id !== "main" || !elt.id || !causeOf(event).startsWith("pericia:")) return;
  const page = new DOMParser().parseFromString(event.detail.serverResponse, "text/html");
  const works = page.getElementById(elt.id)?.dataset.state === "running";
  const typing = [...document.querySelectorAll("main :is(input, textarea, select)")].some(isTouched);
  if (!works && !typing) return;
  event.detail.target = elt;
  event.detail.selectOverride = `#${elt.id}`;
  if (!works) toast(body.dataset.textNews);
});

listen(body.dataset.topics, body.dataset.mark, (event) => {
  tell("pericia:event", event);
  tell(`pericia:${event.topic.split(":")[0]}`, event);
  if (event.status !== "running") tell("pericia:changed", event);
});
