
// The numbers of the step, computed anew after each change. compute(v) adds all that follows from the inputs in v.
(() => {
  const memory = document.getElementById("memory");
  const { editable, kept, ...saved } = JSON.parse(memory.textContent);
  const start = saved.state;
  let { state, losses } = saved; // those of all steps that were taken
  let values = null;
  const [rate, words, curve] = ["rate", "taken", "curve"].map((id) => document.getElementById(id));

  const numbersOf = (name) => values[name]?.data ?? [values[name]];

  function writeSummary(figure, data) {
    const cells = [...figure.querySelectorAll("td")];
    const sum = data.reduce((total, v) => total + v, 0);
    const zeros = Math.round((100 * data.filter((v) => v === 0).length) / data.length);
    const found = [Math.min(...data), sum / data.length, Math.max(...data), Math.hypot(...data)];
    found.forEach((value, i) => { cells[i].textContent = numbers.text(value); });
    cells[4].textContent = `${zeros}%`;
  }

  function writeTable(figure) {
    const data = numbersOf(figure.dataset.name);
    if (figure.querySelector(".summary")) return writeSummary(figure, data);
    const cells = [...figure.querySelectorAll("td")];
    cells.forEach((cell, i) => { cell.dataset.value = String(data[i]); });
    numbers.show(cells);
  }

  function writeNeurons(column) {
    const parts = [column.dataset.values, column.dataset.errors].map((name) => [name, values[name]]);
    column.querySelectorAll("circle").forEach((circle) => {
      const neuron = Number(circle.dataset.neuron);
      const told = parts.map(([name, array]) => {
        const width = array.data.length / array.shape[0];
        const own = array.data.filter((_, i) => i % width === neuron);
        const shown = own.slice(0, 6).map((v) => numbers.math(String(Number(v.toPrecision(4)))));
        return `${name}, ${neuron}: ${shown.join(" ")}${own.length > 6 ? " …" : ""}`;
      });
      circle.querySelector("title").textContent = told.join("; ");
    });
  }

  function writeWeights(layer) {
    const data = numbersOf(layer.dataset.weight);
    const largest = Math.max(...data.map(Math.abs)) || 1;
    layer.querySelectorAll("line[data-at]").forEach((line) => {
      const weight = data[Number(line.dataset.at)];
      line.setAttribute("class", weight < 0 ? "negative" : "positive");
      line.setAttribute("stroke-width", (0.4 + (2.6 * Math.abs(weight)) / largest).toFixed(2));
    });
  }

  // All numbers of a document, which is the page itself, or the copy of it that is saved.
  function write(root) {
    root.querySelectorAll("figure[data-name]").forEach(writeTable);
    root.querySelectorAll("svg [data-errors]").forEach(writeNeurons);
    root.querySelectorAll("svg [data-weight]").forEach(writeWeights);
    const loss = numbers.text(numbersOf("L")[0]);
    root.querySelectorAll("[data-loss]").forEach((one) => {
      if (one.dataset.title) one.dataset.title = one.dataset.title.replace(/ is .+$/, ` is ${loss}`);
      else one.textContent = loss;
    });
  }

  function draw() {
    const finite = losses.filter(Number.isFinite);
    curve.toggleAttribute("hidden", finite.length < 2);
    if (finite.length < 2) return;
    const [low, high] = [Math.min(...finite), Math.max(...finite)];
    const points = finite.map((loss, i) =>
      `${((200 * i) / (finite.length - 1)).toFixed(1)},${(46 - (42 * (loss - low)) / (high - low || 1)).toFixed(1)}`);
    curve.querySelector("polyline").setAttribute("points", points.join(" "));
    curve.setAttribute("aria-label", `The loss over ${finite.length - 1} steps, from ${numbers.text(finite[0])} to ${numbers.text(finite.at(-1))}`);
  }

  function tell(more = "") {
    const taken = losses.length - 1;
    const count = taken === 0 ? "No step taken yet" : `${taken} ${taken === 1 ? "step" : "steps"} taken`;
    words.textContent = `${count}. L = ${numbers.text(numbersOf("L")[0])}.${more && ` ${more}`}`;
  }

  // Compute all numbers for these inputs, and show them; inputs for which there are none are not taken.
  function take(inputs, record) {
    try {
      values = compute({ ...inputs });
    } catch (error) {
      return error.message;
    }
    state = inputs;
    losses = record(numbersOf("L")[0]);
    return "";
  }
  const instead = (loss) => [...losses.slice(0, -1), loss];

  function show(more) {
    write(document);
    rate.value = String(state["η"].data[0]);
    player.tell();
    draw();
    tell(more);
  }

  function change(field, name, place) {
    const value = Number(field.value.trim().replace("−", "-"));
    const wrong = field.value.trim() === "" || !Number.isFinite(value);
    const data = state[name].data.map((old, i) => (i === place ? value : old));
    const problem = wrong ? "expected a number" : take({ ...state, [name]: { ...state[name], data } }, instead);
    if (problem) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
    if (problem) tell(`${name}: ${problem}, got ${field.value}.`);
    else show();
  }

  function train(count) {
    let problem = "";
    for (let i = 0; i < count && !problem; i++) {
      const next = Object.fromEntries(Object.entries(kept).map(([name, made]) => [name, values[made]]));
      const finite = Object.values(next).every((array) => array.data.every(Number.isFinite));
      problem = finite ? take({ ...state, ...next }, (loss) => [...losses, loss]) : "The next weights are not finite: try a smaller η.";
    }
    show(problem);
  }

  const on = (id, action) => document.getElementById(id).addEventListener("click", action);
  on("step", () => train(1));
  on("steps", () => train(100));
  on("restart", () => {
    take(start, (loss) => [loss]);
    show();
  });
  on("save", () => {
    const copy = new DOMParser().parseFromString(`<!DOCTYPE html>\n${page}`, "text/html");
    copy.getElementById("memory").textContent = JSON.stringify({ editable, kept, state, losses }).replaceAll("<", "\\u003c");
    write(copy);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([`<!DOCTYPE html>\n${copy.documentElement.outerHTML}`], { type: "text/html" }));
    link.download = "step.html";
    link.click();
    URL.revokeObjectURL(link.href);
    tell("Saved as step.html, with the numbers as they are now.");
  });
  document.getElementById("digits").addEventListener("click", () => tell());
  rate.addEventListener("change", () => change(rate, "η", 0));

  // The tables of inputs become fields.
  document.querySelectorAll("figure[data-name]").forEach((figure) => {
    const name = figure.dataset.name;
    if (!editable.includes(name) || figure.querySelector(".summary")) return;
    const columns = figure.querySelector("tr").children.length;
    figure.classList.add("editable");
    figure.querySelectorAll("td").forEach((cell, place) => {
      const field = document.createElement("input");
      Object.assign(field, { type: "text", autocomplete: "off", spellcheck: false });
      field.setAttribute("aria-label", `${name}, row ${Math.floor(place / columns) + 1}, column ${(place % columns) + 1}`);
      cell.replaceChildren(field);
      field.addEventListener("focus", () => { field.value = String(state[name].data[place]); field.select(); });
      field.addEventListener("blur", () => { if (!field.hasAttribute("aria-invalid")) writeTable(figure); });
      field.addEventListener("change", () => change(field, name, place));
    });
  });
  show(take(state, instead));
})();
