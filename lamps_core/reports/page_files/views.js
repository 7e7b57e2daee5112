// What of a search's page changes with the explorer: figures, tables and one line of words, each a function that is
// called with how things stand (`standingAt` of `explorer.js`).

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
        label.classList.toggle("excluded", one.excluded);
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
  const line = trace.spots.slice(0, shown).map(({ x, y }) => `${x} ${y}`).join("L");
  path.setAttribute("d", line && `M${line}`);
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
  const [, loss, accuracy, , spent] = one.steps[one.done - 1] ?? []; // as `step_labels` has them
  return { steps: String(one.done), loss, accuracy, spent }[kind] || "–";
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
    const volume = data.moments[moment]?.[4] ?? null;
    // Rounded down: all of it is reached when it is.
    const told = volume === null ? "" : ` Hypervolume ${Math.floor(1000 * volume) / 10} % of the final.`;
    const head = `${steps.toLocaleString("en")} steps, ${complete} complete, ${front.length} on the front${front.length ? ": " : "."}`;
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
