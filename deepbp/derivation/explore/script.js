"use strict";
// Every stage of the step is a section of the page. This shows the one it has come to; there is nothing to compute.
(() => {
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
    const text = `${now + 1} of ${stages.length}. ${stages[now].dataset.title}`;
    slider.setAttribute("aria-valuetext", text);
    status.textContent = text;
    back.disabled = reset.disabled = now === 0;
    forward.disabled = now === last;
    const button = buttons.find((one) => one.hasAttribute("aria-current"));
    if (button) bringIntoView(button);
  }

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
})();
