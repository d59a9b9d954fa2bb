// Prompts beside what came back of each target. The server cuts it into pages; those far from the screen are
// taken off the page and asked for again, so that scrolling costs the same at any depth.
import { alarm, badge, el, get, inputPicture, link, pictures, query, words } from "./dom.js";

const PAGE = 40;
const NEAR = "1800px"; // above and below the screen

export function matrix(stage, said) {
  const run = said.facts.name;
  const targets = said.facets.targets;
  const isRun = said.facts.kind === "run";
  const heads = el("div", { class: "row heads", role: "row" },
    el("div", { class: "cell", role: "columnheader" }, "prompt"),
    targets.map((target) => el("div", { class: "cell", role: "columnheader", dir: "auto", title: target }, target)));
  const rows = el("div", { class: "rows" });
  const top = el("div", { class: "edge" });
  const bottom = el("div", { class: "edge" });
  const element = el("div", { class: "matrix", role: "table", tabindex: "-1", "aria-label": "Prompts and what came back" }, heads, top, rows, bottom);
  element.style.setProperty("--targets", Math.max(1, targets.length));
  let filters = {};
  let blocks = [];
  let active = ""; // the id of a prompt
  let turn = 0;
  let loading = { up: false, down: false };
  let ends = { up: true, down: true };

  // ---- pages

  const near = new IntersectionObserver((seen) => {
    for (const one of seen) {
      const block = blocks.find((known) => known.element === one.target);
      if (!block) continue;
      if (one.isIntersecting) fill(block);
      else empty(block, one.boundingClientRect.height);
    }
  }, { root: element, rootMargin: NEAR });
  const edges = new IntersectionObserver((seen) => {
    for (const one of seen) if (one.isIntersecting) more(one.target === top ? "up" : "down");
  }, { root: element, rootMargin: NEAR });

  function empty(block, height) {
    if (!block.filled || !height) return;
    block.element.style.height = `${height}px`;
    block.element.replaceChildren();
    block.filled = false;
  }

  async function fill(block) {
    if (block.filled || block.busy) return;
    block.busy = true;
    const mine = turn;
    try {
      const found = await ask({ from: block.first, limit: block.count });
      if (mine !== turn) return;
      draw(block, found);
    } catch (error) {
      failed(error);
    } finally {
      block.busy = false;
    }
  }

  function draw(block, found) {
    block.element.replaceChildren(...found.map(row));
    block.element.style.height = "";
    block.filled = true;
    mark();
  }

  async function ask(place) {
    const got = await get("rows", { run, ...filters, ...place });
    if (got.indexing) throw new Error("The run has changed and is indexed anew. Reload in a moment.");
    return got.rows;
  }

  function failed(error) {
    if (error.name !== "AbortError" && stage.isShown()) alarm(error.message);
  }

  function added(found, up) {
    const block = { element: el("div", { class: "block", role: "rowgroup" }), first: found[0].cursor, last: found.at(-1).cursor, count: found.length, filled: false, busy: false };
    if (up) { blocks.unshift(block); rows.prepend(block.element); } else { blocks.push(block); rows.append(block.element); }
    draw(block, found);
    near.observe(block.element);
    return block;
  }

  async function more(way) {
    if (loading[way] || ends[way] || !blocks.length) return;
    loading[way] = true;
    const mine = turn;
    try {
      const found = await ask(way === "down" ? { after: blocks.at(-1).last, limit: PAGE } : { before: blocks[0].first, limit: PAGE });
      if (mine !== turn) return;
      if (found.length < PAGE) ends[way] = true;
      if (found.length) {
        const before = element.scrollHeight;
        added(found, way === "up");
        // What is read stays where it is.
        if (way === "up") element.scrollTop += element.scrollHeight - before;
      }
      said_of_end();
    } catch (error) {
      failed(error);
    } finally {
      if (mine === turn) loading[way] = false;
    }
    if (mine === turn && stage.isShown()) again(way === "up" ? top : bottom);
  }

  /** An edge that is still near after a page was added has not moved, so it is looked at anew. */
  function again(edge) {
    edges.unobserve(edge);
    edges.observe(edge);
  }

  function said_of_end() {
    bottom.textContent = ends.down ? (blocks.length ? "the end" : said.facets.prompts ? "No prompt fits these filters." : "This run has no prompts.") : "";
  }

  /** Loads the prompts that the filters let through. `from`: a cursor to begin at; `at`: the prompt to mark. */
  async function load(chosen, { from, at, last } = {}) {
    turn += 1;
    const mine = turn;
    filters = chosen;
    try {
      const found = await ask(last ? { before: "end", limit: PAGE } : { from, limit: PAGE });
      if (mine !== turn || !stage.isShown()) return;
      near.disconnect();
      edges.disconnect();
      blocks = [];
      rows.replaceChildren();
      loading = { up: false, down: false };
      ends = { up: !from && !last, down: Boolean(last) || found.length < PAGE };
      if (found.length) added(found, false);
      said_of_end();
      element.scrollTop = last ? element.scrollHeight : 0;
      active = at && found.some((one) => one.id === at) ? at : (last ? found.at(-1) : found[0])?.id || "";
      mark();
      edges.observe(top);
      edges.observe(bottom);
      // Not while somebody types a search.
      if (!document.activeElement?.closest("input, select")) element.focus({ preventScroll: true });
    } catch (error) {
      failed(error);
    }
  }

  // ---- a row

  function row(one) {
    const cells = targets.map((_, index) => one.cells.filter((cell) => cell.target === index + 1));
    const address = { run, id: one.id, ...filters };
    const made = el("div", { class: "row", role: "row", "data-id": one.id, "data-cursor": one.cursor },
      el("div", { class: "cell prompt", role: "rowheader" },
        el("p", { class: "meta" }, el("span", { class: `label ${one.label}` }, one.label),
          el("span", { class: "quiet" }, said.categories[one.category] || one.category),
          one.variant && el("span", { class: "quiet" }, "version"),
          one.turns > 0 && el("span", { class: "quiet" }, one.turns === 1 ? "after 1 earlier turn" : `after ${one.turns} earlier turns`)),
        one.picture > 0 && inputPicture(run, one, "small"),
        link("/prompt", address, { class: "text", dir: "auto" }, one.text || "(empty)")),
      cells.map((found, index) => el("div", { class: "cell", role: "cell" },
        targets.length > 0 && isRun && el("p", { class: "of", dir: "auto" }, targets[index]),
        found.length ? found.map((cell) => answer(one.label, cell, found.length > 1)) : el("p", { class: "quiet" }, "not asked"))));
    made.addEventListener("click", (event) => {
      if (event.target.closest("a, button, img") || String(getSelection())) return;
      active = one.id;
      mark();
    });
    made.addEventListener("dblclick", (event) => { if (!event.target.closest("a, button")) open(one.id); });
    return made;
  }

  function answer(label, cell, several) {
    return el("div", { class: "answer" },
      several && el("span", { class: "sample quiet" }, `sample ${cell.sample}`),
      badge(label, cell, said.words),
      cell.pictures > 0 && pictures(run, cell, "small"),
      cell.text && words("p", "text excerpt", cell.text),
      cell.revised && words("p", "text excerpt revised", `drawn instead: ${cell.revised}`),
      !cell.text && cell.evidence && words("p", "text excerpt quiet", cell.evidence));
  }

  // ---- the marked row

  const find = (id) => rows.querySelector(`.row[data-id="${CSS.escape(id)}"]`);

  function mark() {
    for (const old of rows.querySelectorAll(".row.active")) old.classList.remove("active");
    find(active)?.classList.add("active");
  }

  function move(by) {
    const all = [...rows.querySelectorAll(".row")];
    let index = all.indexOf(find(active));
    if (index < 0) index = all.findIndex((one) => one.offsetTop + one.offsetHeight > element.scrollTop + heads.offsetHeight) - Math.sign(by);
    const to = all[Math.max(0, Math.min(all.length - 1, index + by))];
    if (!to) return;
    active = to.dataset.id;
    mark();
    const above = to.offsetTop - element.scrollTop - heads.offsetHeight;
    const below = to.offsetTop + to.offsetHeight - element.scrollTop - element.clientHeight;
    if (above < 0) element.scrollTop += above - 8;
    else if (below > 0) element.scrollTop += Math.min(below + 8, above - 8);
  }

  /** Opens a prompt; the address that one comes back to begins there. */
  function open(id) {
    const found = find(id);
    if (!found) return;
    stage.note(`/run?${query({ run, ...filters, from: firstSeen()?.dataset.cursor, at: id })}`);
    stage.go(`/prompt?${query({ run, id, ...filters })}`);
  }

  element.addEventListener("click", (event) => {
    const to = event.target.closest("a.text");
    if (!to || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    event.stopPropagation();
    open(to.closest(".row").dataset.id);
  });

  // ---- the address says where one is

  function firstSeen() {
    const edge = element.scrollTop + heads.offsetHeight + 4;
    return [...rows.querySelectorAll(".row")].find((one) => one.offsetTop + one.offsetHeight > edge);
  }

  let resting = 0;
  element.addEventListener("scroll", () => {
    clearTimeout(resting);
    resting = setTimeout(() => {
      if (!stage.isShown()) return;
      const cursor = element.scrollTop < 4 && ends.up ? "" : firstSeen()?.dataset.cursor;
      stage.note(`/run?${query({ run, ...filters, from: cursor })}`);
    }, 250);
  }, { passive: true });

  return {
    element,
    load,
    leave: () => { turn += 1; near.disconnect(); edges.disconnect(); clearTimeout(resting); },
    keys: {
      j: ["next prompt", () => move(1)], ArrowDown: ["next prompt", () => move(1)],
      k: ["previous prompt", () => move(-1)], ArrowUp: ["previous prompt", () => move(-1)],
      ArrowRight: ["targets to the right", () => element.scrollBy({ left: 260 })],
      ArrowLeft: ["targets to the left", () => element.scrollBy({ left: -260 })],
      Enter: ["open the prompt", () => open(active)],
      g: ["the first prompt", () => load(filters)],
      G: ["the last prompt", () => load(filters, { last: true })],
    },
  };
}

