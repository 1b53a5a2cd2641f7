// Make the work sheets that are printed: one plot a page, with boxes to tick at the plants to act on and to check.
(() => {
  "use strict";
  const {data, at, day, text, make, likely, rowsOfGroup} = harvest;
  const isLook = (group) => group.key === "check" || group.key === "extra";
  const looked = data.is_harvest ? [text("found.yes"), text("found.no")] : data.answers;

  const box = (label) => make("span", {className: "tick", textContent: label});

  function line(row, group) {
    const plant = day().plant[row], {id, row: rows, number} = data.plants;
    const boxes = (isLook(group) ? looked : [text("sheet.done")]).map(box);
    return make("tr", {},
      make("th", {scope: "row", textContent: id[plant]}), make("td", {textContent: rows[plant] ?? ""}), make("td", {textContent: number[plant] ?? ""}),
      make("td", {textContent: likely(row)}), make("td", {className: "ticks"}, ...boxes), make("td", {className: "remark"}));
  }

  function table(group, rows) {
    const heads = ["plant", "row", "number", "likely"].map((key) => make("th", {scope: "col", textContent: data.texts[`sheet.${key}`]}));
    return make("table", {},
      make("caption", {textContent: `${group.title} (${rows.length})`}),
      make("thead", {}, make("tr", {}, ...heads, make("th", {scope: "col"}), make("th", {scope: "col", textContent: text("sheet.remark")}))),
      make("tbody", {}, ...rows.map((row) => line(row, group))));
  }

  function sheet(plot, tables) {
    const title = plot === null ? text("place.no-plot") : text("plot", {plot});
    return make("section", {className: "sheet"},
      make("h2", {textContent: `${title}, ${day().label}`}),
      make("p", {className: "signed", textContent: `${text("sheet.name")} ____________________  ${text("sheet.date")} ____________________`}),
      ...tables);
  }

  // Print the plot that is chosen in the filter, or all.
  function makeSheets() {
    const choice = at("filter-plot"), only = choice.selectedIndex > 0 ? [...new Set(data.plants.plot)][choice.selectedIndex - 1] : undefined;
    const plots = new Map();
    for (const group of data.groups.filter((one) => one.is_shown)) {
      for (const row of rowsOfGroup(group)) {
        const plot = data.plants.plot[day().plant[row]];
        if (only !== undefined && plot !== only) continue;
        if (!plots.has(plot)) plots.set(plot, new Map());
        const groups = plots.get(plot);
        if (!groups.has(group)) groups.set(group, []);
        groups.get(group).push(row);
      }
    }
    const ordered = [...new Set(data.plants.plot)].filter((plot) => plots.has(plot));
    at("sheets").replaceChildren(...ordered.map((plot) => sheet(plot, [...plots.get(plot)].map(([group, rows]) => table(group, rows)))));
  }

  addEventListener("beforeprint", makeSheets);
  addEventListener("afterprint", () => at("sheets").replaceChildren());
  at("print").addEventListener("click", () => print());
})();
