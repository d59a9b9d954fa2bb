"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const keep = (name, value) => {
    try { sessionStorage.setItem(name, value); } catch (_) { /* storage switched off: asked again after a reload */ }
  };
  const kept = (name) => {
    try { return sessionStorage.getItem(name) || ""; } catch (_) { return ""; }
  };

  const BLUR = { all: "everything blurred", pictures: "pictures blurred", none: "nothing blurred" };
  let reviewer = kept("reviewer");
  let blur = kept("blur") in BLUR ? kept("blur") : "all";
  let item = null;
  let seen = false; // whether what is on the page has been looked at
  let since = 0;
  let busy = false;

  // ---- the server

  async function ask(action, data) {
    if (busy) return null;
    busy = true;
    try {
      const answer = await fetch(`/api/${action}`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ reviewer, ...data }),
      });
      if (answer.status === 403) {
        throw new Error("This page belongs to a server that has ended. Open the address that was printed when it was started again; labels stored before are safe.");
      }
      const said = await answer.json();
      if (!answer.ok) throw new Error(said.error);
      alarm("");
      return said;
    } catch (error) {
      const lost = error instanceof TypeError || error instanceof SyntaxError;
      alarm(lost ? "The server does not answer, and this was not stored. Labels stored before are safe; try again when it runs." : `Not stored: ${error.message}`);
      return null;
    } finally {
      busy = false;
    }
  }

  function alarm(text) {
    $("alarm").textContent = text;
    $("alarm").hidden = !text;
  }

  let fading = 0;
  function say(text) {
    $("said").textContent = text;
    $("said").classList.add("on");
    clearTimeout(fading);
    fading = setTimeout(() => $("said").classList.remove("on"), 1600);
  }

  // ---- what is shown

  function element(tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function part(title, ...children) {
    const made = element("div", "part");
    made.append(element("p", "of", title), ...children);
    return made;
  }

  function words(text, more = "") {
    const made = element("p", `text secret ${more}`, text);
    made.dir = "auto";
    return made;
  }

  function pictures(which, count) {
    const made = element("div", "pictures secret");
    for (let number = 0; number < count; number += 1) {
      const picture = element("img");
      picture.alt = `Picture ${number + 1} of ${count}`;
      picture.addEventListener("error", () => picture.replaceWith(element("p", "nothing", "This picture cannot be read.")));
      picture.src = `/picture/${item.place}/${which}/${number}`;
      made.append(picture);
    }
    return made;
  }

  /** What is read and what is looked at, beside each other. */
  function parts() {
    const read = element("div");
    const look = element("div");
    if (item.earlier) read.append(part("Said before", words(item.earlier)));
    const given = () => item.given ? [part("The picture that went with it", pictures("given", item.given))] : [];
    if (item.question === "rewrites") {
      read.append(part("The first prompt", words(item.prompt)), ...given(), part("The other wording", words(item.rewrite)));
      look.className = "pairs";
      if (item.original_images) look.append(part("Drawn for the first prompt", pictures("original_images", item.original_images)));
      if (item.images) look.append(part("Drawn for the other wording", pictures("images", item.images)));
      return [read, look];
    }
    read.append(part("Prompt", words(item.prompt)), ...given());
    if (item.question === "prompts") return [read];
    if (item.revised) read.append(part("What the product says it drew instead", words(item.revised, "changed")));
    if (item.images) look.append(part(item.images > 1 ? `${item.images} pictures came back` : "What came back", pictures("images", item.images)));
    if (item.response) read.append(part(item.images ? "With these words" : "What came back", words(item.response)));
    if (!item.images && !item.response) read.append(part("What came back", element("p", "nothing", "No picture and no words.")));
    return [read, look];
  }

  function list(id, lines) {
    $(id).replaceChildren(...(lines.length ? lines : ["nothing is said"]).map((line) => element("li", "", line)));
  }

  function present(answer) {
    item = answer.item;
    const { mine, labelled, items, left, skipped } = answer.progress;
    $("progress").textContent = `${labelled} of ${items} labelled · ${mine} by you · ${left} left for you${skipped ? ` (${skipped} skipped)` : ""}`;
    $("bar").max = mine + left || 1;
    $("bar").value = mine;
    $("who").hidden = false;
    $("who-name").textContent = reviewer;
    $("enter").hidden = true;
    $("desk").hidden = !item;
    $("done").hidden = Boolean(item);
    const undone = answer.undone;
    $("note").value = undone ? undone.note : "";
    for (const button of document.querySelectorAll(".choice")) {
      button.setAttribute("aria-pressed", String(Boolean(undone) && button.dataset.label === undone.label));
    }
    if (!item) {
      $("done-says").textContent = `You have labelled ${mine} ${mine === 1 ? "item" : "items"}; all together, ${labelled} of ${items} have a label.${left ? ` ${left} ${left === 1 ? "is" : "are"} in another reviewer's hands; reload this page later to see whether any came back.` : ""}`;
      return;
    }
    for (const group of document.querySelectorAll(".choices")) {
      group.hidden = group.dataset.question !== item.question;
      if (!group.hidden) $("question").textContent = group.dataset.text;
    }
    $("category").textContent = item.category;
    list("disallowed", item.disallowed);
    list("allowed", item.allowed);
    $("shown").className = item.images || item.original_images ? "beside" : "";
    $("shown").replaceChildren(...parts());
    $("item").scrollTop = 0;
    cover();
    $("item").focus({ preventScroll: true });
  }

  // ---- blurred until asked

  function cover() {
    const hides = blur === "all" || (blur === "pictures" && item && (item.images || item.original_images || item.given));
    seen = !hides;
    since = performance.now();
    paint();
  }

  function paint() {
    $("blur-says").textContent = BLUR[blur];
    $("content").className = seen ? "" : `hidden-${blur}`;
    $("shown").setAttribute("aria-hidden", String(!seen && blur === "all"));
    $("answers").classList.toggle("locked", !seen);
  }

  function show() {
    if (!item) return;
    if (seen) {
      if (blur !== "none") cover();
      return;
    }
    seen = true;
    since = performance.now();
    paint();
  }

  function turnBlur() {
    const names = Object.keys(BLUR);
    blur = names[(names.indexOf(blur) + 1) % names.length];
    keep("blur", blur);
    cover();
  }

  // ---- what a reviewer does

  async function label(value) {
    if (!item) return;
    if (!seen) {
      say("Look at it first: Space shows it");
      return;
    }
    const seconds = (performance.now() - since) / 1000;
    const answer = await ask("label", { place: item.place, label: value, note: $("note").value, seconds });
    if (!answer) return;
    present(answer);
    say(`stored: ${value}`);
  }

  async function skip() {
    if (!item) return;
    const answer = await ask("skip", { place: item.place });
    if (!answer) return;
    present(answer);
    say("skipped: it comes again at the end");
  }

  async function undo() {
    const answer = await ask("undo", {});
    if (!answer) return;
    present(answer);
    say(answer.undone ? `taken back: ${answer.undone.label}` : "there is nothing to take back");
  }

  async function begin() {
    const answer = await ask("next", {});
    if (answer) present(answer);
    else if (!item) askName();
  }

  function askName() {
    item = null;
    for (const id of ["desk", "done", "who"]) $(id).hidden = true;
    $("progress").textContent = "";
    $("bar").value = 0;
    $("enter").hidden = false;
    if (reviewer) $("name").value = reviewer;
    $("name").focus();
    $("name").select();
  }

  $("enter").addEventListener("submit", (event) => {
    event.preventDefault();
    reviewer = $("name").value.trim();
    if (!reviewer) return;
    keep("reviewer", reviewer);
    begin();
  });
  for (const button of document.querySelectorAll(".choice")) {
    button.addEventListener("click", () => label(button.dataset.label));
  }
  $("show").addEventListener("click", show);
  $("skip").addEventListener("click", skip);
  $("undo").addEventListener("click", undo);
  $("done-undo").addEventListener("click", undo);
  $("blur").addEventListener("click", turnBlur);
  $("change").addEventListener("click", askName);

  const KEYS = {
    " ": show, z: undo, Backspace: undo, k: skip, ArrowRight: skip, v: turnBlur,
    n: () => $("note").focus(),
    p: () => $("desk").classList.toggle("no-policy"),
  };
  document.addEventListener("keydown", (event) => {
    // A key held down must not label one item after the other.
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (!$("enter").hidden) return;
    if (event.target === $("note")) {
      if (event.key === "Escape") $("item").focus({ preventScroll: true });
      return;
    }
    const onButton = event.target instanceof HTMLButtonElement;
    if (event.key === " " && onButton) return; // Space presses the button that has the focus
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const choice = item && document.querySelector(`.choices:not([hidden]) .choice[data-key="${CSS.escape(key)}"]`);
    const work = choice ? () => label(choice.dataset.label) : KEYS[key];
    if (!work || !(item || work === undo)) return;
    event.preventDefault();
    work();
  });

  if (reviewer) begin();
  else askName();
})();
