// Find where the names of plots and rows stand on the map, and the outlines of plots, in metres. Nothing is drawn here.
const harvestNames = (() => {
  "use strict";

  // Group the indices of plants with a position by a key; plants whose key is null are left out.
  function plantsBy(plants, keyOf) {
    const groups = new Map();
    for (const i of plants.id.keys()) {
      const key = keyOf(i);
      if (key === null || plants.east[i] === null || plants.north[i] === null) continue;
      if (groups.has(key)) groups.get(key).push(i);
      else groups.set(key, [i]);
    }
    return groups;
  }

  // Return the names of plots and rows: their place, their words, their kind, and the room that each has, in metres.
  function fieldLabels({plants, spacing}, text) {
    const {east, north, plot, row} = plants;
    const labels = [];
    for (const [name, members] of plantsBy(plants, (i) => plot[i])) {
      const x = members.map((i) => east[i]), y = members.map((i) => north[i]);
      const low = [Math.min(...x), Math.min(...y)], high = [Math.max(...x), Math.max(...y)];
      labels.push({
        at: [(low[0] + high[0]) / 2, high[1] + 0.8 * spacing], words: text("map.plot", {plot: name}), kind: "plot",
        width: high[0] - low[0] + 2 * spacing, height: (high[1] - low[1] + spacing) / 3,
      });
    }
    for (const rows of rowsByPlot(plants).values()) {
      const ends = rows.map((members) => rowEnd(plants, members, spacing));
      rows.forEach((members, k) => {
        const {at, kind, isLevel} = ends[k];
        const others = ends.filter((_, other) => other !== k);
        const room = Math.min(...others.map((one) => Math.hypot(one.at[0] - at[0], one.at[1] - at[1])));
        const [width, height] = isLevel ? [Infinity, room] : [room, Infinity];
        labels.push({at, words: text("map.row", {row: row[members[0]]}), kind: `row ${kind}`, width, height});
      });
    }
    return labels;
  }

  // Return the plants of each row, in order, by plot.
  function rowsByPlot(plants) {
    const plots = new Map();
    const rows = plantsBy(plants, (i) => (plants.row[i] === null ? null : JSON.stringify([plants.plot[i], plants.row[i]])));
    for (const members of rows.values()) {
      members.sort((a, b) => (plants.number[a] ?? 0) - (plants.number[b] ?? 0) || a - b);
      const plot = plants.plot[members[0]];
      plots.set(plot, [...(plots.get(plot) ?? []), members]);
    }
    return plots;
  }

  // Return where the name of a row stands, before its first plant, and to which side of that place it extends.
  function rowEnd({east, north}, members, spacing) {
    const [first, last] = [members[0], members.at(-1)];
    const [x, y] = [east[last] - east[first], north[last] - north[first]], length = Math.hypot(x, y);
    const [dx, dy] = length ? [x / length, y / length] : [1, 0], isLevel = Math.abs(dx) >= Math.abs(dy);
    const kind = isLevel ? (dx > 0 ? "to-west" : "to-east") : (dy > 0 ? "to-south" : "to-north");
    return {at: [east[first] - 0.8 * spacing * dx, north[first] - 0.8 * spacing * dy], kind, isLevel};
  }

  // Return the outline of every plot: the convex hull (Andrew's monotone chain) of squares around its plants.
  function plotOutlines({plants, spacing}) {
    const half = spacing / 2, corners = [[-half, -half], [-half, half], [half, -half], [half, half]];
    return [...plantsBy(plants, (i) => plants.plot[i]).values()].map((members) => {
      const points = members.flatMap((i) => corners.map(([x, y]) => [plants.east[i] + x, plants.north[i] + y]));
      points.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
      return [...halfHull(points), ...halfHull(points.reverse())];
    });
  }

  // Return one half of a hull: of sorted points, those at which the way always turns left, without the last.
  function halfHull(points) {
    const turn = (a, b, c) => (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
    const chain = [];
    for (const point of points) {
      while (chain.length > 1 && turn(chain.at(-2), chain.at(-1), point) <= 0) chain.pop();
      chain.push(point);
    }
    return chain.slice(0, -1);
  }

  return {fieldLabels, plotOutlines};
})();
