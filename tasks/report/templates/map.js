// Draw the harvest map of the report with Plotly, one date at a time, from the page's own data; nothing is fetched.
(() => {
  "use strict";
  const field = JSON.parse(document.getElementById("harvest-data").textContent);
  const at = (id) => document.getElementById(id);
  const map = at("harvest-map"), slider = at("map-date"), plantText = at("map-plant");
  const boxes = [...document.querySelectorAll("#map-legend input")];
  const isDark = matchMedia("(prefers-color-scheme: dark)");
  const isTouch = matchMedia("(pointer: coarse)").matches;  // on a touch screen, dragging scrolls and buttons zoom
  const MARGIN = {l: 46, r: 8, t: 8, b: 40};
  const FEW_PIXELS = 4, MANY_PIXELS = 18;  // smallest and largest size of a mark, in pixels
  const MARK_SHARE = 0.72;  // size of a mark as a share of the distance between plants
  const LEAST_HEIGHT = 220, ZOOM = 1.6;  // least height of the map in pixels, and factor of one zoom step
  let day = 0, selected = -1, view = null;  // view has the centre (m) and the scale (pixels per metre)

  const extent = (values) => values.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);
  const east = extent(field.east), north = extent(field.north);

  const plotSize = () => [map.clientWidth - MARGIN.l - MARGIN.r, map.clientHeight - MARGIN.t - MARGIN.b];

  // Show the whole field with room for marks. The map is as high as the field needs, at most 72 % of the window.
  function fit() {
    const room = 2 * field.spacing, w = east[1] - east[0] + room, h = north[1] - north[0] + room;
    const wanted = (map.clientWidth - MARGIN.l - MARGIN.r) * h / w;
    const height = Math.max(LEAST_HEIGHT, Math.min(wanted, 0.72 * innerHeight));
    map.style.height = `${Math.round(height + MARGIN.t + MARGIN.b)}px`;
    const [width] = plotSize();
    view = {x: (east[0] + east[1]) / 2, y: (north[0] + north[1]) / 2, scale: Math.min(width / w, height / h)};
  }

  const ranges = () => {
    const [width, height] = plotSize(), {x, y, scale} = view;
    return [[x - width / scale / 2, x + width / scale / 2], [y - height / scale / 2, y + height / scale / 2]];
  };

  const markSize = () => Math.max(FEW_PIXELS, Math.min(MANY_PIXELS, MARK_SHARE * field.spacing * view.scale));

  function describe(i) {
    const one = field.days[day], decision = field.decisions[one.decision[i]].name;
    const lines = [
      `${field.plants[one.plant[i]]}: ${decision}`,
      `Answer ${field.classes[one.answer[i]].replaceAll("_", " ")}, reliability ${one.reliability[i].toFixed(2)}`,
    ];
    if (one.corrected[i]) lines.push("Corrected: the classifier said otherwise");
    return [...lines, ...field.reasons[one.reason[i]]].map((line) => line.replace(/\.$/, ""));
  }

  const styled = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function rgba(hex, alpha) {
    const [r, g, b] = [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
    return `rgba(${r},${g},${b},${alpha})`;
  }

  // Return small dots for plants without an answer on this date; they show where the field is.
  function others(size, colour) {
    const answered = new Set(field.days[day].plant), rest = [...field.plants.keys()].filter((i) => !answered.has(i));
    return {
      type: "scatter", mode: "markers", hoverinfo: "skip",
      x: rest.map((i) => field.east[i]), y: rest.map((i) => field.north[i]), marker: {size: 0.3 * size, color: colour},
    };
  }

  function traces() {
    const one = field.days[day], size = markSize();
    return [others(size, styled("--soft")), ...field.decisions.map((decision, code) => {
      const rows = [...one.plant.keys()].filter((i) => one.decision[i] === code);
      const colour = isDark.matches ? decision.dark : decision.light;
      return {
        type: "scatter", mode: "markers", name: decision.name, customdata: rows, hoverinfo: "none",
        visible: boxes[code].checked,
        x: rows.map((i) => field.east[one.plant[i]]), y: rows.map((i) => field.north[one.plant[i]]),
        marker: {
          symbol: decision.symbol, size, opacity: 1, line: {color: colour, width: size < 7 ? 0.8 : 1.4},
          color: rows.map((i) => one.reliability[i]), cmin: field.least, cmax: 1,
          colorscale: [[0, rgba(colour, 0)], [1, rgba(colour, 1)]],
        },
      };
    })];
  }

  function layout() {
    const [x, y] = ranges(), text = styled("--text"), line = styled("--line");
    const axis = {zeroline: false, gridcolor: line, linecolor: line, nticks: 7};
    const ring = selected < 0 ? [] : [ringAround(selected, text)];
    return {
      width: map.clientWidth, height: map.clientHeight, margin: MARGIN, showlegend: false, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: {color: text, size: 12}, hovermode: "closest", dragmode: isTouch ? false : "pan", shapes: ring,
      xaxis: {...axis, range: x, title: {text: "metres east", standoff: 6}},
      yaxis: {...axis, range: y, title: {text: "metres north", standoff: 4}, scaleanchor: "x"},
    };
  }

  function ringAround(i, colour) {
    const plant = field.days[day].plant[i], r = (0.5 * markSize() + 5) / view.scale;
    const [x, y] = [field.east[plant], field.north[plant]];
    return {type: "circle", x0: x - r, x1: x + r, y0: y - r, y1: y + r, line: {color: colour, width: 2.5}};
  }

  const draw = () => Plotly.react(map, traces(), layout(), {displayModeBar: false, scrollZoom: false, doubleClick: false});

  // Update only ring and text, which is cheap; the marks are not drawn again.
  function select(i) {
    selected = i;
    plantText.textContent = i < 0 ? "" : `${describe(i).join(". ")}.`;
    Plotly.relayout(map, {shapes: layout().shapes});
  }

  function showDay() {
    day = Number(slider.value);
    const one = field.days[day], counts = one.counts;  // counts include plants that are not on the map
    boxes.forEach((box, code) => { box.parentElement.querySelector("b").textContent = counts[code]; });
    at("map-date-text").textContent = one.label;
    const said = field.decisions.map((decision, code) => `${counts[code]} ${decision.name}`).join(", ");
    slider.setAttribute("aria-valuetext", `${one.label}: ${said}`);
    at("map-unplaced").textContent = one.unplaced ? `${one.unplaced} of ${one.n} plants have no known position and are not on the map.` : "";
    selected = -1;
    plantText.textContent = "";
    draw();
  }

  function zoom(factor) {
    if (selected >= 0) {
      const plant = field.days[day].plant[selected];
      Object.assign(view, {x: field.east[plant], y: field.north[plant]});
    }
    view.scale *= factor;
    draw();
  }

  const reset = () => { fit(); draw(); };

  // Select the nearest shown plant in the direction of an arrow key; sideways distance counts double.
  function step(dx, dy) {
    const one = field.days[day], from = selected < 0 ? null : one.plant[selected];
    const [x, y] = from === null ? [view.x, view.y] : [field.east[from], field.north[from]];
    let best = -1, least = Infinity;
    one.plant.forEach((plant, i) => {
      if (!boxes[one.decision[i]].checked) return;
      const ahead = (field.east[plant] - x) * dx + (field.north[plant] - y) * dy;
      const aside = Math.abs((field.east[plant] - x) * dy) + Math.abs((field.north[plant] - y) * dx);
      const cost = from === null ? Math.abs(ahead) + aside : ahead + 2 * aside;
      if ((from === null || ahead > 0.01) && cost < least) [best, least] = [i, cost];
    });
    if (best >= 0) select(best);
  }

  const KEYS = {
    ArrowLeft: () => step(-1, 0), ArrowRight: () => step(1, 0), ArrowUp: () => step(0, 1), ArrowDown: () => step(0, -1),
    "+": () => zoom(ZOOM), "-": () => zoom(1 / ZOOM), "0": reset, Escape: () => select(-1),
  };

  fit();
  showDay();
  map.on("plotly_hover", (event) => select(event.points[0].customdata));
  map.on("plotly_click", (event) => select(event.points[0].customdata));
  map.on("plotly_relayout", (change) => {
    if (!("xaxis.range[0]" in change)) return;
    view.x = (change["xaxis.range[0]"] + change["xaxis.range[1]"]) / 2;
    if ("yaxis.range[0]" in change) view.y = (change["yaxis.range[0]"] + change["yaxis.range[1]"]) / 2;
  });
  map.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  slider.addEventListener("input", showDay);
  boxes.forEach((box) => box.addEventListener("change", () => { select(-1); draw(); }));
  at("map-in").addEventListener("click", () => zoom(ZOOM));
  at("map-out").addEventListener("click", () => zoom(1 / ZOOM));
  at("map-whole").addEventListener("click", reset);
  isDark.addEventListener("change", draw);
  let known = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== known) { known = innerWidth; reset(); } });
  map.dataset.drawn = "yes";
})();
