// The explorer of a search: how things stood when so much was spent, and which candidates are on the front under other
// bounds. Dominance is `lamps_core.front`'s, definitions 1 to 3 of the paper: every number is to be minimised.

/** Definition 2: nowhere larger, and somewhere smaller. */
function dominates(first, second) {
  return first.every((value, index) => value <= second[index]) && first.some((value, index) => value < second[index]);
}

/** The complete candidates within every bound that no other such candidate dominates; bounds are null where there is none. */
function frontOf(candidates, bounds) {
  const within = candidates.filter((one) => one.minimised && one.within && bounds.every(
    (bound, index) => bound === null || (one.limits[index] !== null && one.limits[index] <= bound)));
  return within.filter((one) => !within.some((other) => dominates(other.minimised, one.minimised)));
}

/** What is shown of a candidate, or of one of its steps. */
function describeCandidate(data, candidate, step) {
  const about = data.candidates?.[candidate - 1];
  if (!about) return null;
  if (step === null) return [about.name, about.facts, about.why];
  const told = data.step_labels.map((label, index) => [label, about.steps[step][index]]);
  return [about.name, [["Step", step], ...told.filter(([, value]) => value)], ""];
}

/**
 * Show the controls and follow them.
 *
 * @param data the search: candidates, moments (what came of each step, in order), limits.
 * @param marks of `startMarks`.
 */
function startExplorer(data, marks) {
  const box = document.getElementById("explorer");
  if (!box) return;
  const last = data.moments.length - 1;
  const state = { moment: last, bounds: data.limits.map(() => null) };
  const views = [figureView(data, marks), tableView(data, marks), wordsView(data, marks, box)];
  let asked = false;
  const changed = () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      const standing = standingAt(data, state);
      document.body.classList.toggle("explored", standing.explored);
      for (const view of views) view(standing);
    });
  };
  const spent = startSpent(data, state, changed);
  const limits = data.limits.map((limit, index) => startLimit(limit, index, state, changed));
  document.getElementById("reset").addEventListener("click", () => {
    spent?.reset();
    for (const limit of limits) limit.reset();
    changed();
  });
  box.hidden = false;
  changed();
}

/** How each candidate stood at a moment, and the front then, under the bounds asked for. */
function standingAt(data, { moment, bounds }) {
  const atEnd = moment === data.moments.length - 1;
  const candidates = data.candidates.map((about, index) => ({
    ...about, number: index + 1, done: atEnd ? about.steps.length : 0, complete: atEnd && about.complete,
    failed: atEnd && about.failed,
  }));
  if (!atEnd) {
    for (const [, number, , kind] of data.moments.slice(0, moment + 1)) {
      const one = candidates[number - 1];
      if (kind === "failed") one.failed = true;
      else if (kind !== "cut") one.done += 1;
      if (kind === "complete") one.complete = true;
    }
  }
  const front = frontOf(candidates.filter((one) => one.complete), bounds);
  const bounded = bounds.some((bound) => bound !== null);
  for (const one of candidates) {
    one.onFront = front.includes(one);
    one.excluded = one.complete && !one.onFront && !frontOf([one], bounds).length;
  }
  return { candidates, front, moment, atEnd, bounded, explored: bounded || !atEnd };
}

/** The slider over what was spent; arrows go from step to step. Also the cursor in the figure of hypervolume. */
function startSpent(data, state, changed) {
  const slider = document.getElementById("spent");
  if (!slider) return null;
  const { moments } = data;
  const last = moments.length - 1;
  const total = moments[last][0];
  slider.max = total;
  const cursor = startBrush(data, (spent) => set(momentAt(moments, spent)));
  const set = (moment) => {
    state.moment = clamp(moment, 0, last);
    const [spent, , , , , told] = moments[state.moment];
    slider.value = spent;
    const words = state.moment === last ? `${told}: the end` : `${told} of ${moments[last][5]}`;
    slider.setAttribute("aria-valuetext", words);
    document.querySelector("output[for=spent]").textContent = words;
    cursor?.(spent / total);
    changed();
  };
  slider.addEventListener("input", () => set(momentAt(moments, Number(slider.value))));
  slider.addEventListener("keydown", (event) => {
    const ways = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 };
    if (!(event.key in ways)) return;
    event.preventDefault();
    set(state.moment + ways[event.key]);
  });
  set(last);
  return { reset: () => set(last) };
}

/** The last moment at which no more than so much was spent. */
function momentAt(moments, spent) {
  let found = 0;
  moments.forEach(([seconds], index) => { if (seconds <= spent + 1e-9) found = index; });
  return found;
}

/** Dragging in the figure of hypervolume; returns what moves its cursor to a share of what was spent. */
function startBrush(data, brushed) {
  const line = document.querySelector(".history");
  if (!line) return null;
  const svg = line.closest("svg");
  const [left, right, top, bottom] = line.dataset.frame.split(" ").map(Number);
  svg.dataset.brush = "";
  const later = svg.appendChild(document.createElementNS(SVG, "rect"));
  const cursor = svg.appendChild(document.createElementNS(SVG, "line"));
  later.setAttribute("class", "later");
  cursor.setAttribute("class", "cursor");
  const follow = (event) => {
    const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    brushed(data.moments[data.moments.length - 1][0] * clamp((place.x - left) / (right - left), 0, 1));
  };
  svg.addEventListener("pointerdown", (event) => {
    svg.setPointerCapture(event.pointerId);
    follow(event);
  });
  svg.addEventListener("pointermove", (event) => { if (event.buttons & 1) follow(event); });
  return (share) => {
    const x = left + share * (right - left);
    for (const [name, value] of Object.entries({ x1: x, x2: x, y1: top, y2: bottom })) cursor.setAttribute(name, value);
    const shade = { x, y: top, width: Math.max(0, right - x), height: bottom - top };
    for (const [name, value] of Object.entries(shade)) later.setAttribute(name, value);
  };
}

/** The slider of one bound: a notch for the value of each complete candidate, and no bound at its right end. */
function startLimit(limit, index, state, changed) {
  const slider = document.getElementById(`limit-${index}`);
  slider.max = limit.values.length;
  const set = (notch) => {
    const [bound, told] = limit.values[notch] ?? [null, "no bound"];
    state.bounds[index] = bound;
    slider.value = notch;
    slider.setAttribute("aria-valuetext", told);
    document.querySelector(`output[for=limit-${index}]`).textContent = told;
  };
  slider.addEventListener("input", () => {
    set(Number(slider.value));
    changed();
  });
  const reset = () => set(limit.values.length);
  reset();
  return { reset };
}

/** The figures at a moment: points that are there, the front's staircase, curves up to their last step. */
function figureView(data, marks) {
  const figures = marks.figures.map(({ svg, traces }) => ({
    traces,
    corner: svg.querySelector(".staircase")?.dataset.corner.split(",").map(Number),
    staircase: svg.querySelector(".staircase > path"),
    shade: svg.querySelector(".shade > path"),
    labels: [...svg.querySelectorAll(".name, .lead")],
  }));
  return ({ candidates, explored }) => {
    for (const { traces, corner, staircase, shade, labels } of figures) {
      for (const trace of traces) {
        const one = candidates[trace.candidate - 1];
        if (trace.element.classList.contains("curve")) cutCurve(trace, one);
        else markPoint(trace, one, explored);
      }
      const shown = new Map(traces.map((trace) => [trace.candidate, trace.shown > 0]));
      for (const label of labels) {
        const one = candidates[Number(label.dataset.candidate) - 1];
        label.classList.toggle("absent", !shown.get(one.number));
        label.classList.toggle("cut", one.done < one.steps.length);
      }
      if (!staircase) continue;
      const places = traces.filter((trace) => candidates[trace.candidate - 1].onFront).map((trace) => trace.spots[0]);
      drawStaircase(places, corner, staircase, shade);
    }
  };
}

function markPoint(trace, one, explored) {
  const { classList } = trace.element;
  trace.shown = one.complete ? 1 : 0;
  const wasFront = one.on_front;
  classList.toggle("absent", !one.complete);
  classList.toggle("front", one.onFront);
  classList.toggle("now-front", explored && one.onFront && !wasFront);
  classList.toggle("now-behind", explored && !one.onFront && wasFront);
  classList.toggle("excluded", explored && one.excluded);
}

function cutCurve(trace, one) {
  const first = trace.spots[0].step;
  const shown = clamp(one.done - first, 0, trace.spots.length);
  trace.element.classList.toggle("absent", shown === 0);
  trace.element.classList.toggle("cut", shown < trace.spots.length);
  trace.element.classList.toggle("front", one.onFront || (!one.complete && one.on_front));
  if (shown === trace.shown) return;
  trace.shown = shown;
  const path = trace.element.querySelector(":scope > path");
  path.setAttribute("d", trace.spots.slice(0, shown).map(({ x, y }, index) => `${index ? "L" : "M"}${x} ${y}`).join(""));
}

/** As `figures` draws it: the best across first, each step down at the next point, up to the reference point. */
function drawStaircase(places, [right, top], staircase, shade) {
  const ordered = places.toSorted((a, b) => a.x - b.x || b.y - a.y);
  const steps = ordered.map(({ x, y }) => `H${x}V${y}`).join("");
  const line = ordered.length ? `M${ordered[0].x} ${top}${steps}H${right}` : "";
  staircase.setAttribute("d", line);
  shade?.setAttribute("d", line && `${line}V${top}Z`);
}

/** The tables at a moment. Cells that change have a `data-cell`; what they say at the end is kept. */
function tableView(data, marks) {
  const rows = [...document.querySelectorAll("tr[data-candidate]")].map((row) => ({
    row,
    candidate: Number(row.dataset.candidate),
    group: row.className.split(" ")[0],
    cells: [...row.querySelectorAll("[data-cell]")].map((cell) => ({ cell, end: [...cell.childNodes] })),
  }));
  return ({ candidates, explored, atEnd }) => {
    for (const { row, candidate, group, cells } of rows) {
      const one = candidates[candidate - 1];
      if (!cells.length) { // a row of the final front
        row.classList.toggle("off", !one.onFront);
        continue;
      }
      row.classList.remove("front", "complete", "open", "failed");
      row.classList.add(explored ? groupOf(one) : group);
      for (const { cell, end } of cells) {
        const told = explored ? cellAt(cell.dataset.cell, one, atEnd) : null;
        if (told === null) cell.replaceChildren(...end);
        else cell.textContent = told;
      }
    }
  };
}

function groupOf(one) {
  if (one.onFront) return "front";
  if (one.complete) return "complete";
  return one.failed ? "failed" : "open";
}

/** What a cell says of a candidate at a moment; null for what it says at the end. */
function cellAt(kind, one, atEnd) {
  if (kind === "state") {
    if (one.complete) return one.onFront ? "on the front" : one.excluded ? "beyond a bound" : "complete, dominated";
    if (one.failed) return "failed";
    return one.done ? "not complete" : atEnd ? null : "not tried yet";
  }
  if (atEnd || one.complete) return null;
  const step = one.steps[one.done - 1];
  const [, loss, accuracy, , spent] = step ?? []; // as `step_labels` has them
  return { steps: String(one.done), loss: loss ?? "–", accuracy: accuracy ?? "–", spent: spent ?? "–", value: "–" }[kind];
}

/** One line that says how things stand, with the front as buttons that bring a candidate out. */
function wordsView(data, marks, box) {
  const words = box.querySelector(".said p");
  const reset = document.getElementById("reset");
  return ({ candidates, front, moment, atEnd, explored }) => {
    reset.disabled = !explored;
    const complete = candidates.filter((one) => one.complete).length;
    const steps = candidates.reduce((sum, one) => sum + one.done + (one.failed ? 1 : 0), 0);
    const names = front.toSorted((a, b) => a.minimised[0] - b.minimised[0]).flatMap((one, index) => [
      index ? ", " : "", chip(one, marks)]);
    const volume = data.moments[moment]?.[4];
    const told = volume === undefined || volume === null ? "" : ` Hypervolume ${(Math.floor(1000 * volume) / 10)} % of the final.`;
    const head = `${steps} steps, ${complete} complete, ${front.length} on the front${front.length ? ": " : "."}`;
    words.replaceChildren(head, ...names, front.length ? "." : "", atEnd ? "" : told);
  };
}

function chip(one, marks) {
  const button = make("button", one.name);
  button.type = "button";
  button.className = "chip";
  button.dataset.candidate = one.number;
  button.addEventListener("pointerenter", () => marks.bringOut(one.number));
  button.addEventListener("pointerleave", () => marks.rest());
  button.addEventListener("focus", () => marks.bringOut(one.number));
  button.addEventListener("blur", () => marks.rest());
  button.addEventListener("click", () => marks.pin(one.number));
  return button;
}
