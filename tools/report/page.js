"use strict";
// The page is whole without this: all layers' pages one below the other. This adds pan, zoom, search and choosing.
(() => {
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  root.classList.add("js");
  for (const shown of [$("theme"), $("tools"), document.querySelector(".search")]) shown.hidden = false;

  // -- light and dark
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const label = () => ($("theme").textContent = isDark() ? "Light" : "Dark");
  $("theme").onclick = () => { root.dataset.theme = isDark() ? "light" : "dark"; label(); };
  dark.onchange = label;
  label();

  // -- pan and zoom: the viewBox is the window onto the graph
  const view = $("view"), svg = view.querySelector("svg");
  const size = svg ? { w: svg.viewBox.baseVal.width, h: svg.viewBox.baseVal.height } : null;
  let x = 0, y = 0, scale = 1; // graph's point at the left upper corner; pixels a unit
  const show = () => svg && svg.setAttribute("viewBox", [x, y, view.clientWidth / scale, view.clientHeight / scale].join(" "));
  const zoom = (factor, px, py) => {
    const to = Math.min(4, Math.max(0.05, scale * factor));
    x += px / scale - px / to; y += py / scale - py / to; scale = to;
    show();
  };
  const middle = (factor) => zoom(factor, view.clientWidth / 2, view.clientHeight / 2);
  const fit = (whole) => {
    scale = Math.min(1, view.clientWidth / size.w, whole ? view.clientHeight / size.h : 1);
    if (!whole) scale = Math.max(scale, 0.55);
    x = (size.w - view.clientWidth / scale) / 2;
    y = whole ? (size.h - view.clientHeight / scale) / 2 : 0;
    show();
  };
  if (svg) {
    svg.removeAttribute("width"); svg.removeAttribute("height");
    svg.setAttribute("preserveAspectRatio", "xMinYMin meet");
    const touches = new Map();
    let moved = 0;
    view.onpointerdown = (e) => { touches.set(e.pointerId, e); moved = 0; };
    view.onpointermove = (e) => {
      const before = touches.get(e.pointerId);
      if (!before) return;
      const other = [...touches.values()].find((t) => t.pointerId !== e.pointerId);
      if (other) {
        const box = view.getBoundingClientRect(), apart = (t) => Math.hypot(t.clientX - other.clientX, t.clientY - other.clientY);
        zoom(apart(e) / (apart(before) || 1), (e.clientX + other.clientX) / 2 - box.left, (e.clientY + other.clientY) / 2 - box.top);
      }
      const part = other ? 2 : 1;
      x -= (e.clientX - before.clientX) / scale / part; y -= (e.clientY - before.clientY) / scale / part;
      moved += Math.abs(e.clientX - before.clientX) + Math.abs(e.clientY - before.clientY);
      if (moved > 4 && !view.hasPointerCapture(e.pointerId)) { view.setPointerCapture(e.pointerId); view.classList.add("drag"); }
      touches.set(e.pointerId, e);
      show();
    };
    view.onpointerup = view.onpointercancel = (e) => { touches.delete(e.pointerId); view.classList.remove("drag"); };
    view.addEventListener("click", (e) => {
      const node = e.target.closest(".node");
      if (node && moved < 5) choose(node.id, false);
    });
    view.addEventListener("wheel", (e) => {
      if (!e.ctrlKey && !e.metaKey && document.activeElement !== view) return; // the page scrolls, until one is inside
      e.preventDefault();
      const box = view.getBoundingClientRect();
      zoom(Math.exp(-e.deltaY * (e.ctrlKey ? 0.01 : 0.0016)), e.clientX - box.left, e.clientY - box.top);
    }, { passive: false });
    view.onkeydown = (e) => {
      const step = 60 / scale;
      const act = {
        ArrowLeft: () => (x -= step), ArrowRight: () => (x += step), ArrowUp: () => (y -= step), ArrowDown: () => (y += step),
        "+": () => middle(1.25), "=": () => middle(1.25), "-": () => middle(0.8), 0: () => fit(true),
        n: () => next(1), p: () => next(-1),
      }[e.key];
      if (!act || e.ctrlKey || e.metaKey || e.altKey) return;
      e.preventDefault(); act(); show();
    };
    $("tools").onclick = (e) => ({ in: () => middle(1.25), out: () => middle(0.8), fit: () => fit(true) })[e.target.dataset.do]?.();
    new ResizeObserver(show).observe(view);
    fit(false);
  }

  // -- one layer at a time
  const pages = [...document.querySelectorAll(".layer")];
  const keys = pages.map((page) => page.id.slice(6));
  let chosen = -1, started = false;
  const next = (by) => choose(keys[Math.min(keys.length - 1, Math.max(0, chosen + by))], true);
  function choose(key, move) {
    const at = keys.indexOf(key);
    if (at < 0) return;
    chosen = at;
    pages.forEach((page, i) => page.classList.toggle("on", i === at));
    for (const node of document.querySelectorAll(".node.on")) node.classList.remove("on");
    const node = $(key);
    if (node) {
      node.classList.add("on");
      if (move) {
        const [, nx, ny] = /translate\(([-\d.]+)[ ,]([-\d.]+)\)/.exec(node.getAttribute("transform"));
        const [, gx, gy] = /translate\(([-\d.]+)[ ,]([-\d.]+)\)/.exec(node.parentNode.getAttribute("transform"));
        const box = node.querySelector(".card");
        x = +nx + +gx + box.getAttribute("width") / 2 - view.clientWidth / scale / 2;
        y = +ny + +gy + box.getAttribute("height") / 2 - view.clientHeight / scale / 2;
        show();
      }
    }
    $("pages").scrollTop = 0;
    if (started) history.replaceState(null, "", "#layer-" + key); // before that, the browser would scroll there
  }
  $("pages").addEventListener("click", (e) => e.target.dataset.step && next(+e.target.dataset.step));
  document.addEventListener("click", (e) => {
    const link = e.target.closest('a[href^="#layer-"]');
    if (!link) return;
    e.preventDefault();
    choose(link.getAttribute("href").slice(7), true);
    if (!link.closest("#graph")) $("graph").scrollIntoView();
  });

  // -- search
  const field = $("search"), found = $("found");
  const items = pages.map((page, i) => ({ key: keys[i], text: page.dataset.words, name: page.dataset.name }));
  let at = 0;
  const mark = () => {
    [...found.children].forEach((li, i) => li.setAttribute("aria-selected", i === at));
    const li = found.children[at];
    li ? field.setAttribute("aria-activedescendant", li.id) : field.removeAttribute("aria-activedescendant");
    li?.scrollIntoView({ block: "nearest" });
  };
  const close = () => { found.hidden = true; field.setAttribute("aria-expanded", "false"); };
  const take = (i) => { const li = found.children[i]; if (li?.dataset.key) { choose(li.dataset.key, true); close(); } };
  field.oninput = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const hits = words.length ? items.filter((item) => words.every((w) => item.text.includes(w))).slice(0, 50) : [];
    found.replaceChildren(...hits.map((item, i) => {
      const li = document.createElement("li");
      li.id = "hit-" + i; li.role = "option"; li.dataset.key = item.key; li.textContent = item.name;
      return li;
    }));
    if (words.length && !hits.length) {
      const li = document.createElement("li");
      li.textContent = "No layer is called so.";
      found.append(li);
    }
    found.hidden = !words.length;
    field.setAttribute("aria-expanded", String(!found.hidden));
    at = 0; mark();
  };
  field.onkeydown = (e) => {
    const count = found.children.length;
    if (e.key === "ArrowDown" && count) at = (at + 1) % count;
    else if (e.key === "ArrowUp" && count) at = (at + count - 1) % count;
    else if (e.key === "Enter") take(at);
    else if (e.key === "Escape") close();
    else return;
    e.preventDefault(); mark();
  };
  found.onclick = (e) => take([...found.children].indexOf(e.target));
  document.addEventListener("click", (e) => e.target.closest(".search") || close());
  document.addEventListener("keydown", (e) => {
    if (e.key === "/" && !/INPUT|TEXTAREA/.test(document.activeElement.tagName)) { e.preventDefault(); field.focus(); }
  });

  // -- the table sorts by a column, and back
  for (const head of document.querySelectorAll("th[data-sort]")) {
    const button = document.createElement("button");
    button.type = "button"; button.textContent = head.textContent;
    head.replaceChildren(button);
    button.onclick = () => {
      const down = head.getAttribute("aria-sort") !== "descending", column = +head.dataset.sort;
      for (const other of document.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = $("layers").tBodies[0], value = (row) => +row.cells[column].dataset.v || 0;
      body.append(...[...body.rows].sort((a, b) => (down ? value(b) - value(a) : value(a) - value(b))));
    };
  }

  const asked = location.hash.startsWith("#layer-") ? location.hash.slice(7) : "";
  choose(keys.includes(asked) ? asked : keys[0], Boolean(asked));
  started = true;
})();
