// Marks of candidates. Pointing at one, or moving to it with the keyboard, names it with its numbers, and brings out
// the same candidate wherever else it is on the page: every element with `data-candidate`. Knows figures and tables,
// not what a search is.

const SVG = "http://www.w3.org/2000/svg";
const NEAR = 24; // how far from a mark a pointer may be, in pixels of the screen: a mark is small, a finger is not

/**
 * Bring the marks of the page to life.
 *
 * @param {function(number, ?number): Array} describe from a candidate, and a step of its or null, to
 *   [name, [[label, value], ...], remark], or null where the page knows no more than the mark's own title.
 * @returns what the explorer needs: the elements of each candidate, the traces of each figure, and `point`.
 */
function startMarks(describe) {
  const parts = new Map();
  for (const element of document.querySelectorAll("[data-candidate]")) {
    const candidate = Number(element.dataset.candidate);
    parts.set(candidate, [...(parts.get(candidate) ?? []), element]);
  }
  const tip = document.getElementById("tip");
  let lit = [];
  let pinned = null;

  const bringOut = (candidate) => {
    if (lit.length && Number(lit[0].dataset.candidate) === candidate) return;
    for (const element of lit) element.classList.remove("lit");
    lit = (candidate !== null && parts.get(candidate)) || [];
    for (const element of lit) element.classList.add("lit");
    document.body.classList.toggle("picking", lit.length > 0);
  };
  const rest = () => {
    tip.hidden = true;
    for (const ring of document.querySelectorAll(".ring")) ring.setAttribute("visibility", "hidden");
    bringOut(pinned);
  };
  const pin = (candidate) => {
    for (const row of document.querySelectorAll("tr[aria-current]")) row.removeAttribute("aria-current");
    pinned = pinned === candidate ? null : candidate;
    for (const element of parts.get(pinned) ?? []) {
      if (element.tagName === "TR") element.setAttribute("aria-current", "true");
    }
    bringOut(pinned);
  };
  const marks = { parts, bringOut, rest, pin, tip, figures: [], byKeys: false };
  startHands(marks);
  for (const svg of document.querySelectorAll("figure svg")) {
    const traces = [...svg.querySelectorAll(".mark")].map(readTrace);
    if (traces.length) marks.figures.push(startFigure(svg, traces, describe, marks));
  }
  for (const body of document.querySelectorAll("table.picked tbody")) startRows(body, marks);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (pinned !== null) pin(pinned);
    rest();
  });
  // What the focus has scrolled into view keeps its tip beside it.
  addEventListener("scroll", () => { if (!tip.hidden) marks.place?.(); }, { passive: true, capture: true });
  return marks;
}

/** Who works with keys is not disturbed by a pointer that rests somewhere while the page scrolls below it. */
function startHands(marks) {
  let place = "";
  addEventListener("keydown", () => { marks.byKeys = true; }, { capture: true });
  addEventListener("pointermove", ({ clientX, clientY }) => {
    const here = `${clientX} ${clientY}`;
    if (place && here !== place) marks.byKeys = false; // the first that is heard of is where it rests
    place = here;
  }, { capture: true });
}

/** What a mark's attributes tell: whose it is, and where it lies, once or after each step. */
function readTrace(element) {
  const { candidate, at, along, first, losses } = element.dataset;
  const title = element.querySelector("title");
  const told = title.textContent;
  title.remove(); // the page shows it itself
  const spots = (along ?? at).split(" ").map((place, index) => {
    const [x, y] = place.split(",").map(Number);
    return { x, y, step: along ? Number(first) + index : null, loss: losses?.split(" ")[index] };
  });
  element.setAttribute("role", "img");
  element.setAttribute("aria-label", told.replaceAll("\n", ", "));
  return { element, candidate: Number(candidate), told, spots, shown: spots.length };
}

/** Pointer and keyboard in one figure. */
function startFigure(svg, traces, describe, marks) {
  const ring = svg.appendChild(document.createElementNS(SVG, "circle"));
  ring.setAttribute("class", "ring");
  ring.setAttribute("r", "9");
  ring.setAttribute("visibility", "hidden");
  svg.setAttribute("role", "group");
  const point = (trace, spot) => {
    marks.bringOut(trace.candidate);
    ring.setAttribute("cx", spot.x);
    ring.setAttribute("cy", spot.y);
    ring.setAttribute("visibility", "visible");
    fillTip(marks.tip, trace, spot, describe);
    marks.place = () => placeTip(marks.tip, new DOMPoint(spot.x, spot.y).matrixTransform(svg.getScreenCTM()));
    marks.place();
  };
  const under = (event) => {
    const matrix = svg.getScreenCTM();
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    return nearest(traces, x, y, NEAR / matrix.a);
  };
  svg.addEventListener("pointermove", (event) => {
    if (marks.byKeys) return;
    const found = under(event);
    if (found) point(...found);
    else marks.rest();
  });
  svg.addEventListener("pointerleave", () => { if (!marks.byKeys) marks.rest(); });
  svg.addEventListener("click", (event) => {
    const found = under(event);
    if (!found || "brush" in svg.dataset) return;
    marks.pin(found[0].candidate);
    point(...found);
  });
  startKeys(svg, traces, point, marks);
  return { svg, traces };
}

/** One stop for Tab; arrows go from mark to mark, and along a curve from step to step. */
function startKeys(svg, traces, point, marks) {
  // From left to right; curves, which begin together, from their ends on top to those below.
  const along = traces.some((trace) => trace.spots.length > 1);
  const last = (trace) => trace.spots[trace.spots.length - 1];
  const order = traces.toSorted((a, b) => (along ? last(a).y - last(b).y : last(a).x - last(b).x));
  let step = null;
  for (const trace of order) {
    trace.element.setAttribute("tabindex", "-1");
    trace.element.addEventListener("focus", () => {
      step = trace.shown - 1;
      marks.byKeys = true;
      point(trace, trace.spots[step]);
    });
    trace.element.addEventListener("blur", () => marks.rest());
  }
  order[0].element.setAttribute("tabindex", "0");
  svg.addEventListener("keydown", (event) => {
    const seen = order.filter((trace) => trace.shown > 0);
    const place = seen.findIndex((trace) => trace.element === document.activeElement);
    if (place < 0) return;
    const here = seen[place];
    if (event.key === "Enter" || event.key === " ") marks.pin(here.candidate);
    else if (along && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      step = clamp(step + (event.key === "ArrowRight" ? 1 : -1), 0, here.shown - 1);
      point(here, here.spots[step]);
      say(tipWords(marks.tip));
    } else if (!moveTab(seen.map((trace) => trace.element), place, event.key)) return;
    event.preventDefault();
  });
}

/** Rows of a table: one stop for Tab, arrows go up and down, Enter keeps a candidate brought out. */
function startRows(body, marks) {
  const rows = [...body.rows];
  rows.forEach((row, index) => {
    const candidate = Number(row.dataset.candidate);
    row.setAttribute("tabindex", index ? "-1" : "0");
    row.addEventListener("pointermove", () => { if (!marks.byKeys) marks.bringOut(candidate); });
    row.addEventListener("pointerleave", () => { if (!marks.byKeys) marks.rest(); });
    row.addEventListener("focus", () => {
      marks.byKeys = true;
      marks.bringOut(candidate);
    });
    row.addEventListener("blur", () => marks.rest());
    row.addEventListener("click", (event) => {
      if (!event.target.closest("a, button, summary, pre")) marks.pin(candidate);
    });
    row.addEventListener("keydown", (event) => {
      if (event.target !== row) return;
      if (event.key === "Enter" || event.key === " ") marks.pin(candidate);
      else if (!moveTab(rows, index, event.key)) return;
      event.preventDefault();
    });
  });
}

/** Hand the stop for Tab, and the focus, to a neighbour; whether the key asked for that. */
function moveTab(elements, place, key) {
  const targets = {
    ArrowLeft: place - 1, ArrowUp: place - 1, ArrowRight: place + 1, ArrowDown: place + 1,
    Home: 0, End: elements.length - 1,
  };
  if (!(key in targets)) return false;
  const target = elements[clamp(targets[key], 0, elements.length - 1)];
  elements[place].setAttribute("tabindex", "-1");
  target.setAttribute("tabindex", "0");
  target.focus();
  return true;
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

/** The trace whose line is nearest to a place, with its nearest spot; null where none is near. */
function nearest(traces, x, y, near) {
  let found = null;
  let least = near;
  for (const trace of traces) {
    for (let index = 0; index < trace.shown; index++) {
      const distance = toSegment(x, y, trace.spots[index], trace.spots[Math.min(index + 1, trace.shown - 1)]);
      if (distance < least) [found, least] = [trace, distance];
    }
  }
  if (!found) return null;
  const spots = found.spots.slice(0, found.shown);
  const away = (spot) => Math.hypot(spot.x - x, spot.y - y);
  return [found, spots.reduce((best, spot) => (away(spot) < away(best) ? spot : best))];
}

function toSegment(x, y, from, to) {
  const [across, up] = [to.x - from.x, to.y - from.y];
  const length = across * across + up * up;
  const share = length ? clamp(((x - from.x) * across + (y - from.y) * up) / length, 0, 1) : 0;
  return Math.hypot(x - from.x - share * across, y - from.y - share * up);
}

/** Names are text and nothing else, whatever they hold. */
function fillTip(tip, trace, spot, describe) {
  const [name, facts, remark] = describe(trace.candidate, spot.step) ?? plainFacts(trace, spot);
  const heading = make("strong", name);
  const list = make("dl");
  for (const [label, value] of facts) list.append(make("dt", label), make("dd", value));
  tip.replaceChildren(heading, list, ...(remark ? [make("p", remark)] : []));
}

function plainFacts(trace, spot) {
  const [name, ...lines] = trace.told.split("\n");
  if (spot.loss) return [name, [["Step", spot.step], ["Test loss", spot.loss]], ""];
  const facts = lines.filter((line) => line.includes(": ")).map((line) => line.split(": "));
  return [name, facts, lines.filter((line) => !line.includes(": ")).join("; ")];
}

function tipWords(tip) {
  const facts = [...tip.querySelectorAll("dt")].map((label) => `${label.textContent} ${label.nextSibling.textContent}`);
  return [tip.querySelector("strong").textContent, ...facts].join(", ");
}

function make(tag, text = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

/** Beside a place on the screen, inside of the window; not at all where the place is out of it. */
function placeTip(tip, { x, y }) {
  tip.hidden = false;
  tip.style.visibility = y < 0 || y > innerHeight || x < 0 || x > innerWidth ? "hidden" : "visible";
  const { width, height } = tip.getBoundingClientRect();
  const left = x + 16 + width > innerWidth - 8 ? x - 16 - width : x + 16;
  tip.style.left = `${clamp(left, 8, Math.max(8, innerWidth - width - 8))}px`;
  const top = y - height - 12 < 8 ? y + 16 : y - height - 12;
  tip.style.top = `${clamp(top, 8, Math.max(8, innerHeight - height - 8))}px`;
}
