// Makes and changes elements. Text that comes from outside goes in as text only: nothing here reads markup.

const SVG = "http://www.w3.org/2000/svg";

/** Makes an element. Attributes that are false, null or undefined are left out; `onclick` and the like are listeners. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Text from outside, in an element of its own, so that its direction is its own affair. */
export function foreign(text, attributes = {}) {
  return h("bdi", { dir: "auto", ...attributes }, String(text));
}

/** A button. */
export function button(label, onclick, attributes = {}) {
  return h("button", { type: "button", onclick, ...attributes }, label);
}

/** A picture drawn with strokes, with a name for those who do not see it. */
export function drawing(name, paths, className, viewBox = "0 0 18 12") {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ viewBox, class: className, role: "img", "aria-label": name })) {
    svg.setAttribute(key, value);
  }
  for (const d of paths) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

/**
 * Has a parent show items, one child for each, and leaves alone what has not changed: so focus and selection stay.
 *
 * @param {Element} parent
 * @param {Array} items
 * @param {(item) => string} keyOf names an item; no two have the same
 * @param {(item) => string} looksOf everything that its child depends on
 * @param {(item) => Element} make
 */
export function patch(parent, items, keyOf, looksOf, make) {
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const focusName = focused?.dataset.focus;
  const old = new Map([...parent.children].map((child) => [child.patchKey, child]));
  const wanted = items.map((item) => {
    const key = keyOf(item);
    const looks = looksOf(item);
    const child = old.get(key);
    if (child !== undefined && child.patchLooks === looks) return child;
    const fresh = make(item);
    fresh.patchKey = key;
    fresh.patchLooks = looks;
    return fresh;
  });
  const kept = new Set(wanted);
  for (const child of old.values()) if (!kept.has(child)) child.remove();
  let place = parent.firstChild;
  for (const child of wanted) {
    if (child === place) place = place.nextSibling;
    else parent.insertBefore(child, place);
  }
  if (focused !== null && !focused.isConnected && focusName !== undefined) {
    [...parent.querySelectorAll("[data-focus]")].find((each) => each.dataset.focus === focusName)?.focus();
  }
}

/** Has a parent show one child, made anew only when what it depends on has changed. */
export function show(parent, looks, make) {
  patch(parent, [looks], () => "only", () => looks, make);
}
