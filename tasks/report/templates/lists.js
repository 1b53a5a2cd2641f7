// Show the lists of the field page: filtered and sorted, and only as many cards as a reader asks for.
(() => {
  "use strict";
  const {data, state, at, day, text, make, tell, rowOf, likely, placeOf, rowsOfGroup} = harvest;
  const FIRST = 50, MORE = 200;  // cards that a list shows at first, and with each step
  const ACROSS = 10;  // tiles in a line of a sheet of pictures
  const shown = [];  // rows of the lists one after the other, as they are sorted now
  const SORTS = {
    listed: (rows) => rows,
    walk: (rows, group) => (group.key === "check" ? [...rows].sort((a, b) => a - b) : rows),  // rows of a date are in walking order
    unsure: (rows) => [...rows].sort((a, b) => day().reliability[a] - day().reliability[b]),
    sure: (rows) => [...rows].sort((a, b) => day().reliability[b] - day().reliability[a]),
  };

  function fill(select, options) {
    select.replaceChildren(...options.map(([value, label]) => make("option", {value, textContent: label})));
  }

  function fillFilter() {
    fill(at("filter-group"), [["", text("filter.decision.all")], ...data.groups.map((group) => [group.key, group.title])]);
    const plots = [...new Set(data.plants.plot)];  // in walking order, as the plants
    fill(at("filter-plot"), [["", text("filter.plot.all")], ...plots.map((plot, i) => [String(i + 1), plot ?? text("filter.plot.none")])]);
    at("filter-plot").parentElement.hidden = plots.length < 2;
    fill(at("sort"), Object.keys(SORTS).map((key) => [key, data.texts[`sort.${key}`]]));
    return plots;
  }

  const plots = fillFilter();
  const words = data.plants.id.map((id, i) => [id, data.plants.plot[i], data.plants.row[i]].join(" ").toLowerCase());

  // Return a test of rows by plot and text.
  function wanted() {
    const choice = Number(at("filter-plot").value), looked = at("filter-text").value.trim().toLowerCase();
    return (row) => {
      const plant = day().plant[row];
      return (!choice || data.plants.plot[plant] === plots[choice - 1]) && words[plant].includes(looked);
    };
  }

  // Return the groups that are shown now, with their rows; plants to leave only if somebody asks for them.
  function groupsNow() {
    const key = at("filter-group").value, test = wanted(), sort = SORTS[at("sort").value];
    return data.groups
      .filter((group) => (key ? group.key === key : group.is_shown && (group.key !== "extra" || day().extra.length)))
      .map((group) => ({...group, rows: sort(rowsOfGroup(group), group).filter(test)}));
  }

  function card(row) {
    const plant = day().plant[row], picture = day().picture[row], why = data.reasons[day().reason[row]];
    const button = make("button", {type: "button", className: "plant"});
    button.dataset.plant = plant;
    if (picture >= 0) {
      const tile = picture % (ACROSS * ACROSS), {side} = data.pictures;
      const small = make("span", {className: `picture sheet-${Math.floor(picture / ACROSS / ACROSS)}`});
      small.style.backgroundPosition = `-${tile % ACROSS * side}px -${Math.floor(tile / ACROSS) * side}px`;
      button.append(small);
    }
    const about = make("span", {className: "about"}, make("b", {textContent: data.plants.id[plant]}), " ", make("span", {textContent: placeOf(plant)}));
    if (why.length) about.append(" ", make("span", {className: "soft", textContent: why.join(" ")}));
    button.append(about, " ", make("b", {className: "likely", textContent: likely(row)}));
    mark(button);
    return make("li", {}, button);
  }

  // Mark a card whose plant somebody looked at already.
  function mark(button) {
    button.classList.toggle("found", checks.has(day().date, data.plants.id[Number(button.dataset.plant)]));
  }

  function section(group) {
    const list = make("ol", {className: "plants"});
    const made = make("section", {className: "group"},
      make("h3", {textContent: `${group.title} `}, make("span", {className: "soft", textContent: group.rows.length.toLocaleString("en-US")})),
      make("p", {className: "soft", textContent: group.how}), list);
    made.dataset.group = group.key;
    const isFiltered = at("filter-plot").value || at("filter-text").value.trim();
    if (!group.rows.length) made.append(make("p", {textContent: text(isFiltered ? "list.none.filtered" : "list.none")}));
    const more = make("button", {type: "button", className: "more"});
    const grow = (n) => {
      const done = list.childElementCount;
      list.append(...group.rows.slice(done, done + n).map(card));
      const left = group.rows.length - list.childElementCount;
      if (left) more.textContent = text("list.more", {n: Math.min(MORE, left), left});
      else more.remove();
    };
    more.addEventListener("click", () => {
      const next = list.childElementCount;
      grow(MORE);
      list.children[next].firstElementChild.focus();
    });
    made.append(more);
    grow(FIRST);
    return made;
  }

  function show() {
    const groups = groupsNow();
    shown.splice(0, shown.length, ...groups.flatMap((group) => group.rows));
    at("groups").replaceChildren(...groups.map(section));
    const all = at("filter-group").value ? shown : [...day().plant.keys()].filter(wanted());
    tell("filter", {shown: new Set(all)});
  }

  // Open the plant that lies some places further in the lists.
  function step(by) {
    const from = shown.indexOf(rowOf(state.plant)), next = shown[from + by];
    if (next !== undefined && from + by >= 0) tell("plant", {plant: day().plant[next], from: "list"});
  }

  at("groups").addEventListener("click", (event) => {
    const button = event.target.closest("button.plant");
    if (button) tell("plant", {plant: Number(button.dataset.plant), from: "list"});
  });
  at("filter").addEventListener("input", show);
  at("filter").addEventListener("submit", (event) => event.preventDefault());
  at("card-next").addEventListener("click", () => step(1));
  at("card-previous").addEventListener("click", () => step(-1));
  document.addEventListener("harvest:day", show);
  document.addEventListener("harvest:checks", () => document.querySelectorAll("button.plant").forEach(mark));
})();
