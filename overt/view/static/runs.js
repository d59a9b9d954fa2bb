// The list of runs, sortable and filterable, with the progress of those at work.
import { alarm, dated, el, get, link, meter, number, query, wait } from "./dom.js";

const EVERY_MS = 2000;
const MOST = 8; // targets of a run in the list; its own page has them all
const SORTS = {
  created: ["newest first", (a, b) => (b.created || 0) - (a.created || 0)],
  name: ["name", (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true })],
  over_refusal: ["over-refusal", (a, b) => highest(b, "over_refusal") - highest(a, "over_refusal")],
  unsafe_refusal: ["unsafe refusal", (a, b) => highest(b, "unsafe_refusal") - highest(a, "unsafe_refusal")],
  cost: ["cost", (a, b) => (b.cost ?? -1) - (a.cost ?? -1)],
  prompts: ["prompts", (a, b) => (b.prompts ?? -1) - (a.prompts ?? -1)],
};
const STATES = { complete: "complete", running: "running", stopped: "not complete", damaged: "damaged" };

const highest = (facts, name) => Math.max(-1, ...facts.targets.map((target) => target.rates?.[name]?.rate ?? -1));

export function stateOf(facts) {
  if (facts.faults.length) return "damaged";
  return facts.complete ? "complete" : facts.live?.state || "stopped";
}

/** The rates of the targets, one line each. */
export function rates(facts, titles, most = Infinity) {
  const shown = Object.keys(titles).filter((name) => facts.targets.some((target) => target.rates?.[name]));
  if (!shown.length) return null;
  const few = facts.targets.some((target) => target.answered < target.asked);
  return el("div", { class: "wide" }, el("table", { class: "rates" },
    el("thead", {}, el("tr", {},
      el("th", { scope: "col" }, "target"),
      shown.map((name) => el("th", { scope: "col", title: titles[name].meaning }, titles[name].title)),
      few && el("th", { scope: "col" }, "answered"))),
    el("tbody", {}, facts.targets.slice(0, most).map((target) => el("tr", {},
      el("th", { scope: "row", dir: "auto" }, target.name),
      shown.map((name) => rate(target.rates?.[name], titles[name].title)),
      few && el("td", { "data-title": "answered" }, `${number(target.answered)} of ${number(target.asked)}`))))));
}

function rate(found, title) {
  if (!found) return el("td", { class: "quiet", "data-title": title }, "–");
  return el("td", { "data-title": title },
    el("span", { class: "figure" }, el("strong", {}, found.said), el("small", {}, `[${found.interval}]`), el("small", {}, found.of)));
}

/** How far a run is that is not complete. */
export function progress(facts, most = Infinity) {
  const live = facts.live;
  if (!live) return null;
  const rows = (live.targets || []).slice(0, most).map((target) => el("div", { class: "progress" },
    el("span", { dir: "auto" }, target.name),
    meter(target.total ? target.done / target.total : 0, target.name),
    el("span", { class: "figures" }, target.total ? `${number(target.done)} of ${number(target.total)} asked` : "not begun")));
  const counted = Object.entries(live.stages || {}).map(([name, count]) => `${name} ${number(count)}`);
  const calls = Object.entries(live.calls).map(([name, count]) => `${name} ${number(count)}`);
  return el("div", { class: "live" }, rows,
    counted.length > 0 && el("p", { class: "quiet" }, `records: ${counted.join(", ")}`),
    !rows.length && calls.length > 0 && el("p", { class: "quiet" }, `calls: ${calls.join(", ")}`));
}

function entry(facts, titles, chosen, choose) {
  const state = stateOf(facts);
  const sides = facts.sides && `${number(facts.sides.benign)} benign, ${number(facts.sides.unsafe)} unsafe`;
  const about = [
    facts.policy && `policy ${facts.policy}`, sides,
    facts.missing > 0 && `${number(facts.missing)} fewer than asked for`,
    facts.cost > 0 && facts.cost_said, facts.retriable > 0 && `${number(facts.retriable)} unanswered`,
    dated(facts.created),
  ].filter(Boolean);
  const box = facts.kind === "run" && facts.complete && !facts.faults.length && el("label", { class: "choose" },
    el("input", { type: "checkbox", checked: chosen.has(facts.name), onchange: (event) => choose(facts.name, event.target.checked) }),
    " compare");
  return el("article", { class: "run", "data-name": facts.name, tabindex: "-1" },
    el("h2", {}, link("/run", { run: facts.name }, { dir: "auto" }, facts.name),
      facts.kind && el("span", { class: "kind" }, facts.kind),
      state !== "complete" && el("span", { class: `kind ${state}` }, STATES[state]), box),
    el("p", { class: "quiet" }, about.join(" · ")),
    facts.faults.map((fault) => el("p", { class: "fault" }, fault)),
    progress(facts, MOST),
    rates(facts, titles, MOST),
    facts.targets.length > MOST && el("p", { class: "quiet" }, link("/run", { run: facts.name, tab: "about" }, {}, `and ${number(facts.targets.length - MOST)} more targets`)),
    !facts.complete && !facts.faults.length && !facts.live?.targets?.length && facts.kind === "run" && el("p", { class: "quiet" }, "no rates yet"));
}

export async function list(stage) {
  const state = { q: "", kind: "", state: "", sort: "created", ...stage.parameters };
  const chosen = new Set();
  let said = null;
  let active = 0;
  stage.trail();
  const search = el("input", { type: "search", placeholder: "name, policy, target", "aria-label": "Filter runs", value: state.q, oninput: changed });
  const select = (name, options, label) => el("select", { "aria-label": label, "data-name": name, onchange: changed },
    options.map(([value, text]) => el("option", { value, selected: state[name] === value }, text)));
  const bar = el("form", { class: "bar", onsubmit: (event) => event.preventDefault() },
    search,
    select("kind", [["", "every kind"], ["run", "run"], ["generate", "generate"]], "Kind"),
    select("state", [["", "every state"], ...Object.entries(STATES)], "State"),
    select("sort", Object.entries(SORTS).map(([value, [text]]) => [value, `sort: ${text}`]), "Sort by"));
  const compare = el("button", { type: "button", class: "primary", hidden: true, onclick: compareChosen }, "Compare");
  const place = el("p", { class: "quiet" });
  const found = el("div", { class: "runs" });
  stage.main.append(el("div", { class: "page" }, bar, el("div", { class: "under" }, place, compare), found));

  function changed() {
    state.q = search.value;
    for (const one of bar.querySelectorAll("select")) state[one.dataset.name] = one.value;
    const kept = { ...state, sort: state.sort === "created" ? "" : state.sort };
    stage.note(query(kept) ? `/?${query(kept)}` : "/");
    active = 0;
    draw();
  }

  function choose(name, is) {
    if (is) chosen.add(name);
    else chosen.delete(name);
    compare.hidden = chosen.size !== 2;
    compare.textContent = chosen.size === 2 ? `Compare ${byAge().join(" → ")}` : "Compare";
  }

  /** The two chosen runs, the older first. */
  function byAge() {
    const runs = said.runs.filter((facts) => chosen.has(facts.name));
    return runs.sort((a, b) => (a.created || 0) - (b.created || 0)).map((facts) => facts.name);
  }

  function compareChosen() {
    if (chosen.size !== 2) return;
    const [other, run] = byAge();
    stage.go(`/run?${query({ run, tab: "comparison", other })}`);
  }

  function shown() {
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    return said.runs
      .filter((facts) => !state.kind || facts.kind === state.kind)
      .filter((facts) => !state.state || stateOf(facts) === state.state)
      .filter((facts) => {
        const text = [facts.name, facts.policy, ...facts.targets.map((target) => target.name)].join(" ").toLowerCase();
        return words.every((word) => text.includes(word));
      })
      .sort((SORTS[state.sort] || SORTS.created)[1]);
  }

  let drawn = "";
  function draw() {
    const runs = shown();
    const now = JSON.stringify([runs, [...chosen]]);
    if (now === drawn) return;
    drawn = now;
    place.textContent = `${number(runs.length)} of ${number(said.runs.length)} runs below ${said.root}`;
    const held = document.activeElement?.closest?.(".run")?.dataset.name;
    found.replaceChildren(...runs.map((facts) => entry(facts, said.titles, chosen, choose)));
    if (!runs.length) {
      found.append(el("p", { class: "notice" }, said.runs.length ? "No run fits these filters." : "There is no run in this folder yet. Make one: overt generate --policy newsroom --out runs/first"));
    }
    mark(false);
    if (held) found.querySelector(`[data-name="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
  }

  function mark(scroll = true) {
    const all = [...found.querySelectorAll(".run")];
    active = Math.max(0, Math.min(active, all.length - 1));
    all.forEach((one, index) => one.classList.toggle("active", index === active));
    if (scroll && all[active]) {
      all[active].scrollIntoView({ block: "nearest" });
      all[active].focus({ preventScroll: true });
    }
  }

  const move = (by) => () => { active += by; mark(); };
  const name = () => found.querySelectorAll(".run")[active]?.dataset.name;
  const open = () => name() && stage.go(`/run?${query({ run: name() })}`);
  said = await get("runs");
  if (!stage.isShown()) return null;
  draw();
  poll();

  async function poll() {
    while (stage.isShown()) {
      await wait(document.hidden ? EVERY_MS * 5 : EVERY_MS);
      if (!stage.isShown()) return;
      try {
        said = await get("runs");
        if (stage.isShown()) { alarm(""); draw(); }
      } catch (error) {
        if (stage.isShown()) alarm(error.message);
      }
    }
  }

  return {
    keys: {
      j: ["next run", move(1)], ArrowDown: ["next run", move(1)],
      k: ["previous run", move(-1)], ArrowUp: ["previous run", move(-1)],
      Enter: ["open the run", open],
      x: ["choose it for a comparison", () => found.querySelectorAll(".run")[active]?.querySelector("input")?.click()],
      c: ["compare the two chosen runs", compareChosen],
      "/": ["filter", () => { search.focus(); search.select(); }],
    },
  };
}
