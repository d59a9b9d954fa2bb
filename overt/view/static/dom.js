// Small helpers: elements whose text is never read as markup, requests, and what is kept in the browser.

/** An element. Attributes that are null, undefined or false are left out; strings become text. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...shown(children));
  return made;
}

/** Children that are there: a condition that does not hold leaves nothing. */
const shown = (children) => children.flat().filter((child) => child !== null && child !== undefined && child !== false && child !== "");

/** What stands in a place from now on. */
export function put(place, ...children) {
  place.replaceChildren(...shown(children));
}

/** Text of models and of files: in the direction of its own script. */
export function words(tag, className, text) {
  return el(tag, { class: className, dir: "auto" }, text);
}

export class Failed extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** What the server answers to /api/NAME. */
export async function get(name, parameters = {}, signal = undefined) {
  let answer;
  try {
    answer = await fetch(`/api/${name}?${query(parameters)}`, { signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failed("The server does not answer. Is `overt view` still running?", 0);
  }
  if (answer.status === 403) {
    throw new Failed("This page belongs to a server that has ended. Open the address that was printed when it was started again, then this one.", 403);
  }
  const said = await answer.json();
  if (!answer.ok) throw new Failed(said.error, answer.status);
  return said;
}

/** A query string without what is empty. */
export function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return new URLSearchParams(given).toString();
}

export function link(path, parameters, attributes, ...children) {
  return el("a", { href: `${path}?${query(parameters)}`, "data-route": true, ...attributes }, ...children);
}

export const number = (value) => value.toLocaleString("en-US");

export function keep(name, value) {
  try { localStorage.setItem(`overt.${name}`, value); } catch (_) { /* storage is switched off */ }
}

export function kept(name) {
  try { return localStorage.getItem(`overt.${name}`) || ""; } catch (_) { return ""; }
}

export function alarm(text) {
  const place = document.getElementById("alarm");
  place.textContent = text;
  place.hidden = !text;
}

export function busy(text) {
  document.getElementById("busy").textContent = text;
}

export const wait = (ms) => new Promise((done) => setTimeout(done, ms));

/** Seconds since 1970 as "2026-03-01 14:05" of this machine's time. */
export function dated(seconds) {
  if (!seconds) return "";
  const at = new Date(seconds * 1000);
  const two = (part) => String(part).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** How it looks: an answer that should not be is a different thing from one that should. */
const TONES = {
  "benign:refused": "bad", "unsafe:refused": "good", "benign:generated": "good", "unsafe:generated": "risk",
  "unsafe:harmless": "good", kept: "good", dropped: "bad", error: "fault",
};
const SOFT = { partial_refusal: "partial", safe_completion: "safe completion" }; // of language models
const MARKS = { good: "✓", bad: "✕", risk: "!", soft: "≈", fault: "?", plain: "·" };

export function tone(label, cell) {
  if (cell.state === "generated" && cell.harm === "harmless") return TONES[`${label}:harmless`] || "good";
  return TONES[`${label}:${cell.state}`] || TONES[cell.state] || (cell.state === "softened" ? "soft" : "plain");
}

/** The state of a cell as a badge, with the stage and the reason. */
export function badge(label, cell, said) {
  const kind = tone(label, cell);
  const why = [said.stage[cell.stage] || cell.stage, cell.code].filter(Boolean).join(" · ");
  const state = (cell.state === "softened" && SOFT[cell.code]) || said.state[cell.state] || cell.state;
  return el("p", { class: `state ${kind}` },
    el("span", { class: "mark", "aria-hidden": "true" }, el("span", {}, MARKS[kind])),
    el("strong", {}, state),
    why && el("span", { class: "why", dir: "auto" }, why),
    cell.harm && el("span", { class: `harm ${cell.harm}` }, `judged ${cell.harm}`));
}

/** Pictures of a cell. */
export const pictures = (run, cell, side) => shownPictures(Array.from({ length: cell.pictures }, (_, place) =>
  [`/picture/${cell.n}/${place}?${query({ run, side })}`, `Picture ${place + 1} of ${cell.pictures}`]));

/** The picture that a prompt carries. */
export const inputPicture = (run, prompt, side) => shownPictures([[`/picture/of-prompt/${prompt.n}?${query({ run, side })}`, "The picture that goes with the prompt"]]);

/** Pictures, blurred until they are asked for. */
function shownPictures(sources) {
  const made = el("div", { class: "pictures" });
  for (const [src, alt] of sources) {
    const image = el("img", { src, loading: "lazy", decoding: "async", alt });
    image.addEventListener("error", () => image.replaceWith(el("p", { class: "quiet" }, "This picture cannot be read.")));
    image.addEventListener("click", (event) => {
      if (document.documentElement.dataset.blur !== "on" || image.classList.contains("shown")) return;
      image.classList.add("shown");
      event.stopPropagation();
      event.preventDefault();
    });
    made.append(image);
  }
  return made;
}

export function meter(share, label) {
  const made = el("progress", { max: 1, value: share, "aria-label": label });
  return made;
}
