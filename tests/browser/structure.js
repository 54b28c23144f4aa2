// What a reader with a keyboard, a screen reader or a small screen needs of every page, as a list of complaints.
() => {
  const complaints = [];
  const say = (text, element) => complaints.push(`${text}: ${element ? element.outerHTML.slice(0, 120) : ""}`);
  const shown = (element) => element.checkVisibility({ checkOpacity: false, checkVisibilityCSS: true });

  if (!document.documentElement.lang) say("the page names no language");
  if (!document.title.trim()) say("the page has no title");
  const main = document.querySelectorAll("main");
  if (main.length !== 1) say(`the page has ${main.length} main landmarks`);
  const h1 = document.querySelectorAll("h1");
  if (h1.length !== 1) say(`the page has ${h1.length} h1`);
  let level = 0;
  for (const heading of [...document.querySelectorAll("main h1, main h2, main h3")].filter(shown)) {
    const now = Number(heading.tagName[1]);
    if (now > level + 1 && level !== 0) say("a heading skips a level", heading);
    level = now;
  }
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) say(`the id ${id} comes twice`);
  for (const element of document.querySelectorAll("[aria-describedby], [aria-labelledby], [aria-controls]")) {
    for (const name of ["aria-describedby", "aria-labelledby", "aria-controls"]) {
      for (const id of (element.getAttribute(name) || "").split(/\s+/).filter(Boolean)) {
        if (!document.getElementById(id)) say(`${name} points at nothing (${id})`, element);
      }
    }
  }
  for (const input of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (!input.labels.length && !input.getAttribute("aria-label")) say("an input has no label", input);
    if (shown(input) && !input.getAttribute("autocomplete")) say("an input says nothing to autofill", input);
  }
  for (const control of document.querySelectorAll("a[href], button")) {
    const name = control.getAttribute("aria-label") || control.textContent.trim();
    if (!name) say("a control has no name", control);
    if (shown(control)) {
      const box = control.getBoundingClientRect();
      const inText = control.tagName === "A" && getComputedStyle(control).display === "inline";
      // WCAG 2.2, 2.5.8: 24 by 24 CSS pixels, links in text excepted
      if (!inText && box.width > 0 && box.height < 24) say(`a control is ${box.height} pixels high`, control);
    }
  }
  for (const image of document.querySelectorAll("img")) {
    if (!image.hasAttribute("alt")) say("an image has no alt", image);
  }
  for (const element of document.querySelectorAll("[tabindex]")) {
    if (element.tabIndex > 0) say("a tabindex changes the order", element);
  }
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (wide > 0) say(`the page scrolls sideways by ${wide} pixels`);

  // WCAG 2.2, 1.4.3: text on its background, 4.5 to 1 (3 to 1 where it is large).
  const parse = (text) => {
    const parts = text.match(/[\d.]+/g).map(Number);
    return parts.length === 3 ? [...parts, 1] : parts;
  };
  const luminance = ([r, g, b]) => {
    const part = [r, g, b].map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2];
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour[3] > 0) return colour;
    }
    return [255, 255, 255, 1];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !shown(element) || element.closest("svg, script")) continue;
    const style = getComputedStyle(element);
    const [one, two] = [luminance(parse(style.color)), luminance(behind(element))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (two + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) say(`text has a contrast of ${ratio.toFixed(2)}`, element);
  }
  return complaints;
}
