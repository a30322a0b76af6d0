// The records travel compressed and by column; charts are embedded when they come into view.
const unpack = ({ n, columns }) => Array.from({ length: n }, (_, i) => {
  const row = {};
  for (const [name, [kind, values, index]] of Object.entries(columns)) {
    row[name] = kind === "same" ? values : kind === "names" ? values[index[i]] : values[i];
  }
  return row;
});

async function inflate(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

const at = (id) => document.getElementById(id);
const views = new Map();
let charts, datasets, looks, steps, playing;

const look = () => {
  const asked = at("look").value;
  if (asked !== "auto") return asked;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
};

function rescaled(spec) {
  // The step axis is logarithmic as it comes.
  if (at("scale").value === "symlog") return spec;
  const copy = structuredClone(spec);
  const visit = (node) => {
    if (!node || typeof node !== "object") return;
    if (node.x?.field === "step") {
      node.x.scale = { ...node.x.scale, type: "linear" };
      delete node.x.scale.constant;
      node.x.axis = { grid: false, tickCount: 6 };
    }
    Object.values(node).forEach(visit);
  };
  visit(copy);
  return copy;
}

async function embed(figure) {
  const chart = charts[figure.dataset.chart];
  const spec = { ...rescaled(chart.spec), config: looks[look()] };
  if (chart.points !== null) spec.datasets = { points: datasets[chart.points] };
  if (chart.steps) spec.params = spec.params.map(({ bind, ...param }) => param);
  const options = { renderer: "canvas", actions: { export: true, source: false, compiled: false, editor: false } };
  views.get(figure)?.finalize();
  const result = await vegaEmbed(figure, spec, options);
  views.set(figure, result);
  figure.view = result.view; // for whoever looks at the page from a console or a test
  if (chart.steps) await seek(figure);
}

async function seek(figure) {
  const own = charts[figure.dataset.chart].steps;
  if (!own || !views.has(figure)) return;
  const step = steps[at("snapshot").value];
  await views.get(figure).view.signal("snapshot", own.filter((s) => s <= step).length - 1).runAsync();
}

function say() {
  at("step").value = `${steps[at("snapshot").value]} of ${steps.at(-1)}`;
}

async function move() {
  say();
  await Promise.all([...views.keys()].map(seek));
}

function play() {
  const slider = at("snapshot");
  clearInterval(playing);
  if (slider.value === slider.max) slider.value = 0;
  playing = setInterval(() => {
    slider.value = Number(slider.value) + 1;
    move();
    if (slider.value === slider.max) clearInterval(playing);
  }, 150);
}

async function start() {
  ({ charts, datasets, looks } = await inflate(at("payload").textContent));
  datasets = datasets.map(unpack);
  const all = Object.values(charts).flatMap((chart) => chart.steps ?? []);
  steps = [...new Set(all)].sort((a, b) => a - b);
  if (steps.length > 1) {
    at("stepper").hidden = false;
    at("snapshot").max = steps.length - 1;
    at("snapshot").value = steps.length - 1;
    say();
    at("snapshot").addEventListener("input", move);
    at("play").addEventListener("click", play);
  }
  const figures = [...document.querySelectorAll("figure")];
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      embed(entry.target).catch(fail);
    }
  }, { rootMargin: "300px" });
  figures.forEach((figure) => seen.observe(figure));
  const again = () => {
    document.documentElement.dataset.look = at("look").value;
    [...views.keys()].forEach((figure) => embed(figure).catch(fail));
  };
  at("look").addEventListener("change", again);
  at("scale").addEventListener("change", again);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  addEventListener("beforeprint", () => figures.filter((f) => !views.has(f)).forEach((f) => embed(f).catch(fail)));
}

function fail(error) {
  at("trouble").hidden = false;
  at("trouble").textContent = `The pictures could not be drawn: ${error.message}. A browser from 2023 or later is needed; tables below are complete.`;
  console.error(error);
}

start().catch(fail);
