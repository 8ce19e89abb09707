let threshold = data.threshold;
let shown = [];
let selected;

/* The cards: made when the end of the grid comes near the window, for thousands of pictures take seconds to lay out. */

const BATCH = 60;
const imageOf = new Map();
const nearEnd = new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting)) reach(find("grid").childElementCount + BATCH);
}, { rootMargin: "1500px" });

/* Puts cards into the grid until it holds this many. */
function reach(number) {
  const grid = find("grid");
  nearEnd.disconnect();
  grid.append(...shown.slice(grid.childElementCount, number).map((image) => (image.card ??= makeCard(image))));
  // Observed anew, for the end may still be near, and an observer only speaks of changes.
  if (grid.childElementCount < shown.length) nearEnd.observe(find("end"));
}

function makeCard(image) {
  const card = find("card-template").content.firstElementChild.cloneNode(true);
  const [strip, name, facts, regions] = card.children;
  fillStrip(strip, image);
  name.textContent = image.file;
  facts.children[1].textContent = short(image.judged);
  facts.children[2].textContent = image.defect;
  regions.textContent = regionsInWords(image.regions);
  showDecision(facts.children[0], image);
  imageOf.set(card, image);
  return card;
}

function showDecision(badge, image) {
  badge.textContent = image.flagged ? "anomalous" : "normal";
  badge.className = `badge ${badge.textContent}`;
}

function fillStrip(strip, image) {
  const text = pictures[image.row].textContent;
  const picture = new Image();
  picture.alt = "image, heatmap and overlay";
  picture.onerror = () => strip.replaceChildren("the picture is damaged");
  if (text) picture.src = `data:image/jpeg;base64,${text}`;
  const file = `pictures/${String(image.row + data.before).padStart(6, "0")}.jpg`;
  strip.replaceChildren(text ? picture : `the picture ${file} is missing`);
}

function regionsInWords(regions) {
  if (!regions.length) return "no regions";
  const highest = regions.reduce((best, region) => (region.peak > best.peak ? region : best));
  const several = regions.length === 1 ? "1 region" : `${regions.length} regions`;
  return `${several}, peak ${short(highest.peak)} at ${highest.box.join(", ")}`;
}

function sortImages() {
  const sign = find("order").value === "highest" ? -1 : 1;
  images.sort((a, b) => sign * (a.judged - b.judged) || a.row - b.row);
}

function addDefects() {
  const names = [...new Set(images.map((image) => image.defect))].sort();
  // A value starts with "=", so that no defect's name is taken for "all".
  for (const name of names) find("by-defect").append(new Option(name || "unknown", `=${name}`));
}

/* Decisions: whatever changes the threshold or a filter ends here. */

function decide() {
  for (const image of images) {
    const flagged = image.judged > threshold;
    if (image.flagged === flagged) continue;
    image.flagged = flagged;
    if (image.card) showDecision(image.card.querySelector(".badge"), image);
  }
  const tally = (kind, flagged) => images.filter((image) => image.kind === kind && image.flagged === flagged).length;
  showCounts({
    tp: tally("defective", true), fn: tally("defective", false), fp: tally("good", true), tn: tally("good", false),
  });
  moveMarks();
  filterCards();
}

function showCounts(cells) {
  const flagged = images.filter((image) => image.flagged).length;
  find("totals").textContent = [
    (data.before ? `the newest ${count(images.length)} of ${count(all)} ` : `${count(all)} `) +
      (all === 1 ? "image" : "images"),
    `${count(flagged)} anomalous`,
    `${count(images.length - flagged)} normal`,
    ...(data.errors.length ? [`${count(data.errors.length)} could not be scored`] : []),
  ].join(" · ");
  const { tp, fn, fp, tn } = cells;
  const share = (part, whole) => (whole ? (part / whole).toFixed(3) : "not known");
  find("verdict").textContent = `${count(flagged)} of ${count(images.length)} above ${short(threshold)}.` +
    (tp + fn && fp + tn ? ` Precision ${share(tp, tp + fp)}, recall ${share(tp, tp + fn)}.` : "");
  for (const [name, number] of Object.entries(cells)) find(name).textContent = count(number);
  moveRoc(fp / (fp + tn), tp / (tp + fn));
  movePrecisionRecall(tp / (tp + fn), tp / (tp + fp));
}

function filterCards() {
  const [decision, defect] = [find("by-decision").value, find("by-defect").value];
  const words = find("by-name").value.toLowerCase();
  const wanted = images.filter((image) => (!decision || (decision === "anomalous") === image.flagged) &&
    (!defect || defect === `=${image.defect}`) && image.search.includes(words));
  if (wanted.length === shown.length && wanted.every((image, place) => image === shown[place])) return;
  shown = wanted;
  find("shown").textContent = `${count(shown.length)} of ${count(images.length)} shown`;
  find("grid").replaceChildren();
  reach(BATCH);
  select(shown[0]);
}

function setThreshold(value) {
  threshold = value;
  decide();
}

/* One card is in the order of the tab key; arrows choose which. */

function select(image) {
  if (selected) selected.card.tabIndex = -1;
  selected = image;
  if (image) image.card.tabIndex = 0;
}

function neighbour(key) {
  const columns = getComputedStyle(find("grid")).gridTemplateColumns.split(" ").length;
  const here = shown.indexOf(selected);
  const there = {
    ArrowLeft: here - 1, ArrowRight: here + 1, ArrowUp: here - columns, ArrowDown: here + columns,
    Home: 0, End: shown.length - 1,
  }[key];
  if (!(there in shown)) return undefined;
  reach(there + 1);
  return shown[there];
}

let enlarged;
function enlarge(image) {
  enlarged = image;
  select(image);
  find("large-name").textContent = image.file;
  fillStrip(find("large-strip"), image);
  find("large-facts").textContent = [
    image.flagged ? "anomalous" : "normal", image.defect || "defect unknown", `score ${long(image.score)}`,
    ...(image.calibrated === null ? [] : [`calibrated ${long(image.calibrated)}`]),
    ...(image.milliseconds === null ? [] : [`${short(image.milliseconds)} ms`]),
  ].join(" · ");
  const body = find("regions").querySelector("tbody");
  body.replaceChildren();
  find("regions").hidden = !image.regions.length;
  for (const { box, area, peak, mean } of image.regions) {
    const row = body.insertRow();
    for (const text of [box.join(", "), ...[area, peak, mean].map(short)]) row.insertCell().textContent = text;
  }
  if (!find("large").open) find("large").showModal();
}

/* Start. */

const axis = scoreAxis(images.map((image) => image.judged), threshold);
let moveLine = () => {};
let moveRoc = () => {};
let movePrecisionRecall = () => {};

function moveMarks() {
  const slider = find("slider");
  moveLine(threshold);
  slider.value = Math.round(axis.share(threshold) * slider.max);
  slider.setAttribute("aria-valuetext", short(threshold));
  if (document.activeElement !== find("threshold")) find("threshold").value = threshold;
}

function drawScores() {
  moveLine = drawHistogram(find("histogram"), images, axis);
  moveLine(threshold);
}

function addLegend() {
  const words = { good: "good", defective: "defective", unknown: "not labelled" };
  for (const kind of KINDS.filter((kind) => images.some((image) => image.kind === kind))) {
    const item = document.createElement("li");
    draw(draw(item, "svg", { "aria-hidden": "true" }), "rect", { class: kind, width: 12, height: 12 });
    item.append(words[kind]);
    find("legend").append(item);
  }
}

function showCurves() {
  const { curves } = data;
  const labelled = images.filter((image) => image.kind !== "unknown");
  find("labels").hidden = !labelled.length;
  find("curves").hidden = !curves;
  if (!curves) return;
  const share = labelled.filter((image) => image.kind === "defective").length / labelled.length;
  moveRoc = drawCurve(find("roc"), curves.roc, { across: "false-positive rate", up: "recall", chance: [0, 1] });
  movePrecisionRecall = drawCurve(find("precision-recall"), curves.precisionRecall, {
    across: "recall", up: "precision", chance: [share, share],
  });
  const captions = { roc: ["AUROC", curves.auroc], "precision-recall": ["Average precision", curves.averagePrecision] };
  for (const [id, [name, area]] of Object.entries(captions)) {
    find(`${id}-caption`).textContent = `${name} ${area.toFixed(4)}`;
    find(id).setAttribute("aria-label", `${name} ${area.toFixed(4)}`);
  }
}

function listen() {
  const slider = find("slider");
  slider.addEventListener("input", () => setThreshold(axis.score(slider.value / slider.max)));
  find("threshold").addEventListener("input", (event) => {
    if (Number.isFinite(event.target.valueAsNumber)) setThreshold(event.target.valueAsNumber);
  });
  find("reset").addEventListener("click", () => setThreshold(data.threshold));
  find("filters").addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["by-decision", "by-defect", "by-name"]) find(id).addEventListener("input", filterCards);
  find("order").addEventListener("input", () => { sortImages(); filterCards(); });
  find("grid").addEventListener("click", (event) => {
    const card = event.target.closest(".card");
    if (card) enlarge(imageOf.get(card));
  });
  find("grid").addEventListener("focusin", (event) => select(imageOf.get(event.target)));
  find("grid").addEventListener("keydown", (event) => {
    const next = neighbour(event.key);
    if (!next) return;
    event.preventDefault();
    next.card.focus();
  });
  find("large").addEventListener("keydown", (event) => {
    const next = ["ArrowLeft", "ArrowRight"].includes(event.key) && neighbour(event.key);
    if (next) enlarge(next);
  });
  find("close").addEventListener("click", () => find("large").close());
  find("large").addEventListener("close", () => enlarged.card.focus());
  new ResizeObserver(drawScores).observe(find("histogram"));
  // Paper has no scrolling: everything that is shown is opened and drawn.
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
    reach(shown.length);
  });
}

showRun();
showCard();
showErrors();
showCurves();
addLegend();
addDefects();
sortImages();
decide();
listen();
