// Draw points on a canvas and let one be chosen by pointer, touch or keyboard. The plant explorer is its user.
const harvestScatter = (() => {
  "use strict";
  const ROOM = 16, SIZE = 3.4, REACH = 20, ZOOM = 1.6;  // pixels at the border, of a mark, around a tap; one zoom step
  const FEW = 1500;  // points of full size
  const FAINT = "rgba(128,128,128,.22)";

  // Outlines of marks around a point; shapes tell groups apart without colours.
  const SHAPES = [
    (g, x, y, r) => { g.moveTo(x + r, y); g.arc(x, y, r, 0, 7); },
    (g, x, y, r) => g.rect(x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r),
    (g, x, y, r) => { g.moveTo(x, y - 1.3 * r); g.lineTo(x + 1.2 * r, y + r); g.lineTo(x - 1.2 * r, y + r); g.closePath(); },
    (g, x, y, r) => { g.moveTo(x, y - 1.4 * r); g.lineTo(x + 1.4 * r, y); g.lineTo(x, y + 1.4 * r); g.lineTo(x - 1.4 * r, y); g.closePath(); },
  ];

  // Draw one mark in the middle of a small canvas, for a legend.
  function drawMark(canvas, look) {
    const g = canvas.getContext("2d");
    g.beginPath();
    SHAPES[look.shape](g, canvas.width / 2, canvas.height / 2, canvas.width / 3);
    g.fillStyle = look.colour;
    g.fill();
  }

  // Keep points, what is shown of them, and the part of the plane in view; `onChoose` gets the index of a chosen point.
  function scatter(canvas, onChoose) {
    let x = [], y = [], group = [], looks = [], shown = [], chosen = -1, near = [];
    let view = {x: 0, y: 0, scale: 1}, least = 1, asked = false, drag = null;

    const spot = (i) => [
      canvas.clientWidth / 2 + (x[i] - view.x) * view.scale,
      canvas.clientHeight / 2 - (y[i] - view.y) * view.scale,
    ];

    function whole() {
      const [left, right] = extent(x), [low, high] = extent(y);
      const fitting = [(canvas.clientWidth - 2 * ROOM) / (right - left), (canvas.clientHeight - 2 * ROOM) / (high - low)];
      least = Math.min(...fitting.map((one) => (Number.isFinite(one) && one > 0 ? one : Infinity)), 1e12);
      view = {x: (left + right) / 2, y: (low + high) / 2, scale: least};
      redraw();
    }

    function redraw() {
      canvas.classList.toggle("is-zoomed", view.scale > 1.01 * least);
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => { asked = false; draw(); });
    }

    function draw() {
      const ratio = window.devicePixelRatio || 1, g = canvas.getContext("2d");
      const [width, height] = [canvas.clientWidth, canvas.clientHeight];
      Object.assign(canvas, {width: Math.round(width * ratio), height: Math.round(height * ratio)});
      g.scale(ratio, ratio);
      const crowded = Math.min(1, (FEW / x.length) ** 0.25);  // many points have smaller marks
      const zoomed = SIZE * crowded * Math.min(2, Math.sqrt(view.scale / least));
      const marks = (members, shape, r, colour) => {
        g.beginPath();
        for (const i of members) {
          const [px, py] = spot(i);
          if (px > -9 && py > -9 && px < width + 9 && py < height + 9) SHAPES[shape](g, px, py, r);
        }
        g.fillStyle = colour;
        g.fill();
      };
      const every = looks.map(() => []), faint = [];
      for (let i = 0; i < x.length; i++) (shown[i] ? every[group[i]] : faint).push(i);
      marks(faint, 0, 0.6 * zoomed, FAINT);
      looks.forEach((look, k) => marks(every[k], look.shape, zoomed, look.colour));
      for (const i of near) ring(g, i, zoomed + 3, 1.5);
      if (chosen >= 0) ring(g, chosen, zoomed + 6, 3);
      canvas.dataset.drawn = "yes";
    }

    function ring(g, i, r, width) {
      g.beginPath();
      g.arc(...spot(i), r, 0, 7);
      g.lineWidth = width;
      g.strokeStyle = getComputedStyle(canvas).color;
      g.stroke();
    }

    // Return the shown point of least cost; `cost` is Infinity where a point does not count.
    function best(cost) {
      let found = -1, lowest = Infinity;
      for (let i = 0; i < x.length; i++) {
        const own = shown[i] ? cost(i) : Infinity;
        if (own < lowest) [found, lowest] = [i, own];
      }
      return found;
    }

    function tap(px, py) {
      const found = best((i) => {
        const [ix, iy] = spot(i), distance = Math.hypot(ix - px, iy - py);
        return distance > REACH ? Infinity : distance;
      });
      if (found >= 0) onChoose(found);
    }

    // Choose the nearest shown point in the direction of an arrow key; sideways distance counts double.
    function step(dx, dy) {
      if (chosen < 0) return tapFrom((i) => Math.hypot(x[i] - view.x, y[i] - view.y));
      return tapFrom((i) => {
        const [right, up] = [x[i] - x[chosen], y[i] - y[chosen]];
        const ahead = right * dx + up * dy, aside = Math.abs(right * dy) + Math.abs(up * dx);
        return ahead > 0 ? ahead + 2 * aside : Infinity;
      });
    }

    function tapFrom(cost) {
      const found = best(cost);
      if (found >= 0) onChoose(found);
    }

    function zoom(factor) {
      if (chosen >= 0) Object.assign(view, {x: x[chosen], y: y[chosen]});
      view.scale = Math.max(least, view.scale * factor);
      if (view.scale === least) whole();
      redraw();
    }

    const KEYS = {
      ArrowLeft: () => step(-1, 0), ArrowRight: () => step(1, 0), ArrowUp: () => step(0, 1), ArrowDown: () => step(0, -1),
      "+": () => zoom(ZOOM), "-": () => zoom(1 / ZOOM), "0": whole,
    };
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
      event.preventDefault();
      KEYS[event.key]();
    });
    canvas.addEventListener("pointerdown", (event) => {
      drag = {x: event.offsetX, y: event.offsetY, at: {...view}, moved: false};
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!drag) return;
      const [right, down] = [event.offsetX - drag.x, event.offsetY - drag.y];
      drag.moved ||= Math.hypot(right, down) > 5;
      if (!drag.moved || view.scale <= 1.01 * least) return;
      Object.assign(view, {x: drag.at.x - right / view.scale, y: drag.at.y + down / view.scale});
      redraw();
    });
    canvas.addEventListener("pointerup", (event) => {
      if (drag && !drag.moved) tap(event.offsetX, event.offsetY);
      drag = null;
    });
    canvas.addEventListener("pointercancel", () => { drag = null; });
    new ResizeObserver(whole).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

    return {
      place: (right, up) => { [x, y] = [right, up]; whole(); },
      colour: (groups, groupLooks) => { [group, looks] = [groups, groupLooks]; redraw(); },
      filter: (flags) => { shown = flags; redraw(); },
      choose: (i, neighbours) => { [chosen, near] = [i, neighbours]; redraw(); },
      spot, whole, zoomIn: () => zoom(ZOOM), zoomOut: () => zoom(1 / ZOOM),
    };
  }

  const extent = (values) => values.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);

  return {scatter, drawMark, N_SHAPES: SHAPES.length};
})();
