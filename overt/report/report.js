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

  // ---- what the gallery and the wordings share

  const data = JSON.parse(document.getElementById("rows").textContent);
  const prompt = (row) => data.prompts[row[0]]; // [id, text, label, trigger, category, given, earlier]
  const STATES = {
    refused: "refused", generated: "let through", softened: "softened", partial: "partial refusal",
    safe_completion: "safe completion", error: "error",
  };
  const named = (names) => (value) => Object.hasOwn(names, value) ? names[value] : value;
  const state = named(STATES);
  const stage = named(data.stages);
  const get = (id) => document.getElementById(id);
  const refresh = []; // what is drawn anew when folds or blurs change

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

  const wording = (words, label, what) => {
    if (label === "benign") return text(words);
    const title = label === "unsafe" ? `Show unsafe ${what}` : `Show ${what} of unclear label`;
    return folded("fold", title, get("f-unfold").checked, (box) => box.append(text(words)));
  };

  const answer = (words, open) => {
    const length = words.trim().split(/\s+/).length;
    const title = `Answer (${count(length)} ${length === 1 ? "word" : "words"})`;
    return folded("fold answer", title, open, (box) => box.append(text(words)));
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

  const pictures = (places, leftOut, unreadable) => {
    const pics = make("div", "pics");
    places.forEach((place, i) => pics.append(picture(data.images[place], i + 1, places.length)));
    if (leftOut) pics.append(make("p", "no-pics", `${count(leftOut)} picture(s) left out for size`));
    if (unreadable) pics.append(make("p", "no-pics", `${count(unreadable)} picture(s) cannot be read`));
    return pics;
  };

  const tagger = (list) => (value, name = "") => { if (value) list.append(make("li", name, value)); };

  const facts = () => {
    const list = make("dl", "facts inner");
    const add = (term, value) => {
      if (value === "" || value === null || value === undefined) return;
      const line = make("div");
      line.append(make("dt", "", term), text(String(value), "dd", ""));
      list.append(line);
    };
    return [list, add];
  };

  const fill = (select, values, title) => {
    const found = [...new Set(values)].filter((value) => value !== "");
    found.sort((a, b) => title(a).localeCompare(title(b)));
    for (const [value, name] of [["", "all"], ...found.map((value) => [value, title(value)])]) {
      const option = make("option", "", name);
      option.value = value;
      select.append(option);
    }
    if (!found.length) select.parentElement.hidden = true;
  };

  // A list in pages: `keeps` says which rows, `item` builds one.
  const pages = ({ section, list, status, size, rows, keeps, item, none, noun }) => {
    const box = get(section);
    let found = rows;
    let page = 0;
    const draw = () => {
      const first = page * size;
      const part = found.slice(first, first + size);
      get(list).replaceChildren(...part.map(item));
      get(status).textContent = found.length
        ? `${count(first + 1)} to ${count(first + part.length)} of ${count(found.length)} ${noun}`
        : none;
      for (const it of box.querySelectorAll(".previous")) it.disabled = page === 0;
      for (const it of box.querySelectorAll(".next")) it.disabled = first + size >= found.length;
    };
    const turn = (by) => {
      page += by;
      draw();
      box.scrollIntoView();
    };
    for (const it of box.querySelectorAll(".previous")) it.addEventListener("click", () => turn(-1));
    for (const it of box.querySelectorAll(".next")) it.addEventListener("click", () => turn(1));
    refresh.push(draw);
    return () => {
      found = rows.filter(keeps);
      page = 0;
      draw();
    };
  };

  // ---- gallery

  const [, TARGET, CASE, STATE, STAGE, CODE, EVIDENCE, REVISED, TEXT, SCORE, LAYERS, HARM, VOTES, PICTURES,
    LEFT_OUT, UNREADABLE, SAMPLE, SEED] = Array.from({ length: 18 }, (_, i) => i);
  const CASES = [
    ["over_refused", "Refused but benign"], ["slipped", "Slipped through"], ["partial", "Partial refusals"],
    ["safe_completion", "Safe completions"], ["softened", "Softened"], ["error", "Errors"], ["", "All"],
  ];

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
      const [, words, , trigger] = prompt(row);
      haystacks[place] = [words, trigger, row[CODE], row[EVIDENCE], row[REVISED] || "", row[TEXT]]
        .join("\n").toLowerCase();
    }
    return haystacks[place];
  };
  const keeps = (row, place) =>
    (wanted.case === "" || row[CASE] === wanted.case) &&
    Object.keys(fields).every((name) => wanted[name] === "" || fields[name](row) === wanted[name]) &&
    // An id is found whole only: its digits would turn up in searches for numbers.
    wanted.words.every((word) => haystack(place).includes(word) || prompt(row)[0] === word);

  const details = (row) => (box) => {
    const [list, add] = facts();
    const [id, , , trigger, , given, earlier] = prompt(row);
    add("Said before", earlier);
    add("Evidence", row[EVIDENCE]);
    add("Code", row[CODE]);
    add("Drawn instead", row[REVISED]);
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
    const pics = pictures(...given);
    if (pics.childNodes.length) box.append(make("p", "", "The picture that went with the prompt:"), pics);
  };

  const item = (row) => {
    const [, words, label, , category] = prompt(row);
    const it = make("li", "case");
    const said = make("div", "said");
    said.append(wording(words, label, "prompt"));
    const tags = make("ul", "tags");
    const tag = tagger(tags);
    const tone = { over_refused: "bad", slipped: "bad" }[row[CASE]];
    tag(state(row[STATE]) + (row[STAGE] ? " by " + stage(row[STAGE]) : ""), "state " + (tone || ""));
    tag(label);
    if (row[HARM]) tag("judged " + row[HARM], row[HARM] === "harmful" ? "bad" : row[HARM] === "harmless" ? "good" : "");
    tag(data.targets[row[TARGET]]);
    tag(data.categories[category]);
    tag(row[CODE]);
    said.append(tags);
    if (row[TEXT]) said.append(answer(row[TEXT], false));
    said.append(folded("more", "Evidence and details", false, details(row)));
    it.append(said);
    const pics = pictures(row[PICTURES], row[LEFT_OUT], row[UNREADABLE]);
    if (pics.childNodes.length) it.append(pics);
    return it;
  };

  const filter = pages({
    section: "gallery", list: "cases", status: "found", size: 50, rows: data.rows, keeps, item,
    none: "No case fits these filters.", noun: "cases",
  });

  choices(
    get("f-case"),
    present.map(([value, title]) => [value, `${title} (${count(value === "" ? data.rows.length : tally[value])})`]),
    start,
    (value) => { wanted.case = value; filter(); },
  );
  for (const name of Object.keys(fields)) {
    const select = get("f-" + name);
    fill(select, data.rows.map(fields[name]), titles[name]);
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
  // Both browsers have the switches; one turned here is turned there.
  for (const name of ["unfold", "unblur"]) {
    const switches = ["f-" + name, "r-" + name].map(get).filter(Boolean);
    for (const it of switches) {
      it.addEventListener("change", () => {
        for (const other of switches) other.checked = it.checked;
        refresh.forEach((draw) => draw());
      });
    }
  }
  get("f-reset").addEventListener("click", () => {
    for (const name of Object.keys(fields)) { wanted[name] = ""; get("f-" + name).value = ""; }
    get("f-text").value = "";
    wanted.words = [];
    wanted.case = start;
    get("f-case").querySelector("input").checked = true;
    filter();
  });
  get("browser").hidden = false;
  filter();

  // ---- prompts and wordings side by side

  if (data.rewordings.length) {
    const [, OF, RESULT, BEFORE, WORDING, STRATEGY, AFTER, SCORES, MISSING, OTHERS, CHOICE] =
      Array.from({ length: 11 }, (_, i) => i);
    const RESULTS = [
      ["slipped", "Unsafe let through"], ["won", "Refusal won"], ["kept", "Not refused before"],
      ["lost", "No wording accepted"], ["", "All"],
    ];
    const strategy = named({
      plain: "plain rewording", replace: "trigger replaced", context: "benign context added",
      describe: "described as it is seen", lexical: "neutral words of the policy",
    });
    const measure = named({
      text_text: "wording to wording", text_image: "picture to prompt", image_image: "picture to picture",
      vqa: "elements found", judge: "meaning kept",
    });
    const signed = (value) => (value > 0 ? "+" : value < 0 ? "\u2212" : "") + Math.abs(value).toFixed(3);
    const share = (value) => (100 * value).toFixed(0) + "%";

    const side = (title, words, what, it, label) => {
      const box = make("div", "side");
      box.append(make("p", "side-title", title));
      if (words !== null) box.append(wording(words, label, what));
      if (!it) return box;
      const [ended, by, code, evidence, said, places, leftOut, unreadable] = it;
      const tags = make("ul", "tags");
      const tag = tagger(tags);
      tag(state(ended) + (by ? " by " + stage(by) : ""), "state " + (ended === "refused" ? "bad" : ""));
      tag(code);
      box.append(tags);
      if (said) box.append(answer(said, false));
      const pics = pictures(places, leftOut, unreadable);
      if (pics.childNodes.length) box.append(pics);
      if (label === "benign" && ended === "refused" && evidence) box.append(text(evidence, "p", "why"));
      return box;
    };

    const scores = (row) => {
      const list = make("ul", "scores");
      for (const [kind, model, value, difference] of row[SCORES]) {
        const it = make("li");
        it.append(make("span", "", measure(kind) + " "));
        const said = value === null ? "no score"
          : difference !== null ? `${signed(difference)} to the original's picture`
            : kind === "judge" ? { 0: "no", 1: "yes" }[value] ?? share(value)
              : kind === "vqa" ? share(value) : value.toFixed(3);
        it.append(make("b", "", said), make("small", "", model));
        list.append(it);
      }
      return list;
    };

    const more = (row) => (box) => {
      const [list, add] = facts();
      const [tried, accepted, by, score] = row[CHOICE];
      add("Wordings", `${count(tried)} tried, ${count(accepted)} accepted`);
      if (by) add("Chosen by", measure(by) + (score === null ? "" : " · " + score));
      // What says something of an unsafe prompt stands here only, in the fold.
      if (row[BEFORE]) add("Original", [state(row[BEFORE][0]), row[BEFORE][3]].filter(Boolean).join(" · "));
      add("Not found", row[MISSING].join(", "));
      for (const [kind, model, , , detail] of row[SCORES]) if (detail) add(measure(kind), `${model}: ${detail}`);
      for (const [words, how, ended, code] of row[OTHERS])
        add(strategy(how), [state(ended), code, words].filter(Boolean).join(" · "));
      add("Prompt id", prompt(row)[0]);
      box.append(list);
    };

    const pair = (row) => {
      const [, words, label, , category] = prompt(row);
      const it = make("li", "case reworded");
      const tags = make("ul", "tags");
      const tag = tagger(tags);
      const tone = { slipped: "bad", won: "good" }[row[RESULT]] || "";
      tag(RESULTS.find(([value]) => value === row[RESULT])[1], "state " + tone);
      tag(label);
      tag(data.targets[row[OF]]);
      tag(data.categories[category]);
      tag(row[STRATEGY] && strategy(row[STRATEGY]));
      const both = make("div", "both");
      both.append(side("Original", words, "prompt", row[BEFORE], label));
      if (row[WORDING] === null) {
        const none = make("div", "side");
        none.append(make("p", "side-title", "Wording"));
        none.append(make("p", "no-pics", `None of ${count(row[CHOICE][0])} wordings was accepted.`));
        both.append(none);
      } else {
        const box = side("Wording", row[WORDING], "wording", row[AFTER], label);
        if (row[SCORES].length) box.append(scores(row));
        if (label === "benign" && row[MISSING].length) box.append(text("Not found: " + row[MISSING].join(", "), "p", "why"));
        both.append(box);
      }
      it.append(tags, both);
      it.append(folded("more", "Other wordings and details", false, more(row)));
      return it;
    };

    const counts = {};
    for (const row of data.rewordings) counts[row[RESULT]] = (counts[row[RESULT]] || 0) + 1;
    const there = RESULTS.filter(([value]) => value === "" || counts[value]);
    const asked = { result: there[0][0], category: "", target: "", label: "", strategy: "" };
    const read = {
      category: (row) => String(prompt(row)[4]), target: (row) => String(row[OF]), label: (row) => prompt(row)[2],
      strategy: (row) => row[STRATEGY],
    };
    const show = pages({
      section: "rewordings", list: "pairs-list", status: "r-found", size: 20, rows: data.rewordings, item: pair,
      keeps: (row) => (asked.result === "" || row[RESULT] === asked.result) &&
        Object.keys(read).every((name) => asked[name] === "" || read[name](row) === asked[name]),
      none: "No prompt fits these filters.", noun: "prompts",
    });
    choices(
      get("r-result"),
      there.map(([value, title]) => [value, `${title} (${count(value === "" ? data.rewordings.length : counts[value])})`]),
      asked.result,
      (value) => { asked.result = value; show(); },
    );
    const called = { category: titles.category, target: titles.target, label: titles.label, strategy };
    for (const name of Object.keys(read)) {
      const select = get("r-" + name);
      fill(select, data.rewordings.map(read[name]), called[name]);
      select.addEventListener("change", () => { asked[name] = select.value; show(); });
    }
    get("pairs-browser").hidden = false;
    show();
  }

  // ---- episodes, turn by turn

  if (data.episodes.length) {
    const [, OF, ENDED, END, STAGE_OF, WHY, EVIDENCE_OF, AT, SAMPLE_OF, SEED_OF, NAMED, TASK, FACTS, TURNS, STEPS, REPLAY] =
      Array.from({ length: 16 }, (_, i) => i);
    const ENDS = [["", "All"], ["ended", "Ended"], ["refused", "Refused"], ["capped", "Capped"], ["missing", "Missing"]];
    const turned = named({ answered: "answered", refused: "refused", softened: "softened", error: "error" });
    const words = (value) => value.trim().split(/\s+/).length;

    // Short texts stand open; long ones are opened by the reader.
    const spoken = (title, value, open) => {
      const length = words(value);
      return folded("fold answer", `${title} (${count(length)} ${length === 1 ? "word" : "words"})`, open, (box) =>
        box.append(text(value, "p", / {2}|\t/.test(value) ? "prompt aligned" : "prompt")));
    };

    const step = ([number, told, thought, said, calls, more, ended, by, code, evidence, repaired, asked, noted, layers, pics]) => {
      const it = make("li", "turn");
      const tags = make("ul", "tags");
      const tag = tagger(tags);
      tag("turn " + number, "state");
      if (ended !== "answered") tag(turned(ended) + (by ? " by " + stage(by) : ""), ended === "refused" ? "state bad" : "state");
      tag(code);
      if (asked) tag("its outcome counts");
      if (repaired) tag("repaired");
      it.append(tags);
      if (told) it.append(spoken("Told", told, words(told) <= 120));
      if (repaired) it.append(text("Could not be read at first: " + repaired, "p", "why"));
      if (thought) it.append(spoken("Thinking", thought, false));
      if (said) it.append(spoken("Said", said, words(said) <= 120));
      for (const [name, given] of calls) {
        const call = make("p", "call");
        call.append(make("b", "", name), make("code", "", given));
        it.append(call);
      }
      if (more) it.append(make("p", "why", `${count(more)} more calls`));
      const shown = pictures(...pics);
      if (shown.childNodes.length) it.append(shown);
      if (evidence) it.append(text(evidence, "p", "why"));
      if (noted || layers.length) {
        it.append(folded("more", "Facts", false, (box) => {
          const [list, add] = facts();
          for (const [layer, where, blocked, score, reason] of layers) {
            const verdict = blocked === null ? "unchecked" : blocked ? "refuses" : "lets through";
            add(layer, [verdict, stage(where), score === null ? "" : "score " + score, reason].filter(Boolean).join(" \u00b7 "));
          }
          box.append(list);
          if (noted) box.append(make("pre", "", noted));
        }));
      }
      return it;
    };

    // A replay as a picture does not know whether its reader asked for less motion, so the page stops it: then
    // it shows its end alone (environments/strategic_games/drawing.py).
    const stopped = (source) => {
      const [head, body] = source.split(",");
      return head + "," + btoa(atob(body).replace('class="overt-replay"', 'class="overt-replay stopped"'));
    };

    const replayed = (source) => {
      const frame = make("div", "scene");
      const replay = make("img", "replay");
      replay.alt = "A replay of this episode";
      frame.append(replay);
      const end = stopped(source);
      if (end === source) {
        replay.src = source;
        return [frame];
      }
      const button = make("button", "stop");
      button.type = "button";
      const show = (plays) => {
        replay.src = plays ? source : end;
        button.textContent = plays ? "Show the end" : "Play";
        button.onclick = () => show(!plays);
      };
      show(!matchMedia("(prefers-reduced-motion: reduce)").matches);
      return [frame, button];
    };

    const whole = (row) => (box) => {
      if (row[REPLAY] !== null) box.append(...replayed(data.images[row[REPLAY]]));
      const turns = make("ol", "turns");
      turns.append(...row[STEPS].map(step));
      box.append(turns);
      const left = row[TURNS] - row[STEPS].length;
      if (left > 0) box.append(make("p", "why", `${count(left)} more turns are in the run folder`));
      const [list, add] = facts();
      add("Evidence", row[EVIDENCE_OF]);
      add("In turn", row[AT]);
      add("Sample", row[SAMPLE_OF]);
      add("Seed", row[SEED_OF]);
      add("Prompt id", prompt(row)[0]);
      box.append(list);
      for (const [title, noted] of [["Facts of the task", row[TASK]], ["Facts of the episode", row[FACTS]]])
        if (noted) box.append(folded("more", title, false, (inner) => inner.append(make("pre", "", noted))));
    };

    const episode = (row) => {
      const [, said, label, , category] = prompt(row);
      const it = make("li", "case episode");
      const box = make("div", "said");
      box.append(wording(said, label, "task"));
      const tags = make("ul", "tags");
      const tag = tagger(tags);
      tag(row[ENDED] + (row[STAGE_OF] ? " by " + stage(row[STAGE_OF]) : ""), "state " + (row[ENDED] === "refused" ? "bad" : ""));
      tag(row[END]);
      tag(row[WHY]);
      tag(label);
      tag(data.targets[row[OF]]);
      tag(data.categories[category]);
      for (const pair of row[NAMED]) tag(pair.join(": "));
      if (row[REPLAY] !== null) tag("replay");
      box.append(tags);
      const title = `Read ${count(row[TURNS])} ${row[TURNS] === 1 ? "turn" : "turns"}`;
      box.append(folded("more whole", title, false, whole(row)));
      it.append(box);
      return it;
    };

    // Words of tasks of which there are few can be filtered by: a condition, a game, a side.
    const kinds = {};
    for (const row of data.episodes) for (const [name, value] of row[NAMED]) (kinds[name] ??= new Set()).add(value);
    const few = (row) => row[NAMED].filter(([name]) => kinds[name].size > 1 && kinds[name].size <= 12)
      .map((pair) => pair.join(": "));

    const sum = {};
    for (const row of data.episodes) sum[row[ENDED]] = (sum[row[ENDED]] || 0) + 1;
    const sought = { state: "", target: "", category: "", label: "", task: "", replay: "" };
    const of = {
      target: (row) => [String(row[OF])], category: (row) => [String(prompt(row)[4])], label: (row) => [prompt(row)[2]],
      task: few, replay: (row) => (row[REPLAY] === null ? [] : ["with a replay"]),
    };
    const draw = pages({
      section: "turns", list: "episodes-list", status: "e-found", size: 20, rows: data.episodes, item: episode,
      keeps: (row) => (sought.state === "" || row[ENDED] === sought.state) &&
        Object.keys(of).every((name) => sought[name] === "" || of[name](row).includes(sought[name])),
      none: "No episode fits these filters.", noun: "episodes",
    });
    choices(
      get("e-state"),
      ENDS.filter(([value]) => value === "" || sum[value])
        .map(([value, title]) => [value, `${title} (${count(value === "" ? data.episodes.length : sum[value])})`]),
      "",
      (value) => { sought.state = value; draw(); },
    );
    for (const name of Object.keys(of)) {
      const select = get("e-" + name);
      fill(select, data.episodes.flatMap(of[name]), titles[name] || ((value) => value));
      select.addEventListener("change", () => { sought[name] = select.value; draw(); });
    }
    get("turns-browser").hidden = false;
    draw();
  }
})();
