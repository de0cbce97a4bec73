"use strict";
(() => {
  // Everything below finds its elements again after the page has been renewed: `start` may run many times.
  const zoomed = new Map();  // index of a run -> [first step, last step]

  function start() {
    const { frame, runs } = JSON.parse(document.getElementById("data").textContent);
    document.querySelectorAll(".frames").forEach(slide);
    document.querySelectorAll("table.board").forEach(sortable);
    document.querySelectorAll("article").forEach(article => plots(article, frame, runs[article.dataset.run]));
  }

  // Sliders over training

  function slide(frames) {
    const input = frames.querySelector("input");
    if (!input) return;
    const images = frames.querySelectorAll("img"), steps = input.dataset.steps.split("|");
    input.addEventListener("input", () => {
      images.forEach((image, i) => { image.hidden = i !== +input.value; });
      frames.querySelector("output").textContent = steps[input.value];
      input.setAttribute("aria-valuetext", steps[input.value]);
    });
  }

  // Tables that sort: numbers as numbers, and what has no value last, whichever way

  function sortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
      const first = head.firstElementChild.dataset.better === "lower" ? "ascending" : "descending";
      const other = first === "ascending" ? "descending" : "ascending";
      sort(table, column, head.getAttribute("aria-sort") === first ? other : first);
    }));
  }

  function sort(table, column, order) {
    [...table.tHead.rows[0].cells].forEach((head, i) =>
      i === column ? head.setAttribute("aria-sort", order) : head.removeAttribute("aria-sort"));
    const sign = order === "ascending" ? 1 : -1;
    const value = row => row.cells[column].dataset.value;
    const compare = (a, b) => {
      if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
      return sign * (column ? a - b : a.localeCompare(b));
    };
    const rows = [...table.tBodies[0].rows];
    table.tBodies[0].append(...rows.sort((a, b) => compare(value(a), value(b))));
  }

  // Plots: all of a run share their zoom

  const short = value => {
    const size = Math.abs(value);
    const [scale, letter] = size >= 1e9 ? [1e9, "G"] : size >= 1e6 ? [1e6, "M"] : size >= 1e4 ? [1e3, "k"] : [1, ""];
    return String(+(value / scale).toPrecision(4)) + letter;
  };

  function ticks(low, high, most = 5) {
    const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map(m => m * power).find(s => s >= rough * (1 - 1e-9));
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i <= Math.floor(high / step + 1e-9); i++) found.push(i * step);
    return found;
  }

  const spread = (low, high, margin) => {
    if (low !== high) return [low - margin * (high - low), high + margin * (high - low)];
    const half = Math.abs(low) / 2 || 1;
    return [low - half, high + half];
  };

  function nearest(xs, x) {
    let low = 0, high = xs.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (xs[middle] < x) low = middle; else high = middle;
    }
    return Math.abs(xs[low] - x) <= Math.abs(xs[high] - x) ? low : high;
  }

  const make = (name, attributes, text = "") => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.textContent = text;
    return element;
  };

  function plots(article, frame, panels) {
    const run = article.dataset.run, reset = article.querySelector(".reset");
    const all = [...article.querySelectorAll(".plot")].map((figure, i) => plot(figure, frame, panels[i], zoom));
    function zoom(range) {
      if (range) zoomed.set(run, range); else zoomed.delete(run);
      reset.hidden = !range;
      all.forEach(draw => draw(range));
    }
    if (!reset) return;
    reset.addEventListener("click", () => { zoom(null); article.querySelector(".plot svg").focus(); });
    if (zoomed.has(run)) zoom(zoomed.get(run));
  }

  function plot(figure, [left, right, top, bottom, width, height], lines, zoom) {
    const svg = figure.querySelector("svg"), area = svg.querySelector(".area");
    const polylines = area.querySelectorAll("polyline"), dots = area.querySelectorAll("circle");
    const cursor = area.querySelector(".cursor"), band = area.querySelector(".band");
    const values = figure.querySelectorAll(".readout b"), where = figure.querySelector(".where");
    const wide = width - left - right, tall = height - top - bottom;
    const steps = [...new Set(lines.flatMap(line => line.x))].sort((a, b) => a - b);
    const whole = spread(steps[0], steps[steps.length - 1], 0.02);
    let [x0, x1] = whole, y0, y1, pressed = null, at = null;
    const across = step => (step - x0) / (x1 - x0) * wide, down = value => (1 - (value - y0) / (y1 - y0)) * tall;
    const step = event => {
      const box = area.getBoundingClientRect();
      return x0 + Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * (x1 - x0);
    };

    function draw(range) {
      [x0, x1] = range || whole;
      // the points in sight and a neighbour on each side, so that lines run to the edges
      const seen = lines.map(({ x, y }) => {
        const first = Math.max(0, x.findIndex(s => s >= x0) - 1), after = x.findIndex(s => s > x1);
        const last = after < 0 ? x.length : after + 1;
        return x.slice(first, last).map((s, i) => [s, y[first + i]]);
      });
      const heights = seen.flat().filter(([s]) => s >= x0 && s <= x1).map(p => p[1]);
      let shown = heights.length ? heights : seen.flat().map(p => p[1]);
      if (!range) {  // a steep start may run off the plot where all else would look flat beside it
        const settled = steps[0] + 0.05 * (steps[steps.length - 1] - steps[0]);
        const later = seen.flat().filter(([s]) => s >= settled).map(p => p[1]);
        const extent = 4 * (Math.max(...later) - Math.min(...later));
        if (0 < extent && extent < Math.max(...shown) - Math.min(...shown)) shown = later;
      }
      [y0, y1] = spread(Math.min(...shown), Math.max(...shown), 0.05);
      seen.forEach((points, i) => polylines[i].setAttribute(
        "points", points.map(([s, v]) => `${+across(s).toFixed(1)},${+down(v).toFixed(1)}`).join(" ")));
      const group = svg.querySelector(".ticks");
      group.replaceChildren(
        ...ticks(y0, y1).flatMap(v => {
          const y = top + down(v);
          return [make("line", { x1: left, x2: width - right, y1: y, y2: y }),
            make("text", { x: left - 6, y: y + 3.5, "text-anchor": "end" }, short(v))];
        }),
        ...ticks(x0, x1).map(s => make("text", { x: left + across(s), y: height - 7, "text-anchor": "middle" }, short(s))));
      read(null);
    }

    function read(place) {
      at = place;
      cursor.setAttribute("visibility", place === null ? "hidden" : "visible");
      if (place !== null) ["x1", "x2"].forEach(name => cursor.setAttribute(name, across(place)));
      where.textContent = place === null ? "" : `step ${place.toLocaleString("en")}`;
      lines.forEach(({ x, y }, i) => {
        const found = place === null ? x.length - 1 : nearest(x, place);
        values[i].textContent = +y[found].toPrecision(5);
        dots[i].setAttribute("visibility", place === null && x.length > 1 ? "hidden" : "visible");
        dots[i].setAttribute("cx", across(x[found]));
        dots[i].setAttribute("cy", down(y[found]));
      });
    }

    const about = (middle, factor) => {  // a zoom by keys or wheel; no narrower than a thousandth, and out to the whole
      const span = Math.max((x1 - x0) * factor, (whole[1] - whole[0]) / 1000);
      if (span >= whole[1] - whole[0]) return zoom(null);
      const first = Math.min(Math.max(whole[0], middle - span * (middle - x0) / (x1 - x0)), whole[1] - span);
      zoom([first, first + span]);
    };

    svg.addEventListener("pointermove", event => {
      if (pressed === null) return read(steps[nearest(steps, step(event))]);
      const [a, b] = [pressed, step(event)].sort((p, q) => p - q);
      band.setAttribute("x", across(a));
      band.setAttribute("width", across(b) - across(a));
    });
    svg.addEventListener("pointerdown", event => {
      if (event.button !== 0) return;
      pressed = step(event);
      svg.setPointerCapture(event.pointerId);
      read(steps[nearest(steps, pressed)]);
    });
    svg.addEventListener("pointerup", event => {
      if (pressed === null) return;
      const [a, b] = [pressed, step(event)].sort((p, q) => p - q);
      pressed = null;
      band.setAttribute("width", 0);
      if (across(b) - across(a) > 6) zoom([a, b]);
    });
    svg.addEventListener("pointercancel", () => { pressed = null; band.setAttribute("width", 0); });
    svg.addEventListener("pointerleave", () => { if (pressed === null) read(null); });
    svg.addEventListener("dblclick", () => zoom(null));
    svg.addEventListener("wheel", event => {
      if (!event.ctrlKey && document.activeElement !== svg) return;  // the wheel scrolls the page until a plot is chosen
      event.preventDefault();
      about(step(event), event.deltaY < 0 ? 0.8 : 1.25);
    }, { passive: false });
    svg.addEventListener("keydown", event => {
      const inside = steps.filter(s => s >= x0 && s <= x1);
      const index = at === null ? -1 : inside.indexOf(at);
      const move = { ArrowRight: index + 1, ArrowLeft: at === null ? inside.length - 1 : index - 1,
        Home: 0, End: inside.length - 1 }[event.key];
      const middle = at ?? (x0 + x1) / 2;
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (move !== undefined && inside.length) read(inside[Math.min(inside.length - 1, Math.max(0, move))]);
      else if (event.key === "+" || event.key === "=") about(middle, 0.5);
      else if (event.key === "-") about(middle, 2);
      else if (event.key === "Escape" || event.key === "0") zoom(null);
      else return;
      event.preventDefault();
    });
    svg.addEventListener("blur", () => read(null));
    return draw;
  }

  // `genjax-zoo watch`: asks whether there is anything new, and then takes over what changed

  function watch() {
    let version = document.documentElement.dataset.watched;
    const tell = text => { const live = document.getElementById("live"); if (live) live.textContent = text; };
    setInterval(async () => {
      try {
        const now = await (await fetch("/version", { cache: "no-store" })).text();
        tell("live");
        const playing = [...document.querySelectorAll("audio")].some(audio => !audio.paused);
        if (now !== version && !playing) {
          renew(await (await fetch("/", { cache: "no-store" })).text());
          version = now;
        }
      } catch { tell("the server is gone"); }
    }, 2000);
  }

  function renew(html) {
    const old = document.getElementById("page");
    const sliders = [...old.querySelectorAll(".frames")].filter(f => f.querySelector("input")).map(f => {
      const input = f.querySelector("input");
      return [f.id, input.value === input.max ? null : input.dataset.steps.split("|")[input.value]];
    });
    const open = [...old.querySelectorAll("details[open]")].map(details => details.id);
    const focused = document.activeElement.closest("[data-panel]")?.dataset.panel;
    const scroll = [scrollX, scrollY];
    old.replaceWith(new DOMParser().parseFromString(html, "text/html").getElementById("page"));
    start();
    for (const [id, step] of sliders) {
      const input = document.getElementById(id)?.querySelector("input");
      const index = input ? input.dataset.steps.split("|").indexOf(step) : -1;
      if (index < 0) continue;
      input.value = index;
      input.dispatchEvent(new Event("input"));
    }
    open.forEach(id => { const details = document.getElementById(id); if (details) details.open = true; });
    if (focused !== undefined) document.querySelector(`[data-panel="${focused}"]`)?.focus({ preventScroll: true });
    scrollTo({ left: scroll[0], top: scroll[1], behavior: "instant" });
  }

  start();
  if (document.documentElement.dataset.watched) watch();
})();
