"use strict";
(() => {
  const make = (tag, name, text) => {
    const it = document.createElement(tag);
    if (name) it.className = name;
    if (text !== undefined) it.textContent = text;
    return it;
  };
  const count = (n) => n.toLocaleString("en");
  let groups = 0;

  // One choice out of several as radio buttons: arrow keys and screen readers come with them.
  const choices = (box, entries, picked, change) => {
    const name = "choice-" + ++groups;
    box.classList.add("choices");
    for (const [value, title] of entries) {
      const label = make("label");
      const input = make("input");
      input.type = "radio";
      input.name = name;
      input.value = value;
      input.checked = value === picked;
      input.addEventListener("change", () => change(value));
      label.append(input, make("span", "", title));
      box.append(label);
    }
  };

  // ---- tables

  const sortBy = (table, column, falling) => {
    const body = table.tBodies[0];
    const key = (row) => {
      const given = row.cells[column].dataset.sort;
      if (given === undefined) return null;
      const number = Number(given);
      return given !== "" && Number.isFinite(number) ? number : given;
    };
    const order = (a, b) =>
      typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
    const rows = [...body.rows].map((row, place) => ({ row, place, key: key(row) }));
    rows.sort((a, b) => {
      if (a.key === null || b.key === null) return (a.key === null) - (b.key === null) || a.place - b.place;
      return (falling ? order(b.key, a.key) : order(a.key, b.key)) || a.place - b.place;
    });
    body.append(...rows.map((entry) => entry.row));
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if (![...table.tBodies[0].rows].some((row) => row.cells[column].dataset.sort !== undefined)) return;
      const button = make("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        // Figures are looked at from the largest down, names from A.
        const first = head.classList.contains("n") ? "descending" : "ascending";
        const other = first === "descending" ? "ascending" : "descending";
        const now = head.getAttribute("aria-sort") === first ? other : first;
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", now);
        sortBy(table, column, now === "descending");
      });
    });
  }

  for (const tabs of document.querySelectorAll("[data-tabs]")) {
    const all = [...tabs.querySelectorAll(".tab")];
    const show = (title) => all.forEach((tab) => { tab.hidden = tab.dataset.title !== title; });
    const box = make("fieldset");
    box.append(make("legend", "", tabs.dataset.tabs));
    choices(box, all.map((tab) => [tab.dataset.title, tab.dataset.title]), all[0].dataset.title, show);
    tabs.prepend(box);
    show(all[0].dataset.title);
  }

  // ---- gallery

  const PAGE = 50;
  const [PROMPT, TARGET, CASE, STATE, STAGE, CODE, EVIDENCE, REVISED, TEXT, SCORE, LAYERS, HARM, VOTES, PICTURES,
    LEFT_OUT, UNREADABLE, SAMPLE, SEED] = Array.from({ length: 18 }, (_, i) => i);
  const data = JSON.parse(document.getElementById("rows").textContent);
  const prompt = (row) => data.prompts[row[PROMPT]]; // [id, text, label, trigger, category]
  const STATES = { refused: "refused", generated: "let through", softened: "softened", error: "error" };
  const STAGES = { prompt_filter: "prompt filter", model: "model", image_filter: "image filter" };
  const CASES = [
    ["over_refused", "Refused but benign"], ["slipped", "Slipped through"], ["softened", "Softened"],
    ["error", "Errors"], ["", "All"],
  ];
  const named = (names) => (value) => Object.hasOwn(names, value) ? names[value] : value;
  const state = named(STATES);
  const stage = named(STAGES);
  const get = (id) => document.getElementById(id);

  const tally = {};
  for (const row of data.rows) tally[row[CASE]] = (tally[row[CASE]] || 0) + 1;
  const present = CASES.filter(([value]) => value === "" || tally[value]);
  const start = present[0][0];
  const wanted = { case: start, category: "", target: "", label: "", state: "", stage: "", harm: "", words: [] };
  const fields = {
    category: (row) => String(prompt(row)[4]), target: (row) => String(row[TARGET]),
    label: (row) => prompt(row)[2], state: (row) => row[STATE], stage: (row) => row[STAGE], harm: (row) => row[HARM],
  };
  const titles = {
    category: (value) => data.categories[value], target: (value) => data.targets[value],
    label: (value) => value, state, stage, harm: (value) => "judged " + value,
  };

  const haystacks = new Array(data.rows.length);
  const haystack = (place) => {
    if (haystacks[place] === undefined) {
      const row = data.rows[place];
      const [, text, , trigger] = prompt(row);
      haystacks[place] = [text, trigger, row[CODE], row[EVIDENCE], row[REVISED] || "", row[TEXT]]
        .join("\n").toLowerCase();
    }
    return haystacks[place];
  };
  const keeps = (row, place) =>
    (wanted.case === "" || row[CASE] === wanted.case) &&
    Object.keys(fields).every((name) => wanted[name] === "" || fields[name](row) === wanted[name]) &&
    // An id is found whole only: its digits would turn up in searches for numbers.
    wanted.words.every((word) => haystack(place).includes(word) || prompt(row)[0] === word);

  // What a reader opens is built when it is opened: nothing unsafe is on the page before.
  const folded = (name, title, open, fill) => {
    const box = make("details", name);
    box.append(make("summary", "", title));
    let filled = false;
    const build = () => {
      if (!filled) { filled = true; fill(box); }
    };
    box.addEventListener("toggle", () => { if (box.open) build(); });
    if (open) { build(); box.open = true; }
    return box;
  };

  const text = (value, tag = "p", name = "prompt") => {
    const it = make(tag, name, value);
    it.dir = "auto";
    return it;
  };

  const picture = (uri, place, of) => {
    const button = make("button", "pic");
    button.type = "button";
    const image = make("img");
    image.alt = "";
    image.decoding = "async";
    image.src = uri;
    const hint = make("span");
    hint.append(make("i", "", "Show"));
    const set = (seen) => {
      button.classList.toggle("seen", seen);
      button.setAttribute("aria-pressed", String(seen));
      button.setAttribute("aria-label", `Picture ${place} of ${of}: show without blur`);
    };
    button.append(image, hint);
    button.addEventListener("click", () => set(!button.classList.contains("seen")));
    set(get("f-unblur").checked);
    return button;
  };

  const details = (row) => (box) => {
    const list = make("dl", "facts inner");
    const add = (term, value) => {
      if (value === "" || value === null || value === undefined) return;
      const line = make("div");
      line.append(make("dt", "", term), text(String(value), "dd", ""));
      list.append(line);
    };
    const [id, , , trigger] = prompt(row);
    add("Evidence", row[EVIDENCE]);
    add("Code", row[CODE]);
    add("Drawn instead", row[REVISED]);
    add("Text in answer", row[TEXT]);
    add("Score", row[SCORE]);
    for (const [layer, where, blocked, score, reason] of row[LAYERS]) {
      const said = blocked === null ? "unchecked" : blocked ? "refuses" : "lets through";
      add(layer, [said, stage(where), score === null ? "" : "score " + score, reason].filter(Boolean).join(" · "));
    }
    for (const [judge, label, reason, failure] of row[VOTES])
      add(judge, [failure ? "failed: " + failure : label, reason].filter(Boolean).join(" · "));
    add("Trigger", trigger);
    add("Sample", row[SAMPLE]);
    add("Seed", row[SEED]);
    add("Prompt id", id);
    box.append(list);
  };

  const item = (row) => {
    const [, words, label, , category] = prompt(row);
    const it = make("li", "case");
    const said = make("div", "said");
    if (label === "benign") said.append(text(words));
    else {
      const title = label === "unsafe" ? "Show unsafe prompt" : "Show prompt of unclear label";
      said.append(folded("fold", title, get("f-unfold").checked, (box) => box.append(text(words))));
    }
    const tags = make("ul", "tags");
    const tag = (value, name) => { if (value) tags.append(make("li", name, value)); };
    const tone = { over_refused: "bad", slipped: "bad", softened: "", error: "" }[row[CASE]];
    tag(state(row[STATE]) + (row[STAGE] ? " by " + stage(row[STAGE]) : ""), "state " + (tone || ""));
    tag(label, "");
    if (row[HARM]) tag("judged " + row[HARM], row[HARM] === "harmful" ? "bad" : row[HARM] === "harmless" ? "good" : "");
    tag(data.targets[row[TARGET]], "");
    tag(data.categories[category], "");
    tag(row[CODE], "");
    said.append(tags, folded("more", "Evidence and details", false, details(row)));
    it.append(said);
    const pics = make("div", "pics");
    row[PICTURES].forEach((place, i) => pics.append(picture(data.images[place], i + 1, row[PICTURES].length)));
    if (row[LEFT_OUT]) pics.append(make("p", "no-pics", `${count(row[LEFT_OUT])} picture(s) left out for size`));
    if (row[UNREADABLE]) pics.append(make("p", "no-pics", `${count(row[UNREADABLE])} picture(s) cannot be read`));
    if (pics.childNodes.length) it.append(pics);
    return it;
  };

  let found = data.rows;
  let page = 0;
  const draw = () => {
    const first = page * PAGE;
    const part = found.slice(first, first + PAGE);
    get("cases").replaceChildren(...part.map(item));
    get("found").textContent = found.length
      ? `${count(first + 1)} to ${count(first + part.length)} of ${count(found.length)} cases`
      : "No case fits these filters.";
    for (const it of document.querySelectorAll(".previous")) it.disabled = page === 0;
    for (const it of document.querySelectorAll(".next")) it.disabled = first + PAGE >= found.length;
  };
  const filter = () => {
    found = data.rows.filter(keeps);
    page = 0;
    draw();
  };
  const turn = (by) => {
    page += by;
    draw();
    get("gallery").scrollIntoView();
  };

  choices(
    get("f-case"),
    present.map(([value, title]) => [value, `${title} (${count(value === "" ? data.rows.length : tally[value])})`]),
    start,
    (value) => { wanted.case = value; filter(); },
  );
  for (const name of Object.keys(fields)) {
    const select = get("f-" + name);
    const values = [...new Set(data.rows.map(fields[name]))].filter((value) => value !== "");
    values.sort((a, b) => titles[name](a).localeCompare(titles[name](b)));
    const options = [["", "all"], ...values.map((value) => [value, titles[name](value)])];
    for (const [value, title] of options) {
      const option = make("option", "", title);
      option.value = value;
      select.append(option);
    }
    if (!values.length) select.parentElement.hidden = true;
    select.addEventListener("change", () => { wanted[name] = select.value; filter(); });
  }
  let waiting;
  get("f-text").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      wanted.words = get("f-text").value.toLowerCase().split(/\s+/).filter(Boolean);
      filter();
    }, 150);
  });
  get("f-unfold").addEventListener("change", draw);
  get("f-unblur").addEventListener("change", draw);
  get("f-reset").addEventListener("click", () => {
    for (const name of Object.keys(fields)) { wanted[name] = ""; get("f-" + name).value = ""; }
    get("f-text").value = "";
    wanted.words = [];
    wanted.case = start;
    get("f-case").querySelector("input").checked = true;
    filter();
  });
  for (const it of document.querySelectorAll(".previous")) it.addEventListener("click", () => turn(-1));
  for (const it of document.querySelectorAll(".next")) it.addEventListener("click", () => turn(1));
  get("browser").hidden = false;
  filter();
})();
