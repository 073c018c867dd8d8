// Journal and wire, live: the newest first, filtered, with what was left out counted.

import { get, path } from "./api.js";
import { button, foreign, h, patch, show } from "./dom.js";
import { count, dayTime, number, size, visible } from "./format.js";
import { changed, store } from "./store.js";

export const SHOWN_ROWS = 200;
const MAX_CHOICES = 100;

const KINDS = {
  journal: {
    title: "Journal",
    about: "Every decision of the server, and by which rule it fell.",
    choices: { outcome: "Outcome", reason: "Reason", action: "Kind" },
    actor: (entry) => entry.actor,
    row: journalRow,
    looks: (entry) => `${explained.has(entry.serial)} ${explained.get(entry.serial)?.length}`,
  },
  wire: {
    title: "Wire",
    about: "Every stanza of every chat channel, decoded. Secrets and ciphertexts are lengths and hashes.",
    choices: { direction: "Direction", kind: "Kind" },
    actor: (entry) => entry.jid ?? "",
    row: wireRow,
    looks: (entry) => String(opened.has(entry.serial)),
  },
};

const explained = new Map(); // serial of a refusal → paragraphs, or null while they are asked for
const opened = new Set(); // serials of wire entries whose content is shown
const views = {};

/** Shows a log in its panel. */
export function logView(kind, parent) {
  views[kind] ??= build(kind, parent);
  fill(kind, views[kind]);
}

/** Closes what was opened last in a log; returns whether there was anything. */
export function closeLast(kind) {
  const open = kind === "journal" ? explained : opened;
  const last = [...open.keys()].pop();
  if (last === undefined) return false;
  open.delete(last);
  changed();
  return true;
}

function build(kind, parent) {
  const { title, about, choices } = KINDS[kind];
  const view = { filters: { text: "", actor: "" }, frozen: null, choices: {}, known: {} };
  const field = (name, label, placeholder) => {
    const input = h("input", { type: "search", placeholder, autocomplete: "off", spellcheck: "false" });
    input.addEventListener("input", () => {
      view.filters[name] = input.value.trim().toLowerCase();
      changed();
    });
    return h("label", { class: "field" }, h("span", {}, label), input);
  };
  const choice = (name, label) => {
    const select = h("select", {}, h("option", { value: "" }, "all"));
    select.addEventListener("change", () => {
      view.filters[name] = select.value;
      changed();
    });
    view.choices[name] = select;
    view.filters[name] = "";
    view.known[name] = new Set();
    return h("label", { class: "field" }, h("span", {}, label), select);
  };
  view.pause = button("Pause", () => {
    view.frozen = view.frozen === null ? [...store[kind]] : null;
    changed();
  }, { "aria-pressed": "false" });
  view.status = h("p", { class: "small" });
  view.rows = h("ol", { class: "rows", "aria-label": `${title}, the newest first` });
  parent.append(
    h("h2", {}, title),
    h("p", { class: "about" }, about),
    h(
      "form",
      { class: "filters", role: "search", "aria-label": `Filter the ${title.toLowerCase()}`, onsubmit: (event) => event.preventDefault() },
      field("text", "Text", "anywhere in an entry"),
      field("actor", "Actor", kind === "journal" ? "JID, operator, timer" : "JID"),
      Object.entries(choices).map(([name, label]) => choice(name, label)),
      view.pause,
    ),
    view.status,
    view.rows,
  );
  return view;
}

function fill(kind, view) {
  const log = view.frozen ?? store[kind];
  const { rows, matching } = newestMatching(kind, view, log);
  const isPaused = view.frozen !== null;
  view.pause.setAttribute("aria-pressed", String(isPaused));
  view.pause.textContent = isPaused ? "Go on" : "Pause";
  const waiting = isPaused ? ` Paused: ${count(newSince(store[kind], log), "newer entry").replace("entrys", "entries")} wait.` : "";
  view.status.textContent = `${number(rows.filter((row) => !row.gap).length)} of ${number(matching)} matching entries shown.${waiting}`;
  if (rows.length === 0) {
    show(view.rows, "none", () => h("li", { class: "empty" }, "No entry matches."));
    return;
  }
  patch(view.rows, rows, (row) => row.serial, (row) => (row.gap ? String(row.gap) : KINDS[kind].looks(row)), (row) =>
    row.gap ? gapRow(row) : KINDS[kind].row(row),
  );
}

function newSince(now, then) {
  const last = then.at(-1)?.serial ?? -1;
  return now.reduce((sum, entry) => sum + (entry.serial > last ? (entry.gap ?? 1) : 0), 0);
}

function newestMatching(kind, view, log) {
  const rows = [];
  let matching = 0;
  for (let at = log.length - 1; at >= 0; at--) {
    const entry = log[at];
    if (entry.gap) {
      const last = rows.at(-1);
      if (last?.gap) rows[rows.length - 1] = { gap: last.gap + entry.gap, serial: last.serial };
      else if (rows.length < SHOWN_ROWS) rows.push(entry);
      continue;
    }
    learn(view, entry);
    if (!matches(kind, view.filters, entry)) continue;
    matching += 1;
    if (rows.length < SHOWN_ROWS) rows.push(entry);
  }
  return { rows, matching };
}

function learn(view, entry) {
  for (const [name, known] of Object.entries(view.known)) {
    const value = entry[name];
    if (!value || known.has(value) || known.size >= MAX_CHOICES) continue;
    known.add(value);
    const options = [...known].sort().map((each) => h("option", { value: each }, visible(each)));
    const select = view.choices[name];
    select.replaceChildren(h("option", { value: "" }, "all"), ...options);
    select.value = view.filters[name];
  }
}

function matches(kind, filters, entry) {
  for (const name of Object.keys(KINDS[kind].choices)) {
    if (filters[name] !== "" && entry[name] !== filters[name]) return false;
  }
  if (filters.actor !== "" && !KINDS[kind].actor(entry).toLowerCase().includes(filters.actor)) return false;
  if (filters.text === "") return true;
  entry.searched ??= JSON.stringify({ ...entry, resume_token: "" }).toLowerCase();
  return entry.searched.includes(filters.text);
}

function gapRow({ gap }) {
  return h("li", { class: "gap" }, `${number(gap)} more in between`);
}

function journalRow(entry) {
  const isOpen = explained.has(entry.serial);
  const canExplain = entry.outcome === "refused" && entry.request_id;
  return h(
    "li",
    { class: `entry is-${entry.outcome}` },
    h("span", { class: "at" }, dayTime(entry.at_ms)),
    h("span", { class: "outcome" }, entry.outcome),
    h(
      "div",
      { class: "what" },
      h("p", {}, h("strong", {}, foreign(visible(entry.action ?? ""))), " by ", foreign(visible(entry.actor ?? "")), entry.subject && [" about ", foreign(visible(entry.subject))]),
      (entry.reason || entry.detail || entry.fault || entry.requirement) &&
        h(
          "p",
          { class: "why" },
          entry.reason && h("strong", { class: "reason" }, visible(entry.reason)),
          entry.requirement && h("span", { class: "label" }, visible(entry.requirement)),
          entry.fault && h("span", { class: "label is-fault" }, "fault ", foreign(visible(entry.fault))),
          entry.detail && foreign(visible(entry.detail)),
        ),
      isOpen && explanationView(explained.get(entry.serial)),
    ),
    canExplain &&
      button(isOpen ? "Close" : "Why?", () => explain(entry), {
        class: "explain",
        "aria-expanded": String(isOpen),
        "data-focus": `why ${entry.serial}`,
        "aria-label": `${isOpen ? "Close" : "Explain"} ${entry.reason}`,
      }),
  );
}

async function explain(entry) {
  if (explained.delete(entry.serial)) {
    changed();
    return;
  }
  explained.set(entry.serial, null);
  changed();
  let paragraphs;
  try {
    ({ paragraphs } = await get(path("refusals", entry.request_id)));
  } catch (error) {
    paragraphs = [{ heading: "It cannot be explained", text: error.message }];
  }
  if (explained.has(entry.serial)) explained.set(entry.serial, paragraphs);
  changed();
}

function explanationView(paragraphs) {
  if (paragraphs === null) return h("p", { class: "explanation" }, "Asking…");
  return h(
    "dl",
    { class: "explanation" },
    paragraphs.flatMap((each) => [h("dt", {}, foreign(visible(each.heading))), h("dd", {}, foreign(visible(each.text)))]),
  );
}

function wireRow(entry) {
  const isOpen = opened.has(entry.serial);
  const isUp = entry.direction === "to_server";
  const toggle = () => {
    if (!opened.delete(entry.serial)) opened.add(entry.serial);
    changed();
  };
  return h(
    "li",
    { class: "entry" },
    h("span", { class: "at" }, dayTime(entry.at_ms)),
    h("span", { class: `way ${isUp ? "is-up" : "is-down"}` }, isUp ? "→ server" : "← server"),
    h(
      "div",
      { class: "what" },
      h("p", {}, h("strong", {}, visible(entry.kind)), isUp ? " from " : " to ", foreign(visible(entry.jid ?? "nobody yet")), ` · ${size(entry.size_bytes)} · channel ${entry.connection}`),
      isOpen ? h("pre", { tabindex: "0" }, visible(JSON.stringify(entry.content, null, 1)).replaceAll("\\u000a", "\n")) : h("p", { class: "cut small" }, foreign(visible(JSON.stringify(entry.content)).slice(0, 300))),
    ),
    button(isOpen ? "Close" : "Open", toggle, { class: "explain", "aria-expanded": String(isOpen), "data-focus": `open ${entry.serial}` }),
  );
}
