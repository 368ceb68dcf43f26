"use strict";
const page = document.documentElement.outerHTML; // before anything is changed

// Numbers as tables show them: four digits after the point, powers of ten where they are large or small, or all digits.
const numbers = (() => {
  let all = false;
  const minus = (text) => text.replaceAll("-", "−").replace("Infinity", "∞");
  const raised = (digits) => [...digits].map((d) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[d] ?? "⁻").join("");
  const math = (text) => { // −2.5 · 10⁻³ for -2.5e-3
    const [mantissa, exponent] = text.split("e");
    const power = exponent === undefined ? "" : `10${raised(exponent.replace("+", ""))}`;
    return minus(power && mantissa === "1" ? power : power ? `${mantissa} · ${power}` : mantissa);
  };

  function text(value, scale = Math.abs(value)) {
    if (all || !Number.isFinite(value)) return math(String(value));
    if (value === 0 && scale > 0 && scale < 1e-2) return "0"; // an exact zero among powers of ten
    return math(scale === 0 || (scale >= 1e-2 && scale < 1e4) ? value.toFixed(4) : value.toExponential(3));
  }

  function write(cell, words) {
    const field = cell.querySelector("input");
    if (field) field.value = words;
    else cell.textContent = words;
  }

  // Write the numbers of a table, each into its cell.
  function show(cells) {
    const values = cells.map((cell) => Number(cell.dataset.value));
    const scale = Math.max(0, ...values.filter(Number.isFinite).map(Math.abs));
    const whole = scale < 1e4 && values.every(Number.isInteger);
    cells.forEach((cell, i) => write(cell, whole ? minus(String(values[i])) : text(values[i], scale)));
  }
  const refresh = (root) => root.querySelectorAll("figure").forEach((figure) => show([...figure.querySelectorAll("td[data-value]")]));

  const button = document.getElementById("digits");
  button.addEventListener("click", () => {
    all = !all;
    button.setAttribute("aria-pressed", all);
    refresh(document);
  });
  document.querySelector(".numbers-controls").hidden = false;
  return { text, show, math };
})();

// Every stage of the step is a section of the page. This shows the one it has come to; there is nothing to compute.
const player = (() => {
  const stages = [...document.querySelectorAll("[data-stage]")].sort((a, b) => a.dataset.stage - b.dataset.stage);
  const panels = [...document.querySelectorAll(".panel")];
  const buttons = [...document.querySelectorAll(".layers button")];
  const parts = [...document.querySelectorAll("svg [data-column]")];
  const [reset, back, play, forward, slider, status] = ["reset", "back", "play", "forward", "stage", "status"].map(
    (id) => document.getElementById(id),
  );
  const last = stages.length - 1;
  const columnOf = (stage) => Number(stages[stage].closest(".panel").dataset.column);
  const turn = stages.findIndex((half) => half.classList.contains("backward"));
  let now = 0;
  let timer = null;

  function show(stage) {
    now = Math.min(Math.max(stage, 0), last);
    const shown = stages[now].closest(".panel");
    const column = columnOf(now);
    panels.forEach((panel) => { panel.hidden = panel !== shown; });
    stages.forEach((half, i) => half.classList.toggle("now", i === now));
    buttons.forEach((button) => {
      if (Number(button.dataset.column) === column) button.setAttribute("aria-current", "step");
      else button.removeAttribute("aria-current");
    });
    parts.forEach(mark);
    slider.value = now;
    tell();
    back.disabled = reset.disabled = now === 0;
    forward.disabled = now === last;
    const button = buttons.find((one) => one.hasAttribute("aria-current"));
    if (button) bringIntoView(button);
  }

  function tell() {
    const text = `${now + 1} of ${stages.length}. ${stages[now].dataset.title}`;
    slider.setAttribute("aria-valuetext", text);
    status.textContent = text;
  }

  // A neuron under the pointer, or one that is chosen, says what it holds.
  const neuron = document.getElementById("neuron");
  const about = (event) => {
    const title = event.target.closest("circle")?.querySelector("title");
    if (title?.textContent) neuron.textContent = title.textContent;
  };
  ["pointerover", "click"].forEach((kind) => document.querySelector("svg").addEventListener(kind, about));

  // Each part of the drawing knows from which stage on it is reached, and at which it is looked at.
  function mark(part) {
    const { forward, backward, now: looked } = part.dataset;
    part.classList.toggle("forward", now >= Number(forward));
    part.classList.toggle("backward", backward !== undefined && now >= Number(backward));
    part.classList.toggle("now", looked.split(" ").includes(String(now)));
  }

  function bringIntoView(button) {
    const frame = button.closest(".scroll");
    const middle = button.offsetLeft + button.offsetWidth / 2 - frame.clientWidth / 2;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    frame.scrollTo({ left: middle, behavior: still ? "instant" : "smooth" });
  }

  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  }

  function go(stage) {
    stop();
    show(stage);
  }

  play.addEventListener("click", () => {
    if (timer !== null) return stop();
    show(now === last ? 0 : now + 1);
    play.textContent = "Pause";
    timer = setInterval(() => {
      show(now + 1);
      if (now === last) stop();
    }, 1500);
  });
  reset.addEventListener("click", () => { go(0); forward.focus(); });
  back.addEventListener("click", () => { go(now - 1); if (back.disabled) forward.focus(); });
  forward.addEventListener("click", () => { go(now + 1); if (forward.disabled) back.focus(); });
  slider.addEventListener("input", () => go(Number(slider.value)));

  // On the way back, a layer is shown at its way back; before, at its way forward.
  function choose(column) {
    const wanted = now >= turn ? "backward" : "forward";
    const halves = stages.map((half, i) => i).filter((i) => columnOf(i) === column);
    go(halves.find((i) => stages[i].classList.contains(wanted)) ?? halves[0]);
  }
  buttons.forEach((button) => button.addEventListener("click", () => choose(Number(button.dataset.column))));
  parts.forEach((part) => part.addEventListener("click", () => choose(Number(part.dataset.column))));

  document.addEventListener("keydown", (event) => {
    const elsewhere = event.target.closest("input, .scroll:focus") || event.ctrlKey || event.altKey || event.metaKey;
    const stage = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[event.key];
    if (elsewhere || stage === undefined) return;
    event.preventDefault();
    go(stage);
  });

  document.querySelector(".controls").hidden = false;
  document.documentElement.classList.add("playable");
  show(0);
  return { tell };
})();
