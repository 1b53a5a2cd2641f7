// Show where the reader stands, if the browser grants it, and how far and in which direction the next plant is.
(() => {
  "use strict";
  const {data, state, text} = harvest, {map, place, isPlaced, APART} = harvestMap, {frame} = data.place;
  const at = (id) => document.getElementById(id);
  const button = at("map-here"), said = at("map-position");
  const FAR = 1000;  // distance from the field from which only that distance is told, in metres
  const EARTH = 6371000;  // mean radius of the earth, in metres
  const REASONS = {1: "map.position.denied", 2: "map.position.unknown", 3: "map.position.late"};  // by code of the error
  const DIRECTIONS = [
    "map.north", "map.north-east", "map.east", "map.south-east", "map.south", "map.south-west", "map.west", "map.north-west",
  ];
  const {east, north, id} = data.plants;
  let watch = null, here = null, list = null;

  if (!frame || !navigator.geolocation || !isSecureContext) return;  // a page from plain http learns no position
  button.hidden = false;

  // Return metres east and north of the field's corner, by the affine map that holds near the field.
  function toLocal(latitude, longitude) {
    const lon = longitude - frame.longitude, lat = latitude - frame.latitude;
    return frame.local.map((middle, k) => middle + frame.per_degree[k][0] * lon + frame.per_degree[k][1] * lat);
  }

  // Return distance (m) and bearing (degrees from true north) from one place of the map to another, on the ground.
  function wayTo([x, y], [toX, toY]) {
    const [eastward, northward] = frame.ground.map(([a, b]) => a * (toX - x) + b * (toY - y));
    const bearing = (Math.atan2(eastward, northward) * 180 / Math.PI + 360) % 360;
    return {metres: Math.hypot(eastward, northward), bearing};
  }

  // Return the distance (m) on a sphere between a position and the middle of the field, however far away that is.
  function farFrom({latitude, longitude}) {
    const rad = Math.PI / 180, [a, b] = [latitude * rad, frame.latitude * rad];
    const turn = (longitude - frame.longitude) * rad;
    const chord = Math.sin((a - b) / 2) ** 2 + Math.cos(a) * Math.cos(b) * Math.sin(turn / 2) ** 2;
    return 2 * EARTH * Math.asin(Math.sqrt(chord));
  }

  // Return the plant to go to: the selected one, else the first of the shown list, else the nearest to act on; or -1.
  function nextPlant(from) {
    if (isPlaced(state.plant)) return state.plant;
    if (list) return list.find(isPlaced) ?? -1;
    const day = data.days[state.day], rows = [...day.plant.keys()].filter((row) => day.decision[row] === 0);
    const far = (plant) => (plant < 0 ? Infinity : Math.hypot(east[plant] - from[0], north[plant] - from[1]));
    return rows.map((row) => day.plant[row]).filter(isPlaced).reduce((best, one) => (far(one) < far(best) ? one : best), -1);
  }

  const layers = L.layerGroup();

  function show() {
    layers.clearLayers();
    if (!here) return;
    const distance = farFrom(here), from = toLocal(here.latitude, here.longitude);
    if (distance > FAR) {
      said.textContent = text("map.far", {km: (distance / 1000).toFixed(distance < 10000 ? 1 : 0)});
      return;
    }
    const spot = L.latLng(from[1], from[0]), target = nextPlant(from), accuracy = Math.max(1, Math.round(here.accuracy));
    const style = {interactive: false, className: "map-self"};
    L.circle(spot, {...style, radius: here.accuracy, weight: 1, fillOpacity: 0.12}).addTo(layers);
    L.circleMarker(spot, {...style, radius: 8, weight: 3, fillOpacity: 1, className: "map-self map-spot"}).addTo(layers);
    const words = [];
    if (target >= 0) {
      const {metres, bearing} = wayTo(from, [east[target], north[target]]);
      L.polyline([spot, place(target)], {...style, weight: 2, dashArray: "6 6"}).addTo(layers);
      const direction = text(DIRECTIONS[Math.round(bearing / 45) % 8]);
      const how = Math.round(metres) ? "map.next" : "map.at";
      words.push(text(how, {metres: Math.round(metres), direction, plant: id[target]}));
      Object.assign(said.dataset, {metres: metres.toFixed(2), bearing: bearing.toFixed(2)});
    }
    said.textContent = [...words, text("map.accuracy", {metres: accuracy})].join(" ");
  }

  // Show the first position that is found with its accuracy and the next plant; later ones move nothing.
  function follow(position) {
    const isFirst = here === null;
    here = position.coords;
    show();
    if (!isFirst || farFrom(here) > FAR) return;
    const [x, y] = toLocal(here.latitude, here.longitude), target = nextPlant([x, y]), around = here.accuracy;
    const seen = L.latLngBounds([[y - around, x - around], [y + around, x + around]]);
    if (target >= 0) seen.extend(place(target));
    map.fitBounds(seen, {maxZoom: APART, animate: false});
  }

  function stop(words) {
    navigator.geolocation.clearWatch(watch);
    watch = here = null;
    layers.clearLayers();
    button.setAttribute("aria-pressed", "false");
    said.textContent = words;
    delete said.dataset.metres;
    delete said.dataset.bearing;
  }

  function start() {
    button.setAttribute("aria-pressed", "true");
    said.textContent = text("map.waiting");
    const options = {enableHighAccuracy: true, maximumAge: 5000, timeout: 30000};
    watch = navigator.geolocation.watchPosition(follow, (error) => {
      if (error.code === 1 || here === null) stop(text(REASONS[error.code]));
    }, options);
  }

  layers.addTo(map);
  button.addEventListener("click", () => (watch === null ? start() : stop("")));
  document.addEventListener("harvest:list", (event) => { list = event.detail.plants; show(); });
  for (const name of ["harvest:plant", "harvest:day"]) document.addEventListener(name, show);
})();
