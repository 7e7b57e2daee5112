// The explorer of a search: how things stood when so much was spent, and which candidates are on the front under other
// bounds. Owns the numbers and the sliders; what shows them is in `views.js`. Dominance is `lamps_core.front`'s,
// definitions 1 to 3 of the paper: every number is to be minimised.

/** Definition 2: nowhere larger, and somewhere smaller. */
function dominates(first, second) {
  return first.every((value, index) => value <= second[index]) && first.some((value, index) => value < second[index]);
}

/** The complete candidates within every bound that no other such dominates; a bound is null where there is none. */
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
