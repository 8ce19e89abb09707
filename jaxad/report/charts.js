"use strict";

const KINDS = ["good", "defective", "unknown"];
const BINS = 60;
const MARGIN = 10;
const SVG = "http://www.w3.org/2000/svg";

function draw(parent, name, attributes, text) {
  const shape = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
  if (text !== undefined) shape.textContent = text;
  parent.append(shape);
  return shape;
}

function short(value) {
  return String(Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toPrecision(4)));
}

/* The scores on an axis from 0 to 1: logarithmic where the largest is over 100 times the median. */
function scoreAxis(scores, threshold) {
  const sorted = [...scores, threshold].sort((a, b) => a - b);
  const [low, high] = [sorted[0], sorted[sorted.length - 1]];
  const logarithmic = low > 0 && high > 100 * sorted[sorted.length >> 1];
  const bend = logarithmic ? Math.log : (x) => x;
  const unbend = logarithmic ? Math.exp : (x) => x;
  // Room on both sides, so that the slider's ends flag every image and none.
  const room = (bend(high) - bend(low)) * 0.02 || Math.abs(bend(high)) * 0.02 || 1;
  const start = bend(low) - room;
  const length = bend(high) + room - start;
  return {
    share: (score) => (bend(score) - start) / length,
    score: (share) => Number(unbend(start + share * length).toPrecision(6)),
    ticks: (count) => (logarithmic ? powerTicks(low, high, count) : evenTicks(start, start + length, count)),
  };
}

function evenTicks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const ticks = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) ticks.push(n * step);
  return ticks;
}

function powerTicks(low, high, count) {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const powers = Array.from({ length: last - first + 1 }, (_, n) => first + n);
  const factors = powers.length * 3 <= count ? [1, 2, 5] : [1];
  const every = Math.ceil((powers.length * factors.length) / count);
  return powers
    .filter((_, n) => n % every === 0)
    .flatMap((power) => factors.map((factor) => factor * 10 ** power))
    .filter((tick) => tick >= low && tick <= high);
}

/* A histogram with stacked bars; returns what moves the threshold's line. */
function drawHistogram(svg, images, axis) {
  const [width, height] = [svg.clientWidth, svg.clientHeight];
  const [top, floor] = [18, height - 22];
  const place = (share) => MARGIN + share * (width - 2 * MARGIN);
  const counts = KINDS.map(() => new Array(BINS).fill(0));
  for (const image of images) {
    const bin = Math.min(BINS - 1, Math.floor(axis.share(image.judged) * BINS));
    counts[KINDS.indexOf(image.kind)][bin]++;
  }
  const highest = Math.max(1, ...counts[0].map((_, bin) => counts.reduce((sum, row) => sum + row[bin], 0)));

  svg.replaceChildren();
  draw(svg, "line", { class: "axis", x1: MARGIN, x2: width - MARGIN, y1: floor, y2: floor });
  draw(svg, "text", { x: MARGIN, y: 11 }, `most in one bar: ${highest.toLocaleString("en")}`);
  for (let bin = 0; bin < BINS; bin++) {
    let foot = floor;
    counts.forEach((row, kind) => {
      if (!row[bin]) return;
      // One image among thousands must still be seen.
      const tall = Math.max(2, (row[bin] / highest) * (floor - top));
      const wide = (width - 2 * MARGIN) / BINS;
      foot -= tall;
      draw(svg, "rect", { class: KINDS[kind], x: place(bin / BINS), y: foot, width: wide * 0.9, height: tall });
    });
  }
  for (const tick of axis.ticks(Math.max(2, Math.floor(width / 90)))) {
    draw(svg, "text", { x: place(axis.share(tick)), y: height - 6, "text-anchor": "middle" }, short(tick));
  }
  const mark = draw(svg, "line", { class: "mark", y1: top - 4, y2: floor });
  return (threshold) => {
    const x = place(Math.min(1, Math.max(0, axis.share(threshold) || 0)));
    mark.setAttribute("x1", x);
    mark.setAttribute("x2", x);
  };
}

/* A curve in the unit square; returns what moves its dot, which is hidden where its place is not known. */
function drawCurve(svg, points, { across, up, chance }) {
  const [width, height] = [270, 262];
  const [left, right, top, floor] = [44, width - 8, 8, height - 40];
  const x = (share) => left + share * (right - left);
  const y = (share) => floor - share * (floor - top);
  for (const tick of [0, 0.5, 1]) {
    draw(svg, "line", { class: "axis", x1: x(tick), x2: x(tick), y1: y(0), y2: y(1) });
    draw(svg, "line", { class: "axis", x1: x(0), x2: x(1), y1: y(tick), y2: y(tick) });
    draw(svg, "text", { x: x(tick), y: floor + 16, "text-anchor": "middle" }, tick);
    draw(svg, "text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, tick);
  }
  draw(svg, "text", { x: x(0.5), y: height - 6, "text-anchor": "middle" }, across);
  draw(svg, "text", { x: 0, y: 0, "text-anchor": "middle", transform: `translate(14 ${y(0.5)}) rotate(-90)` }, up);
  draw(svg, "line", { class: "chance", x1: x(0), y1: y(chance[0]), x2: x(1), y2: y(chance[1]) });
  draw(svg, "polyline", { class: "curve", points: points.map((point) => `${x(point[0])},${y(point[1])}`).join(" ") });
  const dot = draw(svg, "circle", { class: "dot", r: 6 });
  return (over, high) => {
    const known = Number.isFinite(over) && Number.isFinite(high);
    dot.setAttribute("visibility", known ? "visible" : "hidden");
    if (!known) return;
    dot.setAttribute("cx", x(over));
    dot.setAttribute("cy", y(high));
  };
}
