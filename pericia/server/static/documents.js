// Files and folders come in by drop or choice, in small batches; what was refused is listed with its reason.
import { toast, faultOf } from "./app.js";

const form = document.querySelector("[data-drop]");
const sending = form.querySelector("[data-sending]");
const refused = form.querySelector("[data-refused]");
const BATCH_FILES = 20;
const BATCH_BYTES = 32 << 20;

async function filesBelow(entry, path = "") {
  if (entry.isFile) {
    const file = await new Promise((found, failed) => entry.file(found, failed));
    return [{ file, path: path + file.name }];
  }
  const reader = entry.createReader();
  const all = [];
  for (;;) { // a reader gives at most a hundred entries at a time
    const some = await new Promise((found, failed) => reader.readEntries(found, failed));
    if (!some.length) break;
    for (const one of some) all.push(...await filesBelow(one, `${path}${entry.name}/`));
  }
  return all;
}

function batches(files) {
  const made = [];
  let bytes = Infinity;
  for (const one of files) {
    if (bytes + one.file.size > BATCH_BYTES || made.at(-1).length >= BATCH_FILES) {
      made.push([]);
      bytes = 0;
    }
    made.at(-1).push(one);
    bytes += one.file.size;
  }
  return made;
}

function refuse(name, why) {
  const line = document.createElement("li");
  line.textContent = `${form.dataset.textRefused} ${name}: ${why}`;
  refused.append(line);
}

async function send(files) {
  const visible = files.filter(({ path }) => !path.split("/").some((part) => part.startsWith(".")));
  refused.replaceChildren();
  sending.hidden = false;
  const bar = sending.querySelector("progress");
  const words = sending.querySelector("span");
  bar.max = visible.length || 1;
  let done = 0;
  for (const batch of batches(visible)) {
    bar.value = done;
    words.textContent = form.dataset.textSending.replace("{done}", done).replace("{total}", visible.length);
    const body = new FormData();
    for (const { file, path } of batch) {
      body.append("file", file, file.name);
      body.append("path", path);
    }
    try {
      const answer = await fetch("/documents", { method: "POST", headers: { Accept: "application/json" }, body });
      if (answer.ok) {
        const { refused: list } = await answer.json();
        list.forEach((one) => refuse(one.name, one.why));
      } else {
        const why = await faultOf(answer);
        batch.forEach(({ path }) => refuse(path, why));
      }
    } catch {
      toast(document.body.dataset.textOffline, "bad");
      batch.forEach(({ path }) => refuse(path, document.body.dataset.textFailed));
    }
    done += batch.length;
    document.body.dispatchEvent(new CustomEvent("pericia:uploaded"));
  }
  sending.hidden = true;
}

async function take(input) {
  const files = [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
  input.value = "";
  if (files.length) await send(files);
}
for (const input of form.querySelectorAll("input[type=file]")) {
  input.addEventListener("change", () => take(input));
  take(input); // what was chosen before this script was there
}

// The whole window takes what is dropped, so that a near miss does not make the browser leave the page.
addEventListener("dragover", (event) => { event.preventDefault(); form.classList.add("over"); });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) form.classList.remove("over"); });
addEventListener("drop", async (event) => {
  event.preventDefault();
  form.classList.remove("over");
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  const files = [];
  for (const entry of entries) files.push(...await filesBelow(entry));
  if (files.length) await send(files);
});
