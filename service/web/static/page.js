"use strict";

// Each model's form asks the service for a price whenever a feature changes.
for (const section of document.querySelectorAll(".model")) {
  const form = section.querySelector("form");
  if (form) start(section.dataset.model, form);
}

function start(model, form) {
  const rows = [...form.querySelectorAll(".feature")].map((row) => ({
    slider: row.querySelector("input[type=range]"),
    number: row.querySelector("input[type=number]"),
  }));
  const ask = latestOnly(() => price(model, form, rows));
  for (const { slider, number } of rows) {
    slider.addEventListener("input", () => {
      number.value = Number(slider.value).toPrecision(4) * 1;
      ask();
    });
    number.addEventListener("input", () => {
      slider.value = number.value;
      ask();
    });
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  ask();
}

// At most one request at a time, and always one for the latest values.
function latestOnly(task) {
  let running = false;
  let again = false;
  return async function run() {
    if (running) {
      again = true;
      return;
    }
    running = true;
    await task();
    running = false;
    if (again) {
      again = false;
      run();
    }
  };
}

async function price(model, form, rows) {
  const house = {};
  for (const { slider, number } of rows) house[slider.name] = number.valueAsNumber;
  const body = JSON.stringify({ instances: [house] });
  const path = `/v1/models/${encodeURIComponent(model)}:predict`;
  form.querySelector(".curl").textContent = `curl -d '${body}' ${location.origin}${path}`;
  const value = form.querySelector(".value");
  const message = form.querySelector(".message");
  try {
    const response = await fetch(path, { method: "POST", body });
    const answer = await response.json();
    value.textContent = response.ok ? answer.predictions[0].toFixed(2) : "–";
    message.textContent = response.ok ? outside(rows) : answer.error;
  } catch (error) {
    value.textContent = "–";
    message.textContent = `The service does not answer: ${error.message}`;
  }
}

function outside(rows) {
  const names = rows
    .filter(({ slider, number }) => {
      const value = number.valueAsNumber;
      return value < Number(slider.min) || value > Number(slider.max);
    })
    .map(({ slider }) => slider.name);
  return names.length ? `Outside what it was trained on: ${names.join(", ")}.` : "";
}
