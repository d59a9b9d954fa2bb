// One prompt: what came back of each target, what each layer and each judge said, and the records themselves.
import { badge, el, get, inputPicture, link, number, pictures, put, query, words } from "./dom.js";
import { filtersIn, whenReady } from "./run.js";

const FILES = {
  "stages/prompts.jsonl": "the prompt", "dataset/benign.jsonl": "in the data set", "dataset/unsafe.jsonl": "in the data set",
  "results/harm.jsonl": "judges of harm", "results/as_asked.jsonl": "whether the picture shows what was asked",
  "rewrites/candidates.jsonl": "another wording", "rewrites/outcomes.jsonl": "another wording at a target",
  "stages/audit.jsonl": "the audit", "stages/probe.jsonl": "the probe", "stages/drops.jsonl": "dropped", "stages/failures.jsonl": "failed",
};
const FACTS = ["category", "label", "trigger", "language", "style", "strategy", "writer", "template", "group", "seed_id", "pair_id", "variant_of"];

export async function prompt(stage) {
  const { run, id } = stage.parameters;
  const filters = filtersIn(stage.parameters);
  stage.trail(link("/run", { run, ...filters }, { dir: "auto" }, run || ""), el("span", {}, id || ""));
  const page = el("article", { class: "page one" }, el("p", { class: "quiet" }, "…"));
  stage.main.append(page);
  const said = await whenReady(stage, (waiting) => page.replaceChildren(el("p", { class: "notice" }, `Making the index of this run, once: ${Math.round(100 * waiting.indexing.share)} %`)));
  if (!said) return null;
  const found = await get("prompt", { run, id, ...filters });
  if (!stage.isShown()) return null;
  const fields = found.said.find((one) => "strategy" in one.fields && one.fields.text !== undefined && one.fields.id === found.id)?.fields || {};
  const step = (to, text, key) => (to ? link("/prompt", { run, id: to, ...filters }, { class: "step" }, el("kbd", {}, key), ` ${text}`) : el("span", { class: "step quiet" }, text));
  put(page,
    el("nav", { class: "steps", "aria-label": "Neighbours" }, step(found.previous, "previous", "k"), step(found.next, "next", "j"),
      link("/run", { run, ...filters, from: found.cursor, at: found.id }, { class: "step" }, el("kbd", {}, "Esc"), " in the list")),
    el("p", { class: "meta" }, el("span", { class: `label ${found.label}` }, found.label), el("span", { class: "quiet" }, said.categories[found.category] || found.category)),
    turns(fields.turns),
    found.picture > 0 && inputPicture(run, found, "large"),
    words("p", "text full", found.text || "(empty)"),
    el("div", { class: "answers" }, found.cells.map((cell) => answer(run, said, found, cell))),
    found.relatives.length > 0 && el("section", {}, el("h2", {}, "Belongs to it"),
      el("ul", { class: "others" }, found.relatives.map((one) => el("li", {}, el("span", { class: `label ${one.label}` }, one.label), ` ${one.why}: `,
        link("/prompt", { run, id: one.id }, { dir: "auto" }, one.text))))),
    others(found, said),
    el("section", {}, el("h2", {}, "About the prompt"), el("dl", { class: "facts" },
      [["id", found.id], ...FACTS.map((name) => [name.replace("_", " "), fields[name]])].filter(([, value]) => value)
        .flatMap(([title, value]) => [el("dt", {}, title), words("dd", "", String(value))]))),
    el("section", {}, el("h2", {}, "Records"),
      found.said.map((one) => el("details", {}, el("summary", {}, FILES[one.part] || one.part, el("span", { class: "quiet" }, ` ${one.part}`)), el("pre", { dir: "auto" }, pretty(one.line))))));
  page.focus?.();
  const to = (other) => () => other && stage.go(`/prompt?${query({ run, id: other, ...filters })}`);
  const back = () => stage.go(`/run?${query({ run, ...filters, from: found.cursor, at: found.id })}`);
  return {
    keys: {
      j: ["next prompt", to(found.next)], ArrowRight: ["next prompt", to(found.next)],
      k: ["previous prompt", to(found.previous)], ArrowLeft: ["previous prompt", to(found.previous)],
      ArrowDown: ["scroll", () => stage.main.scrollBy({ top: 120 })], ArrowUp: ["scroll", () => stage.main.scrollBy({ top: -120 })],
      Escape: ["back to the prompts", back],
    },
  };
}

function pretty(line) {
  try { return JSON.stringify(JSON.parse(line), null, 2); } catch (_) { return line; }
}

/** What was said before the prompt. */
function turns(said) {
  if (!Array.isArray(said) || !said.length) return null;
  return el("section", { class: "turns", "aria-label": "Earlier turns" }, said.flatMap((one) => [el("h3", {}, one.role), words("p", "text", one.content)]));
}

/** What came back in one column. */
function answer(run, said, found, cell) {
  const about = [
    cell.sample > 0 && `sample ${cell.sample}`, cell.score !== null && cell.score !== undefined && `score ${cell.score}`,
    cell.seed !== null && cell.seed !== undefined && `seed ${cell.seed}`, cell.seconds > 0 && `${cell.seconds.toFixed(2)} s`,
    cell.cost > 0 && `US$ ${cell.cost}`,
  ].filter(Boolean);
  const harm = found.said.find((one) => one.part === "results/harm.jsonl" && one.fields.outcome_id === cell.id);
  return el("section", { class: "answer" },
    el("h2", { dir: "auto" }, found.targets[cell.target - 1]),
    badge(found.label, cell, said.words),
    cell.evidence && words("p", "quiet", cell.evidence),
    cell.pictures > 0 && pictures(run, cell, "large"),
    cell.revised && [el("h3", {}, "What the product says it drew instead"), words("p", "text", cell.revised)],
    cell.text && [cell.pictures > 0 && el("h3", {}, "With these words"), words("p", "text", cell.text)],
    cell.layers?.length > 0 && layers(cell.layers, said),
    harm && votes(harm.fields),
    about.length > 0 && el("p", { class: "quiet" }, about.join(" · ")),
    cell.id && el("p", { class: "quiet ids" }, cell.id));
}

/** A table without the columns that say nothing. */
function table(caption, all, lines) {
  const told = all.map((_, index) => lines.some((line) => line[index]));
  const heads = all.filter((_, index) => told[index]);
  const rows = lines.map((line) => line.filter((_, index) => told[index]));
  return el("div", { class: "wide" }, el("table", { class: "small" }, el("caption", {}, caption),
    el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell) => el("td", { dir: "auto" }, cell)))))));
}

function layers(found, said) {
  const decision = (layer) => (layer.blocked === true ? "refused" : layer.blocked === false ? "passed" : layer.asked ? "unchecked" : "not asked");
  return table("What each layer said", ["layer", "stage", "decision", "score", "reason"], found.map((layer) => [
    layer.layer, said.words.stage[layer.stage] || layer.stage, decision(layer), layer.score === null ? "" : String(layer.score), layer.reason]));
}

function votes(harm) {
  return table(`Judges of harm: ${harm.label}`, ["judge", "says", "reason"], harm.votes.map((vote) => [
    vote.judge, vote.failure ? `failed: ${vote.failure}` : vote.label, vote.reason]));
}

/** The audit, the probe, other wordings: what else was said of the prompt. */
function others(found, said) {
  const of = (part) => found.said.filter((one) => one.part === part).map((one) => one.fields);
  const made = [];
  for (const audit of of("stages/audit.jsonl")) {
    made.push(table(`The audit: ${audit.label}`, ["judge", "says", "reason"], audit.votes.map((vote) => [vote.judge, vote.label, vote.reason])));
  }
  for (const probe of of("stages/probe.jsonl")) {
    made.push(el("p", {}, `The probe ${probe.surrogate} refused ${number(probe.refused)} of ${number(probe.answered)} samples.`));
  }
  const reworded = Object.fromEntries(of("rewrites/candidates.jsonl").map((one) => [one.id, one]));
  const tried = of("rewrites/outcomes.jsonl").filter((one) => reworded[one.prompt_id]);
  if (tried.length) {
    made.push(table("Other wordings that were tried", ["wording", "target", "state", "reason"], tried.map((one) => [
      reworded[one.prompt_id].text, one.target, said.words.state[one.state] || one.state, one.code])));
  }
  for (const one of of("results/as_asked.jsonl")) {
    const verdict = one.as_asked === null ? `cannot be told ${one.detail}` : one.as_asked ? "yes" : "no";
    made.push(el("p", {}, `Does the picture of ${one.target} show what was asked, by ${one.model}: ${verdict}`));
  }
  return made.length ? el("section", {}, el("h2", {}, "What else was said"), made) : null;
}
