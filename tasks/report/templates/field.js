// Hold the state of the field page: the date and the plant that is shown. Other scripts follow by events of the
// document: harvest:day {day}, harvest:plant {plant, from} and harvest:filter {shown}.
const harvest = (() => {
  "use strict";
  const data = JSON.parse(document.getElementById("field-data").textContent);
  const at = (id) => document.getElementById(id);
  const state = {day: data.days.length - 1, plant: -1};
  const rowsOfDays = data.days.map(() => null);
  const tell = (name, detail) => document.dispatchEvent(new CustomEvent(`harvest:${name}`, {detail}));
  const day = () => data.days[state.day];

  // Return a text of the page with its values; see `text` in tasks/report/field/texts.py.
  function text(key, values = {}) {
    const one = values.n === 1 ? data.texts[`${key}.one`] : undefined;
    const shown = (value) => (Number.isInteger(value) ? value.toLocaleString("en-US") : String(value));
    return (one ?? data.texts[key]).replace(/\{(\w+)\}/g, (_, name) => shown(values[name]));
  }

  // Make an element with properties and children; text is never read as HTML.
  function make(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  // Return the row of a plant on a date; -1 if it has no answer there.
  function rowOf(plant, number = state.day) {
    rowsOfDays[number] ??= new Map(data.days[number].plant.map((one, i) => [one, i]));
    return rowsOfDays[number].get(plant) ?? -1;
  }

  // State a probability in whole percent, and none as certain; see `likely_text`.
  function percent(share) {
    if (share >= 0.995) return text("likely.over");
    return share < 0.005 ? text("likely.under") : text("likely.percent", {percent: Math.floor(100 * share + 0.5)});
  }

  // State the probability of a row: of being ready, or with other classes that its answer is right.
  function likely(row, of = day()) {
    return data.is_harvest
      ? text("likely", {answer: text("ready.word"), percent: percent(of.ready[row])})
      : text("likely", {answer: data.answers[of.answer[row]], percent: percent(of.reliability[row])});
  }

  // Return plot, row and number of a plant in words.
  function placeOf(plant) {
    const {plot, row, number} = data.plants, named = [];
    if (plot[plant] !== null) named.push(text("place.plot", {plot: plot[plant]}));
    if (row[plant] !== null && number[plant] !== null) named.push(text("place.row", {row: row[plant], number: String(number[plant])}));
    return named.join(", ");
  }

  // Return the rows of a list in its order; see `rows_of_group`.
  function rowsOfGroup(group, of = day()) {
    if (group.key === "extra") return of.extra;
    if (group.key === "check") return of.checks;
    return [...of.decision.keys()].filter((i) => of.decision[i] === group.decision);
  }

  const address = () => `#${day().date}${state.plant < 0 ? "" : `/${encodeURIComponent(data.plants.id[state.plant])}`}`;

  // Write the address without a new entry in the history: the way back leads to the page before.
  const keepAddress = () => history.replaceState(null, "", address());

  const showDay = (number) => tell("day", {day: number});

  function showHead(shown) {
    at("lead").textContent = shown.head.lead;
    at("day-label").textContent = shown.label;
    document.querySelectorAll(".tile .count").forEach((count, i) => { count.textContent = shown.counts[i].toLocaleString("en-US"); });
    for (const name of ["checked", "broken", "incomplete"]) {
      at(name).textContent = shown.head[name];
      at(name).hidden = !shown.head[name];
    }
    at("outside").textContent = shown.head.warning;
    at("outside").hidden = !shown.head.warning;
    at("sentences").textContent = shown.head.sentences.join(" ");
    at("left-out").firstElementChild.textContent = shown.head.left_out;
    at("left-out").hidden = !shown.head.left_out;
  }

  // Show the date and the plant that an address names: #2026-09-03 or #2026-09-03/PLANT.
  function followAddress(hash) {
    const [date, name] = hash.slice(1).split("/"), number = data.days.findIndex((one) => one.date === date);
    if (data.earlier.includes(date)) location.replace(`${date}.html${hash}`);  // it has a page of its own
    if (number < 0) return;
    if (number !== state.day) showDay(number);
    const plant = name === undefined ? -1 : data.plants.id.indexOf(decodeURIComponent(name));
    if (plant !== state.plant) tell("plant", {plant, from: "address"});
  }

  document.addEventListener("harvest:day", (event) => {
    Object.assign(state, {day: event.detail.day, plant: -1});
    document.documentElement.dataset.latest = state.day === data.days.length - 1 ? "yes" : "no";  // the picture of the map is of that date
    at("day").value = String(state.day);
    showHead(day());
    keepAddress();
  });
  document.addEventListener("harvest:plant", (event) => { state.plant = event.detail.plant; keepAddress(); });
  at("day").addEventListener("change", () => showDay(Number(at("day").value)));
  addEventListener("hashchange", () => followAddress(location.hash));
  addEventListener("DOMContentLoaded", () => {  // when all scripts of the page listen
    const {hash} = location;
    showDay(state.day);
    followAddress(hash);
    document.documentElement.dataset.ready = "yes";
  });
  return {data, state, at, day, text, make, tell, rowOf, likely, placeOf, rowsOfGroup};
})();
