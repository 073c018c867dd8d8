// The operator's side: time, faults, messengers.

import { act, path } from "./api.js";
import { button, foreign, h, patch, show } from "./dom.js";
import { dateTime, number, visible, word } from "./format.js";
import { readState } from "./live.js";
import { changed, isInControl, store } from "./store.js";

export const EXAMPLE_FAULT = `# The next message on its way to a phone is held until you release it.
[[faults]]
name = "held"
times = 1
match = { stanza = "message", direction = "to_client" }
hold = {}
`;
const STEPS = { "1h": "1 hour", "1d": "1 day", "30d": "30 days" };

const time = { isMoving: false, fired: null };

async function tell(url, body) {
  const answer = await act(url, body);
  readState();
  return answer;
}

/** The simulator's time now, in milliseconds since the UNIX epoch. */
export function now() {
  const { clock } = store.state;
  const passed = clock.is_frozen || clock.move !== null ? 0 : performance.now() - store.stateAt;
  return clock.now_ms + passed;
}

/** The panel about time. */
export function timeView(parent) {
  const { clock } = store.state;
  const looks = JSON.stringify([clock.is_frozen, clock.move, time, isInControl()]);
  if (parent.childElementCount === 0) {
    parent.append(
      h("h2", {}, "Time"),
      h("p", { class: "about" }, "The simulator's clock. What falls due on the way of a move is done, in order, before the move ends."),
      h("p", { class: "big-clock", role: "timer", "aria-label": "Time of the simulator" }),
      h("div"),
      h("div"),
    );
  }
  const [, , face, state, controls] = parent.children;
  face.textContent = `${dateTime(now())} UTC`;
  show(state, looks, () => clockState(clock));
  show(controls, JSON.stringify([isInControl(), clock.is_frozen]), () => (isInControl() ? clockControls(clock) : h("div", { hidden: true })));
}

function clockState({ is_frozen, move }) {
  const fired = time.fired?.map((each) => `${word(each.name)} × ${number(each.count)}`).join(", ");
  return h(
    "div",
    { role: "status" },
    h("p", {}, h("span", { class: `label ${is_frozen ? "is-frozen" : ""}` }, is_frozen ? "frozen" : "running")),
    (move !== null || time.isMoving) && h("div", { class: "under-way" }, h("p", {}, h("strong", {}, "Under way"), moveWords(move))),
    time.fired !== null && h("p", {}, h("strong", {}, "What fell due: "), fired === "" ? "nothing." : foreign(`${fired}.`)),
  );
}

function moveWords(move) {
  if (move === null) return "";
  const work = move.work ? `, at work on ${word(move.work)}: ${number(move.done ?? 0)} done` : "";
  return `, from ${dateTime(move.from_ms)} to ${dateTime(move.to_ms)}${work}`;
}

function clockControls(clock) {
  const by = h("input", { type: "text", value: "90m", "aria-label": "How far, such as 90m, 12h or 45d", autocomplete: "off", spellcheck: "false" });
  const advance = async (how) => {
    Object.assign(time, { isMoving: true, fired: null });
    changed();
    const answer = await tell("/api/clock", { do: "advance", by: how });
    Object.assign(time, { isMoving: false, fired: answer?.fired ?? null });
    changed();
  };
  return h(
    "div",
    { class: "controls" },
    h("div", { class: "row" }, clock.is_frozen ? button("Resume", () => tell("/api/clock", { do: "resume" })) : button("Freeze", () => tell("/api/clock", { do: "freeze" }))),
    h("div", { class: "row", role: "group", "aria-label": "Advance" }, Object.entries(STEPS).map(([step, label]) => button(`+ ${label}`, () => advance(step)))),
    h("form", { class: "row", onsubmit: (event) => (event.preventDefault(), advance(by.value.trim())) }, by, h("button", { type: "submit" }, "Advance")),
  );
}

/** The panel about faults. */
export function faultsView(parent) {
  if (parent.childElementCount === 0) {
    parent.append(
      h("h2", {}, "Faults"),
      h("p", { class: "about" }, "Ordered to, the server does wrong: it refuses, loses, delays, repeats, forges. What a fault did stands in the journal."),
      h("div", { class: "cards" }),
      h("div"),
    );
  }
  const [, , cards, controls] = parent.children;
  const { faults } = store.state;
  const control = isInControl();
  if (faults.length > 0) patch(cards, faults, (fault) => fault.name, (fault) => JSON.stringify([fault, control]), faultCard);
  else show(cards, "none", () => h("p", { class: "empty" }, "No faults: the server keeps all rules."));
  show(controls, JSON.stringify([control, faults.length > 1]), () => (control ? faultControls(faults.length > 1) : h("div", { hidden: true })));
}

function faultCard(fault) {
  const { name, action, matched, fired, held, rule } = fault;
  const told = { ...rule };
  delete told.name;
  return h(
    "article",
    { class: "card" },
    h("h3", {}, foreign(visible(name)), h("span", { class: "label" }, word(action ?? ""))),
    h("dl", { class: "figures" }, Object.entries({ Matched: matched, Fired: fired, Held: held }).map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, number(value))))),
    h("pre", { tabindex: "0" }, visible(JSON.stringify(told, null, 1)).replaceAll("\\u000a", "\n")),
    isInControl() &&
      h(
        "div",
        { class: "row" },
        held > 0 && button("Release", () => tell("/api/faults", { do: "release", name }), { "data-focus": `release ${name}` }),
        button("Clear", () => tell("/api/faults", { do: "clear", name }), { "data-focus": `clear ${name}`, "aria-label": `Clear the fault ${name}` }),
      ),
  );
}

function faultControls(hasSeveral) {
  const text = h("textarea", { rows: "7", spellcheck: "false", autocomplete: "off", "aria-label": "Faults in TOML", class: "code" });
  text.value = EXAMPLE_FAULT;
  return h(
    "form",
    { class: "controls", onsubmit: (event) => (event.preventDefault(), tell("/api/faults", { do: "add", toml: text.value })) },
    h("h3", {}, "Add faults, in TOML"),
    text,
    h(
      "div",
      { class: "row" },
      h("button", { type: "submit", class: "primary" }, "Add"),
      hasSeveral && button("Clear all", () => tell("/api/faults", { do: "clear" })),
    ),
  );
}

/** The panel about messengers. */
export function messengersView(parent) {
  if (parent.childElementCount === 0) {
    parent.append(
      h("h2", {}, "Messengers"),
      h("p", { class: "about" }, "The third-party messengers that are registered, and the newest pushes that the ready-made one got."),
      h("div", { class: "cards" }),
      h("h3", {}, "Newest pushes"),
      h("ol", { class: "pushes" }),
    );
  }
  const [, , cards, , pushes] = parent.children;
  const { partners, pushes: sent } = store.state;
  const control = isInControl();
  if (partners.length > 0) patch(cards, partners, (each) => each.integrator, (each) => JSON.stringify([each, control]), partnerCard);
  else show(cards, "none", () => h("p", { class: "empty" }, "No messenger is registered."));
  show(pushes, JSON.stringify(sent), () => h("li", { class: "holder" }, pushesView(sent)));
}

function partnerCard(partner) {
  const url = path("partners", partner.integrator);
  const isActive = partner.status === "active";
  const facts = { Issuer: partner.issuer, Server: partner.base_url, Push: partner.push_url, Media: partner.media_url };
  return h(
    "article",
    { class: "card" },
    h("h3", {}, foreign(visible(partner.name ?? "")), h("span", { class: `label ${isActive ? "is-good" : "is-bad"}` }, word(partner.status))),
    h("dl", { class: "pairs" }, h("div", {}, h("dt", {}, "Integrator"), h("dd", {}, String(partner.integrator))), Object.entries(facts).filter(([, value]) => value).map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, foreign(visible(value)))))),
    isInControl() &&
      h(
        "div",
        { class: "row" },
        isActive
          ? button("Suspend", () => tell(url, { do: "suspend" }), { "data-focus": `status ${partner.integrator}` })
          : button("Resume", () => tell(url, { do: "resume" }), { "data-focus": `status ${partner.integrator}` }),
        button("Fetch its keys anew", () => tell(url, { do: "refresh" }), { "data-focus": `keys ${partner.integrator}` }),
      ),
  );
}

function pushesView(pushes) {
  if (pushes.length === 0) return h("p", { class: "empty" }, "None yet: a push goes to whoever is offline.");
  return h("ul", {}, pushes.map((push) => h("li", {}, h("span", { class: "at" }, dateTime(push.at_ms)), " for ", foreign(visible(push.user)))));
}
