// Keep what people find at plants, in this browser under campaign and date, until it is saved to a file.
const checks = (() => {
  "use strict";
  const {data, at, day, text, tell} = harvest;
  const COLUMN = data.is_harvest ? "checked_ready" : "checked_class";
  const HEAD = ["campaign", "date", "plant_id", "decision", COLUMN, "checked_by", "checked_at", "remark"];
  const NAME = "harvest/name";
  const DATES = [...data.earlier, ...data.days.map((one) => one.date)];
  const placeFor = (date) => `harvest/${data.campaign}/${date}`;
  const kept = new Map();  // text by its place, also where the browser keeps nothing
  let isLasting = true;

  function read(place) {
    if (kept.has(place)) return kept.get(place);
    try { return localStorage.getItem(place); } catch { isLasting = false; return null; }
  }

  function write(place, value) {
    kept.set(place, value);
    try { localStorage.setItem(place, value); } catch { isLasting = false; }
  }

  // Return what was found on a date, by plant; a text that another program left there counts as nothing.
  function found(date) {
    try { return JSON.parse(read(placeFor(date))) ?? {}; } catch { return {}; }
  }

  function change(date, entries) {
    write(placeFor(date), JSON.stringify(entries));
    show();
    tell("checks", {date});
  }

  const of = (date, plant) => found(date)[plant];
  const keep = (date, plant, entry) => change(date, {...found(date), [plant]: {...entry, at: new Date().toISOString()}});

  function remove(date, plant) {
    const {[plant]: _, ...rest} = found(date);
    change(date, rest);
  }

  const unsaved = (date) => Object.values(found(date)).filter((entry) => !entry.saved).length;

  function show() {
    const {date} = day(), n = Object.keys(found(date)).length;
    const elsewhere = DATES.reduce((sum, one) => sum + (one === date ? 0 : unsaved(one)), 0);
    const said = n ? [text("found.count", {n, unsaved: unsaved(date)})] : [];
    if (elsewhere) said.push(text("found.elsewhere", {n: elsewhere}));
    if (!isLasting) said.push(text("found.memory"));
    at("checks").hidden = !n && !elsewhere;
    at("checks-save").hidden = at("checks-undo").hidden = !n;
    at("checks-count").textContent = said.join(" ");
  }

  function undo() {
    const {date} = day(), last = Object.entries(found(date)).sort((a, b) => (a[1].at < b[1].at ? 1 : -1))[0];
    if (last) remove(date, last[0]);
  }

  const cell = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);

  // Shield a text that a spreadsheet would take for a formula, as the exports do; see `harmless` in storage/published.
  const harmless = (value) => (/^['=+\-@\t\r\n＝＋－＠]/.test(value) ? `'${value}` : value);

  // Return the looks at a date's plants as CSV, in the order in which they were made.
  function csv(date) {
    const entries = Object.entries(found(date)).sort((a, b) => (a[1].at < b[1].at ? -1 : 1));
    const lines = entries.map(([plant, one]) => [
      data.campaign, date, harmless(plant), one.decision, one.found, harmless(one.by), one.at, harmless(one.remark),
    ]);
    return `${[HEAD, ...lines].map((line) => line.map(cell).join(",")).join("\r\n")}\r\n`;
  }

  function save() {
    const {date} = day(), entries = found(date);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv(date)], {type: "text/csv"}));
    link.download = text("found.file", {campaign: data.campaign, date});
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    change(date, Object.fromEntries(Object.entries(entries).map(([plant, one]) => [plant, {...one, saved: true}])));
  }

  at("checks-save").addEventListener("click", save);
  at("checks-undo").addEventListener("click", undo);
  document.addEventListener("harvest:day", show);
  addEventListener("beforeunload", (event) => {
    if (!isLasting && DATES.some(unsaved)) event.preventDefault();
  });
  return {
    of, keep, remove, has: (date, plant) => of(date, plant) !== undefined,
    name: () => read(NAME) ?? "", rename: (name) => write(NAME, name),
  };
})();
