/* What the page is told, and the parts that never change: header, errors and the model's card. */

const find = (id) => document.getElementById(id);
const data = JSON.parse(find("data").textContent);
const { run, images } = data;
const pictures = find("pictures").content.children;
const count = (number) => number.toLocaleString("en");
const long = (number) => String(Number(number.toPrecision(7)));
const percent = (share) => `${short(share * 100)}%`;

images.forEach((image, row) => {
  image.row = row;
  image.judged = image[data.judgedBy];
  image.kind = image.defect === "" ? "unknown" : image.defect === "good" ? "good" : "defective";
  image.search = image.file.toLowerCase();
});

/* Of a run of many images the page may hold the newest alone. */
const all = images.length + data.before;

/* Names with dots, for tables inside tables do not fit a narrow window. */
function* flattened(value, name) {
  const nested = value !== null && typeof value === "object";
  if (nested && !Array.isArray(value) && Object.keys(value).length) {
    for (const [key, item] of Object.entries(value)) yield* flattened(item, name ? `${name}.${key}` : key);
  } else {
    yield [name, nested ? JSON.stringify(value) : String(value ?? "none")];
  }
}

function showCard() {
  for (const [name, text] of flattened(run, "")) {
    const row = find("card").insertRow();
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    row.append(head);
    row.insertCell().textContent = text;
  }
}

function showRun() {
  find("title").textContent = run.bundle ?? "Results";
  document.title = `${run.bundle ?? "Results"} - jaxad report`;
  const judge = `judged by the ${data.judgedBy === "score" ? "raw" : "calibrated"} score`;
  find("source").textContent = run.source ? `Images of ${run.source}, ${judge}` : `Images ${judge}`;
  const limits = run.colour_limits;
  const known = Array.isArray(limits) && limits.every(Number.isFinite);
  find("scale").textContent = "Each strip shows image, heatmap and overlay; all heatmaps share one colour scale" +
    (known ? `, from ${limits.map(short).join(" to ")}.` : ".");
  const { rate_asked: asked, rate, interval, count: normal, enough } = run.threshold;
  const promise = [];
  if (Number.isFinite(asked)) promise.push(`The model's threshold was set for false alarms of ${percent(asked)}.`);
  if (Number.isFinite(rate) && Number.isFinite(normal)) {
    promise.push(`Of ${count(normal)} normal images, each judged as a new one, ${percent(rate)} score above it.`);
  }
  if (Array.isArray(interval) && interval.every(Number.isFinite)) {
    promise.push(`The true rate lies between ${interval.map(percent).join(" and ")}.`);
  }
  if (enough === false) promise.push("These are too few normal images to support the rate that was asked for.");
  find("promise").textContent = promise.join(" ");
}

function showErrors() {
  const several = data.errors.length === 1 ? "1 file" : `${count(data.errors.length)} files`;
  find("errors-heading").textContent = `${several} could not be scored`;
  find("errors").hidden = data.errors.length === 0;
  for (const error of data.errors) {
    const row = find("errors").querySelector("tbody").insertRow();
    row.insertCell().textContent = error.file;
    row.insertCell().textContent = error.reason;
  }
}
