// The live curve: drawn once from the job's JSON, then moved on by its stream of events. Steps are kept by their number,
// so a step that comes twice after a lost connection is drawn once; the mark says from where to listen again.
const live = document.getElementById("live");
const MOST_POINTS = 1000;
let chart = null;
let source = null;
let steps = new Map();
let mark = "";
let job = "";

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// A probe resolves light-dark() to the colour in force; a custom property alone would give back the function's text.
function colour(name) {
  const probe = document.createElement("span");
  probe.className = `probe ${name}`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

function points() {
  let sorted = [...steps.values()].sort((a, b) => a.step - b.step);
  const every = Math.ceil(sorted.length / MOST_POINTS);
  if (every > 1) sorted = sorted.filter((s, i) => i % every === 0 || s.valid_loss !== null || i === sorted.length - 1);
  return [sorted.map((s) => s.step), sorted.map((s) => s.train_loss), sorted.map((s) => s.valid_loss)];
}

function draw() {
  const box = document.getElementById("curve");
  if (!box || !window.uPlot) return;
  const data = points();
  box.hidden = data[0].length === 0;
  if (box.hidden) return; // a hidden box has no width to draw in
  if (chart && box.contains(chart.root)) { chart.setData(data); return; }
  box.replaceChildren();
  const soft = colour("ink-soft");
  const line = colour("line");
  const accent = colour("accent");
  const warm = colour("warn");
  const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: `12px ${token("font-family") || "Inter, sans-serif"}` };
  chart = new uPlot({
    width: box.clientWidth, height: 280, padding: [12, 12, 0, 0],
    scales: { x: { time: false } },
    cursor: { points: { size: 7 } },
    axes: [{ ...axis, size: 34, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000] }, { ...axis, size: 52 }],
    series: [
      { label: box.dataset.textStep },
      { label: box.dataset.textTrain, stroke: accent, width: 2, points: { show: data[0].length < 40, size: 5, fill: accent } },
      { label: box.dataset.textValid, stroke: warm, width: 2, dash: [6, 4], spanGaps: true, points: { show: true, size: 7, fill: warm } },
    ],
  }, data, box);
}

function take(changes) {
  for (const step of changes.steps) steps.set(step.step, step);
  draw();
}

function follow() {
  source?.close();
  source = new EventSource(`/api/jobs/${job}/events?after=${encodeURIComponent(mark)}`);
  source.onmessage = (message) => {
    mark = message.lastEventId || mark;
    take(JSON.parse(message.data));
  };
  source.addEventListener("end", () => { source.close(); source = null; });
  source.onerror = () => {
    if (source?.readyState === EventSource.CLOSED) setTimeout(() => { if (!document.hidden && source) follow(); }, 1500);
  };
}

async function begin() {
  const region = document.getElementById("live");
  if (!region) return;
  if (region.dataset.job !== job) { steps = new Map(); mark = ""; }
  job = region.dataset.job;
  const answer = await fetch(`/api/jobs/${job}`);
  if (!answer.ok) return;
  const view = await answer.json();
  for (const step of view.steps) steps.set(step.step, step);
  mark = view.mark;
  draw();
  if (!view.has_ended) follow();
}

function redraw() { chart?.destroy(); chart = null; draw(); }

document.addEventListener("visibilitychange", () => {
  if (document.hidden) { source?.close(); } else if (job) begin();
});
addEventListener("pagehide", () => source?.close());
addEventListener("resize", () => { if (chart) chart.setSize({ width: document.getElementById("curve").clientWidth, height: 280 }); });
document.body.addEventListener("pericia:theme", () => requestAnimationFrame(redraw));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
document.body.addEventListener("htmx:afterSettle", (event) => { if (event.target.id === "main" || event.target.querySelector?.("#live")) { chart = null; begin(); } });
if (live) begin();
