// Show one plant: its picture with the saliency map over it, its decision and why, its other dates, and a form.
(() => {
  "use strict";
  const {data, state, at, day, text, make, tell, rowOf, likely, placeOf} = harvest;
  const ACROSS = 10, COARSE = 8, LARGEST = 127;  // of sheets and of coarse maps; see tasks/report/sprites.py
  const OPACITY = 0.6;  // of the strongest place of a map
  const FOR = [178, 24, 43], AGAINST = [33, 102, 172];  // red speaks for the explained class, blue against it
  const maps = Int8Array.from(atob(data.pictures.maps), (letter) => letter.charCodeAt(0));
  const canvas = at("card-picture");
  let opener = null;  // element that had the focus before the card

  // Return the sheet of a picture from the page's styles, where it is kept once.
  function sheetOf(number) {
    const probe = make("span", {className: `sheet-${number}`, hidden: true});
    document.body.append(probe);
    const address = getComputedStyle(probe).backgroundImage.slice(5, -2);
    probe.remove();
    return Object.assign(new Image(), {src: address});
  }

  // Return a coarse map as a small picture; enlarged, it is blurred.
  function mapOf(picture) {
    const small = make("canvas", {width: COARSE, height: COARSE}), context = small.getContext("2d");
    const pixels = context.createImageData(COARSE, COARSE);
    for (let i = 0; i < COARSE * COARSE; i++) {
      const value = maps[picture * COARSE * COARSE + i] / LARGEST;
      pixels.data.set([...(value < 0 ? AGAINST : FOR), 255 * OPACITY * Math.abs(value)], 4 * i);
    }
    context.putImageData(pixels, 0, 0);
    return small;
  }

  async function draw(picture) {
    const {side} = data.pictures, tile = picture % (ACROSS * ACROSS), context = canvas.getContext("2d");
    const sheet = sheetOf(Math.floor(picture / ACROSS / ACROSS));
    await sheet.decode();
    if (rowOf(state.plant) < 0 || day().picture[rowOf(state.plant)] !== picture) return;  // another plant by now
    context.imageSmoothingQuality = "high";
    context.drawImage(sheet, tile % ACROSS * side, Math.floor(tile / ACROSS) * side, side, side, 0, 0, canvas.width, canvas.height);
    if (at("card-overlay").checked) context.drawImage(mapOf(picture), 0, 0, canvas.width, canvas.height);
    canvas.dataset.drawn = String(picture);
  }

  function showPicture(row) {
    const picture = row < 0 ? -1 : day().picture[row];
    canvas.hidden = at("card-overlay-choice").hidden = picture < 0;
    at("card-no-picture").hidden = picture >= 0;
    delete canvas.dataset.drawn;
    if (picture >= 0) draw(picture);
  }

  const decided = (row, of) => text("card.decision", {decision: data.decisions[of.decision[row]].label, likely: likely(row, of)});

  function reasonsOf(row) {
    const said = [...data.reasons[day().reason[row]]];
    if (day().corrected[row]) said.push(text("card.corrected"));
    if (day().audit[row]) said.push(text("card.extra"));
    return said;
  }

  function earlier(plant) {
    const others = data.days.map((of, number) => [of, rowOf(plant, number)]).filter(([of, row]) => row >= 0 && of !== day());
    at("card-earlier-head").hidden = !others.length;
    at("card-earlier").replaceChildren(...others.reverse().map(([of, row]) => make("li", {textContent: `${of.label}: ${decided(row, of)}`})));
  }

  // Show a plant on the date that is chosen; the page keeps its place behind the card.
  function showPlant(plant) {
    const row = rowOf(plant), id = data.plants.id[plant];
    at("card-name").textContent = id;
    at("card-place").textContent = placeOf(plant);
    at("card-decision").textContent = row < 0 ? text("card.no-answer") : decided(row, day());
    at("card-why").replaceChildren(...(row < 0 ? [] : reasonsOf(row)).map((said) => make("li", {textContent: said})));
    at("card-explorer").href = `analysis.html#plant=${encodeURIComponent(id)}@${day().date}`;
    showPicture(row);
    earlier(plant);
    showForm(row, id);
  }

  function choice(value, label) {
    return make("label", {}, make("input", {type: "radio", name: "found", value}), label);
  }

  const choices = data.is_harvest
    ? [["yes", text("found.yes")], ["no", text("found.no")]]
    : data.classes.map((name, i) => [name, data.answers[i]]);
  at("found-choices").append(...choices.map(([value, label]) => choice(value, label)));
  const wordOf = (value) => (choices.find(([known]) => known === value) ?? ["", value])[1];

  function showForm(row, id) {
    const entry = checks.of(day().date, id);
    at("found").hidden = row < 0;
    at("found").querySelectorAll("[name=found]").forEach((one) => { one.checked = entry?.found === one.value; });
    at("found-remark").value = entry?.remark ?? "";
    at("found-name").value = checks.name();
    at("found-remove").hidden = !entry;
    at("found-said").textContent = entry ? text("found.kept", {found: wordOf(entry.found)}) : "";
  }

  function keepFound(event) {
    event.preventDefault();
    const chosen = at("found").querySelector("[name=found]:checked"), by = at("found-name").value.trim();
    if (!chosen || !by) {
      at("found-said").textContent = text(chosen ? "found.name.needed" : "found.choose");
      (chosen ? at("found-name") : at("found").querySelector("[name=found]")).focus();
      return;
    }
    const row = rowOf(state.plant), id = data.plants.id[state.plant];
    const decision = data.decisions[day().decision[row]].name;
    checks.keep(day().date, id, {found: chosen.value, remark: at("found-remark").value.trim(), by, decision});
    showForm(row, id);
  }

  function removeFound() {
    const id = data.plants.id[state.plant];
    checks.remove(day().date, id);
    showForm(rowOf(state.plant), id);
  }

  function close() {
    tell("plant", {plant: -1, from: "list"});
    if (opener?.isConnected) opener.focus();
  }

  document.addEventListener("harvest:plant", ({detail: {plant, from}}) => {
    const wasHidden = at("card").hidden;
    at("card").hidden = plant < 0;
    if (wasHidden === plant >= 0) dispatchEvent(new Event("resize"));  // the card takes its room from the map
    if (plant < 0) return;
    if (wasHidden) opener = document.activeElement;
    showPlant(plant);
    at("card").scrollTop = 0;
    if (wasHidden && from !== "map") at("card").focus();  // on the map, the arrow keys go on from plant to plant
  });
  document.addEventListener("harvest:day", () => { at("card").hidden = true; });
  document.addEventListener("harvest:checks", () => { if (state.plant >= 0) showForm(rowOf(state.plant), data.plants.id[state.plant]); });
  at("card-overlay").addEventListener("change", () => showPicture(rowOf(state.plant)));
  at("card-close").addEventListener("click", close);
  at("card").addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
  at("found-name").addEventListener("change", () => checks.rename(at("found-name").value.trim()));
  at("found").addEventListener("submit", keepFound);
  at("found-remove").addEventListener("click", removeFound);
})();
