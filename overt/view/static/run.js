// One run: what it is, its filters, its prompts; the report, the review, the comparison.
import { alarm, busy, dated, el, get, link, meter, number, put, query, wait, words } from "./dom.js";
import { matrix } from "./matrix.js";
import { progress, rates, stateOf } from "./runs.js";

const FILTERS = ["q", "category", "label", "target", "state", "stage", "code", "harm", "sample", "differ", "sort"];
const TITLES = { category: "category", label: "label", state: "state", stage: "stage", code: "reason", harm: "judged", sample: "sample", target: "target" };
const TABS = { "": "Prompts", about: "About", report: "Report", comparison: "Compare", review: "Review" };

/** The filters among the parameters of an address. */
export const filtersIn = (parameters) => Object.fromEntries(FILTERS.filter((name) => parameters[name]).map((name) => [name, parameters[name]]));

/** What the server says of a run, once its index is there. */
export async function whenReady(stage, told) {
  for (let pause = 100; stage.isShown(); pause = Math.min(1000, pause * 1.5)) {
    const said = await get("run", { run: stage.parameters.run });
    if (!said.indexing) return said;
    told(said);
    await wait(pause);
  }
  return null;
}

export async function run(stage) {
  const { parameters } = stage;
  const name = parameters.run || "";
  const tab = parameters.tab in TABS ? parameters.tab : "";
  stage.trail(link("/run", { run: name }, { dir: "auto" }, name));
  const head = el("div", { class: "head" }, el("h1", {}, el("bdi", {}, name)));
  const body = el("div", { class: "body" });
  stage.main.className = "whole";
  stage.main.append(head, body);
  let drawn = false;
  const said = await whenReady(stage, (waiting) => {
    if (!drawn) drawHead(stage, head, waiting, tab);
    drawn = true;
    const { share, what, seconds } = waiting.indexing;
    body.replaceChildren(el("p", { class: "notice" }, `Making the index of this run, once: ${what}, ${Math.round(100 * share)} %, ${seconds.toFixed(0)} s `, meter(share, "index")));
  });
  if (!said) return null;
  body.replaceChildren();
  drawHead(stage, head, said, tab);
  if (said.fault && !["about", "review"].includes(tab)) {
    if (!said.facts.faults.includes(said.fault)) body.append(el("p", { class: "fault" }, said.fault));
    return { keys: keysOf(stage, {}) };
  }
  const shown = await { "": prompts, about, report: made, comparison, review }[tab](stage, body, said);
  if (!said.facts.complete) follow(stage, head, said, tab);
  return { ...shown, keys: keysOf(stage, shown?.keys || {}) };
}

function keysOf(stage, keys) {
  const { run: name } = stage.parameters;
  const to = (tab) => () => stage.go(`/run?${query({ run: name, tab })}`);
  return {
    ...keys, p: ["prompts", to("")], i: ["about this run", to("about")], r: ["report", to("report")], c: ["compare", to("comparison")],
    Escape: keys.Escape || ["back to the list", () => stage.go("/")],
  };
}

/** The progress of a run at work, every two seconds. */
async function follow(stage, head, said, tab) {
  let known = JSON.stringify(said.values || {});
  while (stage.isShown()) {
    await wait(2000);
    if (!stage.isShown()) return;
    try {
      const now = await get("run", { run: stage.parameters.run });
      if (!stage.isShown()) return;
      drawHead(stage, head, now, tab);
      const values = JSON.stringify(now.values || {});
      if (now.values && values !== known) {
        known = values;
        busy("there is more by now: reload to see it");
      }
      if (now.facts.complete) return;
    } catch (error) {
      alarm(error.message);
    }
  }
}

function drawHead(stage, head, said, tab) {
  const { facts } = said;
  const state = stateOf(facts);
  const tabs = Object.entries(TABS).filter(([id]) => facts.kind === "run" || !["report", "comparison"].includes(id));
  put(head,
    el("h1", {}, el("bdi", {}, facts.name), facts.kind && el("span", { class: "kind" }, facts.kind),
      state !== "complete" && el("span", { class: `kind ${state}` }, state === "stopped" ? "not complete" : state)),
    facts.faults.map((fault) => el("p", { class: "fault" }, fault)),
    el("nav", { class: "tabs", "aria-label": "Parts of this run" }, tabs.map(([id, title]) =>
      link("/run", { run: facts.name, tab: id }, { "aria-current": id === tab ? "page" : null }, title))),
    progress(facts));
}

// ---- prompts

async function prompts(stage, body, said) {
  const state = filtersIn(stage.parameters);
  const search = el("input", { type: "search", class: "search", placeholder: "search prompts and answers", "aria-label": "Search prompts and answers", value: state.q || "" });
  const counted = el("p", { class: "counted quiet", role: "status" });
  const selects = Object.keys(TITLES).map((name) => choice(name, said, state)).filter(Boolean);
  const several = said.facets.targets.length > 1;
  const differ = several && el("label", { class: "check" }, el("input", { type: "checkbox", name: "differ", checked: Boolean(state.differ) }), " targets differ");
  const sort = el("select", { name: "sort", "aria-label": "Sort by" },
    [["", "in the run's order"], ["refusals", "most refused first"]].map(([value, text]) => el("option", { value, selected: (state.sort || "") === value }, text)));
  const clear = el("button", { type: "button", class: "plain", onclick: () => { for (const field of bar.elements) { if (field.type === "checkbox") field.checked = false; else field.value = ""; } changed(); } }, "clear");
  const open = el("details", { class: "more" }, el("summary", {}, "filters"));
  const bar = el("form", { class: "bar", onsubmit: (event) => { event.preventDefault(); changed(); } }, search, counted, open);
  const fields = el("div", { class: "fields" }, selects, said.facts.kind === "run" && sort, differ, clear);
  open.append(fields);
  open.open = matchMedia("(min-width: 52rem)").matches;
  const grid = matrix(stage, said);
  body.append(bar, grid.element);
  search.name = "q";
  let typing = 0;
  search.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(changed, 250); });
  for (const field of fields.querySelectorAll("select, input")) field.addEventListener("change", changed);

  function chosen() {
    const found = Object.fromEntries(new FormData(bar));
    return filtersIn({ ...found, differ: found.differ ? "1" : "" });
  }

  function changed() {
    clearTimeout(typing);
    const filters = chosen();
    stage.note(`/run?${query({ run: said.facts.name, ...filters })}`);
    load(filters, {});
  }

  async function load(filters, place) {
    const many = Object.keys(filters).filter((name) => !["q", "sort"].includes(name)).length;
    open.querySelector("summary").textContent = many ? `filters (${many})` : "filters";
    clear.hidden = !Object.keys(filters).length;
    const total = said.facets.prompts;
    counted.textContent = Object.keys(filters).some((one) => one !== "sort") ? `… of ${number(total)}` : `${number(total)} prompts`;
    const rows = grid.load(filters, place);
    if (counted.textContent.startsWith("…")) {
      get("count", { run: said.facts.name, ...filters }).then(({ count }) => {
        if (JSON.stringify(filters) === JSON.stringify(chosen())) counted.textContent = `${number(count)} of ${number(total)} prompts`;
      }, () => {});
    }
    await rows;
  }

  await load(state, { from: stage.parameters.from, at: stage.parameters.at });
  return {
    leave: grid.leave,
    keys: {
      ...grid.keys,
      "/": ["search", () => { search.focus(); search.select(); }],
      f: ["filters", () => { open.open = true; fields.querySelector("select")?.focus(); }],
      u: ["clear the filters", () => clear.click()],
    },
  };
}

/** A filter as a list of what there is, with counts; nothing where there is no choice. */
function choice(name, said, state) {
  const facets = name === "target" ? said.facets.targets.map((one) => [one, null]) : said.facets[name];
  const values = name === "target" ? said.values.targets.map((one) => [one, null]) : said.values[name];
  if (!facets || (facets.length < 2 && !state[name] && !["state", "code", "stage"].includes(name)) || !facets.length) return null;
  const titles = { category: said.categories, ...said.words }[name] || {};
  return el("select", { name, "aria-label": TITLES[name] },
    el("option", { value: "" }, `${TITLES[name]}: any`),
    facets.map(([text, count], index) => {
      const value = String(values[index][0]);
      const label = titles[value] || String(text);
      return el("option", { value, selected: state[name] === value }, `${label.length > 60 ? `${label.slice(0, 59)}…` : label}${count === null ? "" : ` (${number(count)})`}`);
    }));
}

// ---- about, report, comparison, review

function about(stage, body, said) {
  const { facts } = said;
  const rows = [
    ["folder", said.folder], ["policy", facts.policy], ["made with", facts.overt && `overt ${facts.overt}`],
    ["dated", dated(facts.created)], ["prompts", facts.prompts !== undefined && number(facts.prompts)],
    ["calls", facts.requests !== undefined && number(facts.requests)], ["cost", facts.cost > 0 && facts.cost_said],
  ].filter(([, value]) => value);
  body.append(el("div", { class: "page" },
    el("dl", { class: "facts" }, rows.flatMap(([title, value]) => [el("dt", {}, title), words("dd", "", String(value))])),
    rates(facts, said.titles) || "",
    facts.level && facts.targets.some((target) => target.rates) ? el("p", { class: "quiet" }, `in brackets the ${facts.level} interval, in percent`) : "",
    (facts.notes || []).map((note) => words("p", "notice", note)),
    said.policy_fault && el("p", { class: "fault" }, said.policy_fault),
    !facts.complete && facts.kind && el("p", {}, "Go on with it: ", command(`overt ${facts.kind} --resume ${quoted(said.folder)}`))));
  return {};
}

export function command(text) {
  const button = el("button", { type: "button", class: "plain", onclick: () => navigator.clipboard?.writeText(text).then(() => { button.textContent = "copied"; }) }, "copy");
  return el("span", { class: "command" }, el("code", {}, text), " ", button);
}

const quoted = (path) => (/^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`);

/** Waits for a page that the server makes, and opens it. */
async function opened(stage, place, parameters) {
  while (stage.isShown()) {
    const said = await get("make", parameters);
    if (!stage.isShown()) return;
    if (said.state === "ready") {
      // Going back from there leads to before this, not to another waiting.
      location.replace(said.address);
      return;
    }
    if (said.state === "failed") {
      place.className = "fault";
      place.textContent = said.error;
      return;
    }
    place.textContent = `Being made, ${said.seconds.toFixed(0)} s …`;
    await wait(400);
  }
}

function made(stage, body, said) {
  const place = el("p", { class: "notice", role: "status" }, "Being made …");
  body.append(el("div", { class: "page" }, place,
    el("p", { class: "quiet" }, "To have it as a file: ", command(`overt report ${quoted(said.folder)}`))));
  if (said.facts.complete) opened(stage, place, { run: said.facts.name, what: "report" }).catch((error) => alarm(error.message));
  else place.textContent = "The report is made of a complete run; this one is not.";
  return {};
}

function comparison(stage, body, said) {
  const page = el("div", { class: "page" });
  body.append(page);
  const { other } = stage.parameters;
  if (other) {
    const place = el("p", { class: "notice", role: "status" }, "Being made …");
    page.append(place, el("p", { class: "quiet" }, "from ", el("bdi", {}, other), " to ", el("bdi", {}, said.facts.name)));
    opened(stage, place, { run: said.facts.name, what: "comparison", other }).catch((error) => alarm(error.message));
    return {};
  }
  if (!said.others.length) page.append(el("p", { class: "notice" }, "There is no other complete run of `overt run` in this folder."));
  else {
    page.append(el("p", {}, "What changed from an earlier run to this one? Choose the earlier one:"),
      el("ul", { class: "others" }, said.others.map((one) => el("li", {}, link("/run", { run: said.facts.name, tab: "comparison", other: one }, { dir: "auto" }, one)))));
  }
  return {};
}

async function review(stage, body, said) {
  const page = el("div", { class: "page" });
  body.append(page);
  if (said.reviewed) {
    const found = await get("review", { run: said.facts.name });
    page.append(...found.questions.flatMap((question) => [
      el("h2", {}, question.title),
      question.rows.length ? el("div", { class: "wide" }, el("table", { class: "rates" },
        el("thead", {}, el("tr", {}, ["", "confirmed by people", "labelled"].map((title) => el("th", { scope: "col" }, title)))),
        el("tbody", {}, question.rows.map(([part, value, of]) => el("tr", {}, el("th", { scope: "row", dir: "auto" }, part), el("td", {}, el("strong", {}, value)), el("td", {}, of)))))) : "",
    ]), ...found.corrected.map((line) => words("p", "notice", line)), ...found.reviewers.map((line) => words("p", "quiet", line)));
  } else page.append(el("p", { class: "notice" }, "Nobody has reviewed this run yet."));
  page.append(el("p", {}, said.reviewed ? "Go on with the review: " : "Begin: ", command(`overt review ${quoted(said.folder)} --reviewer NAME`)));
  return {};
}
