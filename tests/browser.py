"""What tests of pages share: where Chromium is, how it is started, and how well text stands out."""

import shutil

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NO_CHROMIUM = "no Chromium is installed: Debian's package is called chromium"
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync")
WIDTHS = {"phone": 390, "desktop": 1280}

LEAST_CONTRAST = """selector => {
  const channels = text => text.match(/[\\d.]+/g).map(Number);
  const light = rgb => rgb.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [.2126, .7152, .0722][at], 0);
  const ground = element => {
    const layers = [];
    for (; element; element = element.parentElement) {
      const [r, g, b, a = 1] = channels(getComputedStyle(element).backgroundColor);
      if (a > 0) layers.push([r, g, b, a]);
      if (a === 1) break;
    }
    return layers.reduceRight((under, [r, g, b, a]) => [r, g, b].map((v, at) => v * a + under[at] * (1 - a)),
      [255, 255, 255]);
  };
  const contrast = text => {
    const ends = [light(channels(getComputedStyle(text).color).slice(0, 3)), light(ground(text))];
    const [a, b] = ends.sort((x, y) => y - x);
    return (a + .05) / (b + .05);
  };
  const texts = [...document.querySelectorAll(selector)]
    .filter(element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim() !== ""))
    .map(element => [contrast(element), element.outerHTML.slice(0, 200)]);
  return texts.reduce((least, each) => each[0] < least[0] ? each : least, [21, ""]);
}"""
"""Takes a selector of elements; returns the least contrast of their text to its ground, as WCAG has it, and where."""

TEXTS = "h1, h2, h3, p, span, dd, dt, td, th, li, code, pre, button, bdi, a, strong, summary, label"
"""Selects elements with text."""

TOO_WIDE = """() => {
  const width = document.documentElement.clientWidth;
  const scrolls = element => {
    for (let outer = element.parentElement; outer && outer !== document.body; outer = outer.parentElement)
      if (getComputedStyle(outer).overflowX !== "visible") return true;
    return false;
  };
  return [...document.body.querySelectorAll("*")].flatMap(element => {
    const place = element.getBoundingClientRect();
    return place.width && place.right >= width + 1 && !scrolls(element)
      ? [`${Math.round(place.right)} of ${width}: ${element.outerHTML.slice(0, 200)}`] : [];
  });
}"""
"""Returns what reaches beyond the right edge of the page, unless something about it scrolls or cuts it."""
