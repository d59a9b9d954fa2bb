// The page: which view an address shows, keys, light and dark, blurred pictures.
import { alarm, busy, el, keep, kept } from "./dom.js";
import { list } from "./runs.js";
import { run } from "./run.js";
import { prompt } from "./prompt.js";

const VIEWS = { "/": list, "/run": run, "/prompt": prompt };
const main = document.getElementById("main");
let view = null; // what is shown: { keys, leave }
let turn = 0;

/** Shows the view of the current address. */
async function show() {
  turn += 1;
  const mine = turn;
  view?.leave?.();
  view = null;
  alarm("");
  busy("");
  main.replaceChildren();
  main.className = "";
  const parameters = Object.fromEntries(new URLSearchParams(location.search));
  const stage = {
    main,
    parameters,
    isShown: () => mine === turn,
    go,
    /** Changes the address in place: what is shown is already what it says. */
    note: (changed) => {
      if (mine !== turn) return;
      history.replaceState(null, "", changed);
    },
    trail,
  };
  try {
    const shown = await VIEWS[location.pathname](stage);
    if (mine === turn) view = shown;
    else shown?.leave?.();
  } catch (error) {
    if (mine === turn && error.name !== "AbortError") alarm(error.message);
  }
}

function go(address) {
  history.pushState(null, "", address);
  show();
}

/** Where one is, as links; the last part is the page itself. */
function trail(...parts) {
  document.getElementById("trail").replaceChildren(
    el("a", { href: "/", "data-route": true }, "overt view"),
    ...parts.flatMap((part) => [el("span", { "aria-hidden": "true" }, "›"), part]));
  document.title = ["overt view", ...parts.map((part) => part.textContent)].reverse().join(" · ");
}

document.addEventListener("click", (event) => {
  const to = event.target.closest("a[data-route]");
  if (!to || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(to.getAttribute("href"));
});
window.addEventListener("popstate", show);

// ---- light and dark, blurred pictures

const THEMES = { "": "as the system", light: "light", dark: "dark" };
const BLURS = { on: "blurred", off: "pictures shown" };
const root = document.documentElement;

function paint() {
  const theme = kept("theme") in THEMES ? kept("theme") : "";
  if (theme) root.dataset.theme = theme;
  else delete root.dataset.theme;
  root.dataset.blur = kept("blur") === "off" ? "off" : "on";
  document.getElementById("theme-says").textContent = THEMES[theme];
  document.getElementById("blur-says").textContent = BLURS[root.dataset.blur];
}

function turnTheme() {
  const names = Object.keys(THEMES);
  keep("theme", names[(names.indexOf(root.dataset.theme || "") + 1) % names.length]);
  paint();
}

function turnBlur() {
  keep("blur", root.dataset.blur === "on" ? "off" : "on");
  paint();
}

// ---- keys

const dialog = document.getElementById("keys");
const COMMON = {
  t: ["light, dark, or as the system", turnTheme],
  v: ["blur pictures, or show them", turnBlur],
  "?": ["these keys", help],
};
const SAID = { ArrowDown: "↓", ArrowUp: "↑", ArrowLeft: "←", ArrowRight: "→", Escape: "Esc" };

/** Keys that do the same stand on one line. */
function help() {
  if (dialog.open) return dialog.close();
  const lines = new Map();
  for (const [key, [says]] of Object.entries({ ...view?.keys, ...COMMON })) {
    lines.set(says, [...(lines.get(says) || []), SAID[key] || key]);
  }
  document.getElementById("keys-list").replaceChildren(...[...lines].flatMap(([says, keys]) => [
    el("dt", {}, keys.map((key) => el("kbd", {}, key))), el("dd", {}, says)]));
  return dialog.showModal();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || dialog.open) return;
  const field = event.target.closest("input, select, textarea");
  if (field) {
    if (event.key === "Escape") {
      field.blur();
      main.focus({ preventScroll: true });
      event.preventDefault();
    }
    return;
  }
  if (event.key === "Enter" && event.target.closest("a, button, summary")) return;
  if (event.key === " " || event.key === "Tab") return;
  const action = view?.keys?.[event.key] || COMMON[event.key];
  if (!action) return;
  event.preventDefault();
  action[1]();
});

document.getElementById("theme").addEventListener("click", turnTheme);
document.getElementById("blur").addEventListener("click", turnBlur);
document.getElementById("help").addEventListener("click", help);
paint();
show();
