// The plant explorer: filter and sort the explained images, and show one with its map and those most alike by map.
(() => {
  "use strict";
  const at = (id) => document.getElementById(`explorer-${id}`);
  const {common, methods} = JSON.parse(at("data").textContent);
  const sheets = [...document.querySelectorAll("script.explorer-sheet")];
  const n = common.plant.length, list = at("list"), end = at("end");
  const N_ALIKE = 6;  // images with the most alike maps that are shown beside one
  const CHUNK = 120;  // pictures added to the list at a time, while it is scrolled
  const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8A7A00", "#7D6BB3"];
  const TRUTHS = ["right", "wrong", "unknown"];
  const TRUTH_LOOKS = [{colour: "#56B4E9", shape: 0}, {colour: "#D55E00", shape: 2}, {colour: "#8C948F", shape: 1}];
  const FILTERS = ["date", "cluster", "decision", "truth", "new", "most", "plot", "text"];
  const words = (name) => name.replaceAll("_", " ");
  const truth = [...common.label.keys()].map((i) => (common.label[i] < 0 ? 2 : Number(common.label[i] !== common.predicted[i])));
  let method = null, chosen = -1, order = [], nDrawn = 0, current = -1;

  const value = (id) => at(id)?.value ?? "";
  const dateOf = (i) => common.dates[common.date[i]][0];
  const plantOf = (i) => common.plants[common.plant[i]];
  const isNovel = (i) => method.novelty[i] < common.least_novelty;
  const mostNovelty = () => (Number(value("most")) / 100) ** 2;  // squared, because small values matter most
  const groups = () => (value("colour") === "truth" ? truth : method.kinds);
  const looks = () => (value("colour") === "truth" ? TRUTH_LOOKS : method.groups.map(clusterLook));
  const clusterLook = (_, k) => ({colour: COLOURS[k % COLOURS.length], shape: (k + Math.floor(k / COLOURS.length)) % harvestScatter.N_SHAPES});

  // Give an element the picture of an image. A sheet enters the page's styles when it is first needed.
  const style = document.head.appendChild(document.createElement("style")), known = new Set();
  function showTile(element, i) {
    const sheet = common.sheet[i], place = common.spot[i], lines = common.lines[sheet];
    if (!known.has(sheet)) {
      known.add(sheet);
      style.sheet.insertRule(`.explorer-sheet-${sheet}{background-image:url("data:image/webp;base64,${sheets[sheet].textContent}")}`);
    }
    const [column, line] = [place % common.across, Math.floor(place / common.across)];
    element.className = `explorer-tile explorer-sheet-${sheet}`;
    element.style.backgroundPosition = `${100 * column / (common.across - 1)}% ${lines > 1 ? 100 * line / (lines - 1) : 0}%`;
  }

  const make = (tag, text = "", className = "") => Object.assign(document.createElement(tag), {textContent: text, className});
  const nameOf = (i) => [
    plantOf(i), dateOf(i), words(common.decisions[method.decision[i]]), `cluster ${method.cluster[i]}`,
    truth[i] === 2 ? "truth unknown" : `classifier ${TRUTHS[truth[i]]}`,
  ].join(", ");

  // Make the button of an image; `caption` is text below it.
  function picture(i, caption = "") {
    const item = make("li"), button = item.appendChild(make("button"));
    Object.assign(button, {type: "button", title: nameOf(i)});
    button.setAttribute("aria-label", nameOf(i));
    showTile(button.appendChild(make("span")), i);
    if (truth[i] === 1) button.append(make("span", "✗", "explorer-wrong"));
    button.style.setProperty("--mark", looks()[groups()[i]].colour);
    if (caption) button.append(make("small", caption));
    button.addEventListener("click", () => {
      choose(i);
      if (getComputedStyle(at("card")).position === "static") at("card").scrollIntoView();  // on a narrow screen
    });
    return item;
  }

  function addPictures(wanted) {
    const part = document.createDocumentFragment();
    for (const stop = Math.min(order.length, Math.max(wanted, nDrawn + CHUNK)); nDrawn < stop; nDrawn++) {
      const item = part.appendChild(picture(order[nDrawn])), button = item.firstChild;
      button.tabIndex = nDrawn === 0 ? 0 : -1;  // one stop of the Tab key for the whole list
      button.setAttribute("aria-pressed", String(order[nDrawn] === chosen));
    }
    list.append(part);
    scrolling.unobserve(end);  // observed anew, it tells again whether the end is in sight
    if (nDrawn < order.length) scrolling.observe(end);
  }
  const scrolling = new IntersectionObserver((entries) => {
    if (entries.some((one) => one.isIntersecting)) addPictures(0);
  }, {root: end.parentElement, rootMargin: "600px"});

  function wanted() {
    const [date, cluster, decision, kind, plot] = ["date", "cluster", "decision", "truth", "plot"].map(value);
    const text = value("text").trim().toLowerCase(), most = mostNovelty(), novel = value("new");
    return (i) => (!date || dateOf(i) === date) && (!cluster || method.cluster[i] === Number(cluster))
      && (!decision || method.decision[i] === Number(decision)) && (!kind || TRUTHS[truth[i]] === kind)
      && (!plot || common.plot[i] === Number(plot)) && (!novel || isNovel(i) === (novel === "novel"))
      && method.novelty[i] <= most && plantOf(i).toLowerCase().includes(text);
  }

  const ORDERS = {
    novelty: (a, b) => method.novelty[a] - method.novelty[b] || a - b,
    reliability: (a, b) => method.reliability[a] - method.reliability[b] || a - b,
    cluster: (a, b) => method.cluster[a] - method.cluster[b] || a - b,
    plant: (a, b) => common.plant[a] - common.plant[b] || common.date[a] - common.date[b],
  };

  // Show what the filters let through, in the chosen order, in list and scatter.
  function show() {
    at("most-text").textContent = String(Number(mostNovelty().toPrecision(2)));
    at("most").setAttribute("aria-valuetext", at("most-text").textContent);
    order = [...common.plant.keys()].filter(wanted()).sort(ORDERS[value("sort")]);
    const shown = new Uint8Array(n);
    for (const i of order) shown[i] = 1;
    plot.colour(groups(), looks());
    plot.filter(shown);
    at("count").textContent = `${order.length.toLocaleString("en")} of ${n.toLocaleString("en")} images shown.`;
    list.replaceChildren();
    [nDrawn, current] = [0, 0];
    addPictures(0);
    showLegend();
  }

  function showLegend() {
    const byTruth = value("colour") === "truth", kinds = groups(), tally = looks().map(() => 0);
    for (const i of order) tally[kinds[i]]++;
    const filter = at(byTruth ? "truth" : "cluster");
    at("legend").replaceChildren(...looks().map((look, k) => {
      const item = make("li"), button = item.appendChild(make("button")), key = String(byTruth ? TRUTHS[k] : method.groups[k]);
      const mark = Object.assign(make("canvas"), {width: 28, height: 28});
      harvestScatter.drawMark(mark, look);
      button.type = "button";
      button.append(mark, byTruth ? `${key} ${tally[k]}` : `cluster ${key}: ${tally[k]}`);
      button.setAttribute("aria-pressed", String(filter.value === key));
      button.addEventListener("click", () => { filter.value = filter.value === key ? "" : key; show(); });
      return item;
    }));
  }

  // Return the images of other plants whose maps are nearest on the axes, the nearest first; equally near ones in order.
  // Maps of the plant itself are left out, because a plant on another day is like itself.
  function mostAlike(i) {
    const {points, n_axes} = method, found = [];
    for (let j = 0; j < n; j++) {
      if (common.plant[j] === common.plant[i]) continue;
      let distance = 0;
      for (let k = 0; k < n_axes; k++) distance += (points[i * n_axes + k] - points[j * n_axes + k]) ** 2;
      if (found.length === N_ALIKE && distance >= found[N_ALIKE - 1].distance) continue;
      const place = found.findIndex((one) => one.distance > distance);
      found.splice(place < 0 ? found.length : place, 0, {j, distance});
      found.length = Math.min(found.length, N_ALIKE);
    }
    return found.map((one) => one.j);
  }

  function choose(i, isAsked = true) {
    chosen = i;
    const alike = i < 0 ? [] : mostAlike(i);
    plot.choose(i, alike);
    for (const one of list.querySelectorAll("[aria-pressed=true]")) one.setAttribute("aria-pressed", "false");
    reveal(order.indexOf(i), false);
    harvestCard.show({common, method, i, alike, truth, picture, showTile, words, isNovel: i >= 0 && isNovel(i)});
    if (isAsked) history.replaceState(null, "", `#plant=${encodeURIComponent(plantOf(i))}@${dateOf(i)}&method=${method.method}`);
  }

  // Bring a picture of the list into sight within its box; the page itself stays where it is.
  function reveal(place, hasFocus) {
    if (place < 0) return;
    if (place >= nDrawn) addPictures(place + CHUNK);
    const button = list.children[place].firstChild, box = end.parentElement;
    const [inside, own] = [box.getBoundingClientRect(), button.getBoundingClientRect()];
    if (own.top < inside.top) box.scrollTop += own.top - inside.top - 8;
    if (own.bottom > inside.bottom) box.scrollTop += own.bottom - inside.bottom + 8;
    if (order[place] === chosen) button.setAttribute("aria-pressed", "true");
    list.children[current]?.firstChild.setAttribute("tabindex", "-1");
    current = place;
    button.tabIndex = 0;
    if (hasFocus) button.focus({preventScroll: true});
  }

  function useMethod(name) {
    method = methods.find((one) => one.method === name) ?? methods[0];
    method.groups = method.clusters.map(([cluster]) => cluster);
    method.kinds = method.cluster.map((one) => method.groups.indexOf(one));
    at("method").value = method.method;
    const before = value("cluster"), options = method.clusters.map(([cluster, size, wrong]) => (
      Object.assign(make("option", `${cluster} (${wrong} of ${size} wrong)`), {value: cluster})
    ));
    at("cluster").replaceChildren(Object.assign(make("option", "all"), {value: ""}), ...options);
    at("cluster").value = method.groups.includes(Number(before)) ? before : "";
    method.points ??= new Int16Array(harvestCard.bytesOf(method.coordinates).buffer);
    const axis = (k) => [...common.plant.keys()].map((i) => (k < method.n_axes ? method.points[i * method.n_axes + k] : 0));
    plot.place(axis(0), axis(1));
  }

  function clearFilters() {
    for (const id of FILTERS) if (at(id)) at(id).value = id === "most" ? "100" : "";
  }

  // Follow an address such as #plant=B12@2021-09-03 or #cluster=3&method=lime; other anchors are left alone.
  function follow() {
    const asked = new URLSearchParams(location.hash.slice(1).replaceAll("+", "%2B"));
    if (!asked.has("plant") && !asked.has("cluster")) return;
    const isKnown = !asked.has("method") || methods.some((one) => one.method === asked.get("method"));
    clearFilters();
    useMethod(asked.get("method"));
    const [, plant, date] = (asked.get("plant") ?? "").match(/^(.*)@(.*)$/s) ?? [];
    const found = [...common.plant.keys()].find((i) => plantOf(i) === plant && dateOf(i) === date) ?? -1;
    if (asked.has("cluster") && isKnown) at("cluster").value = asked.get("cluster");
    show();
    if (!isKnown) at("count").textContent += ` Maps of ${asked.get("method")} are not on this page.`;
    if (asked.has("plant") && found < 0) at("count").textContent += ` ${asked.get("plant")} is not among them.`;
    if (found >= 0 || asked.has("plant")) choose(found, false);
    (found >= 0 ? at("card") : at("count")).scrollIntoView();
  }

  const plot = harvestScatter.scatter(at("scatter"), choose);
  useMethod(methods[0].method);
  show();
  follow();
  for (const id of [...FILTERS, "sort", "colour"]) at(id)?.addEventListener("input", show);
  at("method").addEventListener("input", () => { useMethod(value("method")); show(); choose(chosen, chosen >= 0); });
  at("all").addEventListener("click", () => { clearFilters(); show(); });
  at("back").addEventListener("click", () => at("pictures").scrollIntoView());
  at("in").addEventListener("click", plot.zoomIn);
  at("out").addEventListener("click", plot.zoomOut);
  at("whole").addEventListener("click", plot.whole);
  list.addEventListener("keydown", (event) => {
    const second = [...list.children].findIndex((one) => one.offsetTop > list.firstChild.offsetTop);
    const wide = second < 0 ? order.length : second;  // pictures in a line
    const steps = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -wide, ArrowDown: wide, Home: -current, End: order.length};
    if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    reveal(Math.max(0, Math.min(order.length - 1, current + steps[event.key])), true);
  });
  addEventListener("hashchange", follow);
  at("body").dataset.drawn = "yes";
})();
