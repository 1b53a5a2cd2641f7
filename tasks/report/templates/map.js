// Draw the map of the field with Leaflet in metres, one date at a time: marks and their clusters, names of plots and
// rows, the orthophoto behind them. It follows harvest:day, harvest:plant and harvest:filter, and tells the last two.
const harvestMap = (() => {
  "use strict";
  const {data, state, text, tell} = harvest;
  const at = (id) => document.getElementById(id);
  const box = at("harvest-map"), boxes = [...document.querySelectorAll("#map-legend input:not(#map-photo)")];
  const TARGET = 24;  // size of a mark, in pixels
  const LEAST = 25;  // least distance between marks that are shown one by one, which are drawn at whole pixels
  const CLUSTER = 40;  // size of a cluster of marks, in pixels
  const APART = 10, CLOSEST = 12.5;  // zoom from which marks are shown one by one, and the closest one
  const ROOM = 0.04;  // share of the map that stays free around the field
  const LETTER = 9, LINE = 15;  // width of a letter and height of a line of a label, in pixels
  const isDark = matchMedia("(prefers-color-scheme: dark)");
  const FADES = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  const DOT = {radius: 2, weight: 0, fillColor: "#9AA39D", fillOpacity: 1, interactive: false, renderer: L.canvas()};
  const SVG = "http://www.w3.org/2000/svg";
  const {east, north, id} = data.plants;
  const isPlaced = (plant) => plant >= 0 && east[plant] !== null && north[plant] !== null;
  const placed = [...id.keys()].filter(isPlaced);
  const place = (i) => L.latLng(north[i], east[i]);
  // Pixels per metre at zoom 0. Clusters end half a step below APART, as they know whole zooms alone.
  const unit = LEAST / data.spacing / 2 ** (APART - 0.5);
  const metres = {...L.CRS.Simple, scale: (zoom) => unit * 2 ** zoom, zoom: (scale) => Math.log2(scale / unit)};
  const room = 1.5 * data.spacing;  // around the plants, for the names of plots and rows
  const plants = L.latLngBounds(placed.map(place)), [low, high] = [plants.getSouthWest(), plants.getNorthEast()];
  const field = L.latLngBounds([[low.lat - room, low.lng - room], [high.lat + room, high.lng + room]]).pad(ROOM);
  let day = null, shown = new Set(), marks = new Map(), rowOf = new Map(), photo = null, isWaiting = false;

  const map = L.map(box, {
    crs: metres, zoomControl: false, attributionControl: false, keyboard: false, scrollWheelZoom: false,
    zoomSnap: 0.25, wheelPxPerZoomLevel: 120, maxZoom: CLOSEST,
    zoomAnimation: FADES, fadeAnimation: FADES, markerZoomAnimation: FADES,
  });
  map.fitBounds(field, {animate: false}).setMinZoom(Math.floor(map.getZoom()) - 1);
  map.createPane("photo").style.zIndex = "150";  // below lines (400) and marks (600)
  map.createPane("names").style.zIndex = "550";
  const clusters = L.markerClusterGroup({
    maxClusterRadius: 64, disableClusteringAtZoom: APART, showCoverageOnHover: false, spiderfyOnMaxZoom: false,
    animate: false, iconCreateFunction: (cluster) => clusterIcon(cluster),
  });
  clusters._getExpandedVisibleBounds = () => map.getBounds().pad(0.25);  // it draws eight times as much as is seen
  L.MarkerCluster.prototype.options.keyboard = false;  // the map itself is one stop of the Tab key
  const names = L.layerGroup().addTo(map), dots = L.layerGroup().addTo(map);
  const ring = L.circleMarker([0, 0], {radius: 17, weight: 3, fill: false, interactive: false, className: "map-ring"});

  const share = (reliability) => Math.max(0, Math.min(1, (reliability - data.least) / (1 - data.least)));

  // Below a metre, Leaflet's own scale would stay at one metre and grow beyond the map.
  const Scale = L.Control.Scale.extend({
    _updateMetric(most) {
      if (most >= 1) return L.Control.Scale.prototype._updateMetric.call(this, most);
      const length = this._getRoundNum(100 * most);
      return this._updateScale(this._mScale, `${length} cm`, length / 100 / most);
    },
  });

  const px = (length) => `${length}px`;

  function element(name, className, words = "") {
    const made = document.createElement(name);
    made.className = className;
    made.textContent = words;
    return made;
  }

  // Draw the sign of a decision. The line around it in the colour of the page keeps it visible on a photograph.
  function sign(decision, filling) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "-12 -12 24 24");
    for (const kind of ["halo", "outline"]) {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("d", decision.path);
      path.setAttribute("class", kind);
      if (kind === "outline") path.setAttribute("fill-opacity", filling.toFixed(2));
      svg.append(path);
    }
    svg.style.setProperty("--mark", decision.light);
    svg.style.setProperty("--mark-dark", decision.dark);
    return svg;
  }

  // Icons are made when Leaflet shows them, which is a small part of a large field. The sign itself is the icon.
  const Mark = L.Icon.extend({
    createIcon() {
      const {row} = this.options, made = sign(data.decisions[day.decision[row]], share(day.reliability[row]));
      made.setAttribute("class", "leaflet-marker-icon map-mark");
      Object.assign(made.style, {width: px(TARGET), height: px(TARGET)});
      Object.assign(made.style, {marginLeft: px(-TARGET / 2), marginTop: px(-TARGET / 2)});
      made.dataset.plant = id[day.plant[row]];
      return made;
    },
    createShadow: () => null,
  });

  // Draw a ring with the colours of a cluster's decisions, each as long as its share, around their number.
  function clusterIcon(cluster) {
    const counts = data.decisions.map(() => 0), children = cluster.getAllChildMarkers(), made = element("div", "");
    for (const one of children) counts[day.decision[one.options.row]] += 1;
    let from = 0;
    const parts = data.decisions.map((decision, code) => {
      const start = from;
      from += 100 * counts[code] / children.length;
      return `${isDark.matches ? decision.dark : decision.light} ${start.toFixed(1)}% ${from.toFixed(1)}%`;
    });
    made.style.background = `conic-gradient(${parts.join(", ")})`;
    made.append(element("b", "", String(children.length)));
    return L.divIcon({html: made, className: "map-cluster", iconSize: [CLUSTER, CLUSTER]});
  }

  function mark(row) {
    const icon = new Mark({row});
    const made = L.marker(place(day.plant[row]), {icon, row, keyboard: false});
    return made.on("click", () => tell("plant", {plant: day.plant[row], from: "map"}));
  }

  // Show the marks of the chosen plants, and dots for all others, which tell where the field is.
  function drawMarks() {
    isWaiting = false;
    clusters.clearLayers();
    clusters.addLayers([...marks].filter(([row]) => shown.has(row)).map(([, one]) => one));
    dots.clearLayers();
    for (const plant of placed) if (!shown.has(rowOf.get(plant))) dots.addLayer(L.circleMarker(place(plant), DOT));
    box.dataset.drawn = "yes";
  }

  // Draw once, when all scripts have followed an event: a new date is filtered by the lists while it is told.
  function draw() {
    if (!isWaiting) queueMicrotask(drawMarks);
    isWaiting = true;
  }

  // Take a date, unless the map has it already.
  function followDay(number) {
    if (day === data.days[number]) return;
    day = data.days[number];
    rowOf = new Map(day.plant.map((plant, row) => [plant, row]));
    marks = new Map([...day.plant.keys()].filter((row) => isPlaced(day.plant[row])).map((row) => [row, mark(row)]));
    shown = new Set(day.plant.keys());
    boxes.forEach((one, code) => {
      one.checked = true;
      one.parentElement.querySelector("b").textContent = day.counts[code].toLocaleString("en-US");
    });
    at("map-unplaced").textContent = day.unplaced ? text("map.unplaced", {n: day.unplaced, total: day.n}) : "";
    showPhoto();
    draw();
  }

  function showPhoto() {
    const found = data.place.photos[day.date] ?? {}, wanted = at("map-photo");
    photo?.remove();
    photo = null;
    wanted.parentElement.hidden = !found.picture;
    at("map-no-photo").textContent = found.missing ?? "";
    if (!found.picture || !wanted.checked) return;
    const [west, south, right, top] = found.bounds;
    photo = L.imageOverlay(found.picture, [[south, west], [top, right]], {pane: "photo", alt: ""}).addTo(map);
  }

  function filter(rows) {
    followDay(state.day);
    shown = new Set(rows);
    const decisions = new Set([...shown].map((row) => day.decision[row]));
    boxes.forEach((one, code) => { one.checked = !day.counts[code] || decisions.has(code); });
    draw();
  }

  function chooseDecisions() {
    const rows = [...day.plant.keys()].filter((row) => boxes[day.decision[row]].checked);
    tell("filter", {shown: new Set(rows), from: "map"});
  }

  const describe = (row) => text("map.plant", {
    plant: id[day.plant[row]], decision: data.decisions[day.decision[row]].label ?? data.decisions[day.decision[row]].name,
    reliability: Math.round(100 * day.reliability[row]),
  });

  // Ring a plant and bring it into view; a plant that was chosen elsewhere is also shown by itself.
  function select(plant, from) {
    const row = rowOf.get(plant);
    ring.remove();
    at("map-plant").textContent = row === undefined ? "" : describe(row);
    if (!isPlaced(plant)) return;
    ring.setLatLng(place(plant)).addTo(map);
    if (from === "map") map.panInside(place(plant), {padding: [TARGET, TARGET], animate: FADES});
    else map.setView(place(plant), Math.max(map.getZoom(), APART), {animate: false});
  }

  const whole = () => map.fitBounds(field, {animate: FADES});
  const zoom = (steps) => {
    const middle = isPlaced(state.plant) ? place(state.plant) : map.getCenter();
    map.setView(middle, map.getZoom() + steps, {animate: FADES});
  };

  // Choose the nearest shown plant in the direction of an arrow key; sideways distance counts double.
  function step(dx, dy) {
    const from = isPlaced(state.plant) ? state.plant : -1, start = from < 0 ? map.getCenter() : place(from);
    let best = -1, least = Infinity;
    for (const row of marks.keys()) {
      if (!shown.has(row)) continue;
      const x = east[day.plant[row]] - start.lng, y = north[day.plant[row]] - start.lat;
      const ahead = x * dx + y * dy, aside = Math.abs(x * dy) + Math.abs(y * dx);
      const cost = from < 0 ? Math.abs(ahead) + aside : ahead + 2 * aside;
      if ((from < 0 || ahead > 0.01) && cost < least) [best, least] = [day.plant[row], cost];
    }
    if (best >= 0) tell("plant", {plant: best, from: "map"});
  }

  const KEYS = {
    ArrowLeft: () => step(-1, 0), ArrowRight: () => step(1, 0), ArrowUp: () => step(0, 1), ArrowDown: () => step(0, -1),
    "+": () => zoom(1), "-": () => zoom(-1), "0": whole, Escape: () => tell("plant", {plant: -1, from: "map"}),
  };

  // Show the names of plots and rows that have room at this zoom, in the part of the field that is seen.
  function showNames() {
    const scale = metres.scale(map.getZoom()), seen = map.getBounds().pad(0.1);
    names.clearLayers();
    for (const {at: [x, y], words, kind, width, height} of labels) {
      const fits = width * scale >= (words.length + 1) * LETTER && height * scale >= LINE;
      if (!fits || !seen.contains([y, x])) continue;
      const icon = L.divIcon({html: element("span", "", words), className: `map-name ${kind}`, iconSize: [0, 0]});
      L.marker([y, x], {icon, interactive: false, keyboard: false, pane: "names"}).addTo(names);
    }
  }

  const labels = harvestNames.fieldLabels(data, text);
  for (const outline of harvestNames.plotOutlines(data)) {
    const line = {fill: false, weight: 1.5, interactive: false, className: "map-plot"};
    L.polygon(outline.map(([x, y]) => [y, x]), line).addTo(map);
  }
  new Scale({imperial: false}).addTo(map);
  clusters.addTo(map);
  map.on("zoomend moveend", showNames);
  showNames();

  document.addEventListener("harvest:day", (event) => { followDay(event.detail.day); select(-1); });
  document.addEventListener("harvest:plant", (event) => select(event.detail.plant, event.detail.from));
  document.addEventListener("harvest:filter", (event) => filter(event.detail.shown));
  box.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  box.addEventListener("focusin", () => map.scrollWheelZoom.enable());  // else the wheel scrolls the page
  box.addEventListener("focusout", () => map.scrollWheelZoom.disable());
  boxes.forEach((one) => one.addEventListener("change", chooseDecisions));
  at("map-photo").addEventListener("change", showPhoto);
  isDark.addEventListener("change", draw);
  at("map-in").addEventListener("click", () => zoom(1));
  at("map-out").addEventListener("click", () => zoom(-1));
  at("map-whole").addEventListener("click", whole);
  return {map, place, isPlaced, APART};
})();
