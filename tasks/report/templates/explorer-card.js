// Show one image of the plant explorer: picture, saliency map over it, what is known of it, and those most alike.
const harvestCard = (() => {
  "use strict";
  const at = (id) => document.getElementById(`explorer-${id}`);
  const SIDE = 8, OPACITY = 0.6;  // rows of a coarse map; opacity of its strongest place
  const HEAT = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];  // weak to strong (inferno)
  const FOR = [178, 24, 43], AGAINST = [33, 102, 172];  // evidence for and against the explained class
  let isOverlaid = true, shown = null;

  // Return colour and opacity of a map's value, -1..1.
  function tint(value, isSigned) {
    const alpha = 255 * OPACITY * Math.abs(value);
    if (isSigned) return [...(value < 0 ? AGAINST : FOR), alpha];
    const place = Math.max(0, value) * (HEAT.length - 1), low = Math.min(Math.floor(place), HEAT.length - 2);
    return [...HEAT[low].map((one, k) => one + (place - low) * (HEAT[low + 1][k] - one)), alpha];
  }

  // Return the bytes of a text in base64.
  function bytesOf(text) {
    const inside = atob(text), bytes = new Uint8Array(inside.length);
    for (let k = 0; k < inside.length; k++) bytes[k] = inside.charCodeAt(k);
    return bytes;
  }

  // Return the 64 values of an image's map, -1..1, row by row.
  function valuesOf(method, i) {
    method.bytes ??= new Int8Array(bytesOf(method.maps).buffer);
    return Array.from(method.bytes.subarray(SIDE ** 2 * i, SIDE ** 2 * (i + 1)), (one) => one / 127);
  }

  // Draw the map smoothly over the whole picture; beyond the centres of the outer parts their value continues.
  function drawOverlay() {
    const canvas = at("overlay"), g = canvas.getContext("2d");
    g.clearRect(0, 0, canvas.width, canvas.height);
    if (!isOverlaid || !shown) return;
    const small = Object.assign(document.createElement("canvas"), {width: SIDE, height: SIDE});
    const cells = new ImageData(SIDE, SIDE);
    valuesOf(shown.method, shown.i).forEach((value, k) => cells.data.set(tint(value, shown.method.is_signed), 4 * k));
    small.getContext("2d").putImageData(cells, 0, 0);
    g.imageSmoothingQuality = "high";
    g.drawImage(small, 0, 0, canvas.width, canvas.height);
  }

  function facts({common, method, i, truth, words, isNovel}) {
    const named = (code) => words(common.classes[code]);
    const [cluster, size, wrong, isSwapped] = method.clusters.find(([number]) => number === method.cluster[i]);
    const said = named(common.predicted[i]), isCorrected = method.answer[i] !== common.predicted[i];
    return [
      ["Decision", [words(common.decisions[method.decision[i]]), ...method.reasons[method.reason[i]]].join(". ")],
      ["Answer", `${named(method.answer[i])}, reliability ${method.reliability[i].toFixed(2)}`],
      ["Classifier", isCorrected ? `${said}, corrected` : said],
      ["Truth", common.label[i] < 0 ? "unknown" : `${named(common.label[i])}: the classifier is ${truth[i] ? "wrong" : "right"}`],
      ["Cluster", `${cluster}: ${wrong} of ${size} validation images wrong${isSwapped ? ", answers swapped" : ""}`],
      ["Novelty", `${method.novelty[i]}${isNovel ? `, novel (below ${common.least_novelty})` : ""}`],
      ...(method.flat.includes(i) ? [["Map", "has one value everywhere"]] : []),
      ["Split", common.splits[common.split[i]]],
      ...(common.plot[i] < 0 ? [] : [["Plot", common.plots[common.plot[i]]]]),
    ];
  }

  // Fill a list with pictures that can be chosen, each with the date or the plant as caption.
  function fill(id, members, {picture}, caption) {
    at(id).replaceChildren(...members.map((one) => picture(one, caption(one))));
  }

  function show(about) {
    const {common, method, i, alike} = about;
    at("none").hidden = i >= 0;
    at("about").hidden = i < 0;
    shown = i < 0 ? null : about;
    if (i < 0) return;
    const plant = common.plants[common.plant[i]], [date, label] = common.dates[common.date[i]];
    at("name").textContent = `${plant}, ${label}`;
    about.showTile(at("picture"), i);
    at("picture").setAttribute("aria-label", `${plant} on ${date}`);
    at("scale").textContent = method.is_signed ? "red: for the explained class, blue: against it" : "bright: what the answer rests on";
    drawOverlay();
    at("facts").replaceChildren(...facts(about).flatMap((pair) => pair.map((text, k) => (
      Object.assign(document.createElement(k ? "dd" : "dt"), {textContent: text})
    ))));
    at("field").href = `index.html#${date}/${encodeURIComponent(plant)}`;
    const others = [...common.plant.keys()].filter((j) => j !== i && common.plant[j] === common.plant[i]);
    at("dates-part").hidden = !others.length;
    fill("dates", others.sort((a, b) => common.date[a] - common.date[b]), about, (j) => common.dates[common.date[j]][0]);
    fill("alike", alike, about, (j) => common.plants[common.plant[j]]);
  }

  at("overlaid").addEventListener("click", () => {
    isOverlaid = !isOverlaid;
    at("overlaid").setAttribute("aria-pressed", String(isOverlaid));
    drawOverlay();
  });

  return {show, bytesOf};
})();
