// Hold the state of the field page: the date, the plant that is shown, and what the lists show. Other scripts follow
// by events of the document: harvest:day {day}, harvest:plant {plant, from} and harvest:filter {shown}.
const harvest = (() => {
  "use strict";
  const data = JSON.parse(document.getElementById("field-data").textContent);
  const at = (id) => document.getElementById(id);
  const state = {day: data.days.length - 1, plant: -1};
  const tell = (name, detail) => document.dispatchEvent(new CustomEvent(`harvest:${name}`, {detail}));

  // Return a text of the page with its values; see `text` in tasks/report/field/texts.py.
  function text(key, values = {}) {
    const one = values.n === 1 ? data.texts[`${key}.one`] : undefined;
    const shown = (value) => (Number.isInteger(value) ? value.toLocaleString("en-US") : String(value));
    return (one ?? data.texts[key]).replace(/\{(\w+)\}/g, (_, name) => shown(values[name]));
  }

  const address = () => `#${data.days[state.day].date}${state.plant < 0 ? "" : `/${encodeURIComponent(data.plants.id[state.plant])}`}`;

  // Write the address without a new entry in the history: the way back leads to the page before.
  const keepAddress = () => history.replaceState(null, "", address());

  function showDay(day) {
    state.day = day;
    state.plant = -1;
    at("day").value = String(day);
    showHead(data.days[day]);
    keepAddress();
    tell("day", {day});
  }

  function showHead(day) {
    at("lead").textContent = day.head.lead;
    document.querySelectorAll(".tile .count").forEach((count, i) => { count.textContent = day.counts[i]; });
    at("outside").textContent = day.head.warning;
    at("outside").hidden = !day.head.warning;
    at("sentences").textContent = day.head.sentences.join(" ");
    at("left-out").firstElementChild.textContent = day.head.left_out;
    at("left-out").hidden = !day.head.left_out;
  }

  // Show the date and the plant that an address names: #2026-09-03 or #2026-09-03/PLANT.
  function followAddress() {
    const [date, name] = location.hash.slice(1).split("/");
    const day = data.days.findIndex((one) => one.date === date);
    if (day < 0) return;
    const plant = name === undefined ? -1 : data.plants.id.indexOf(decodeURIComponent(name));
    if (day !== state.day) showDay(day);
    if (plant !== state.plant) tell("plant", {plant, from: "address"});
  }

  document.addEventListener("harvest:plant", (event) => { state.plant = event.detail.plant; keepAddress(); });
  at("day").addEventListener("change", () => showDay(Number(at("day").value)));
  addEventListener("hashchange", followAddress);
  addEventListener("DOMContentLoaded", () => {  // when all scripts of the page listen
    const hash = location.hash;
    showDay(state.day);
    if (hash) { history.replaceState(null, "", hash); followAddress(); }
    document.documentElement.dataset.ready = "yes";
  });
  return {data, state, text, tell};
})();
