// Says how good a password is while somebody types it, in the server's words: the server decides, this file only asks.
//
// <input type="password" data-strength>  asks POST /password/strength (or the path that data-strength holds) on this
// origin, a moment after the last key. The page's path and the fields login, email and name of the same form go along:
// with them the server knows whose password it will be. The answer,
// {"score": 0 to 4 or null, "words": "...", "problems": ["..."], "advice": ["..."]}, is shown after the field, or in
// the element whose id data-strength-into holds. Whatever goes wrong (429, 5xx, no network, no scripts) nothing is said
// and the form works as ever. Nothing is logged or stored, and no inline script or style is needed.
"use strict";

(() => {
  const PAUSE = 350; // milliseconds after the last key
  const ALONG = ["login", "email", "name"];
  let made = 0;

  function watch(input) {
    const address = new URL(input.dataset.strength || "/password/strength", location.href);
    if (address.origin !== location.origin) return; // a password goes nowhere else

    const box = document.createElement("div");
    const bar = document.createElement("meter");
    const says = document.createElement("div");
    box.className = "strength";
    bar.className = "strength-bar";
    says.className = "strength-says";
    bar.min = 0;
    bar.max = 4;
    bar.low = 2;
    bar.high = 3;
    bar.optimum = 4;
    bar.hidden = true;
    bar.setAttribute("aria-hidden", "true"); // the words beside it say the same, without colour
    says.id = `strength-${(made += 1)}`;
    says.setAttribute("role", "status");
    says.setAttribute("aria-live", "polite");
    box.append(bar, says);
    const place = document.getElementById(input.dataset.strengthInto || "");
    if (place) place.append(box);
    else input.after(box);
    const described = input.getAttribute("aria-describedby");
    input.setAttribute("aria-describedby", described ? `${described} ${says.id}` : says.id);

    let timer = 0;
    let asking = null;
    let quietUntil = 0;
    let shown = "";

    function show(answer) {
      const lines = answer ? [...answer.problems, ...answer.advice] : [];
      bar.hidden = !answer;
      if (answer) bar.value = answer.score;
      const text = answer ? [answer.words, ...lines].join("\n") : "";
      if (text === shown) return; // or a screen reader would say it again
      shown = text;
      says.replaceChildren();
      if (!answer) return;
      const word = document.createElement("strong");
      word.textContent = answer.words;
      says.append(word);
      if (lines.length === 0) return;
      const list = document.createElement("ul");
      for (const line of lines) list.appendChild(document.createElement("li")).textContent = line;
      says.append(list);
    }

    function stop() {
      clearTimeout(timer);
      asking?.abort();
      asking = null;
    }

    function asText(value) {
      return Array.isArray(value) && value.every((line) => typeof line === "string");
    }

    async function ask() {
      const mine = (asking = new AbortController());
      const body = { password: input.value, page: location.pathname };
      for (const name of ALONG) {
        const field = input.form?.elements.namedItem(name);
        if (field && field !== input && typeof field.value === "string" && field.value) body[name] = field.value;
      }
      let answer = null;
      try {
        const response = await fetch(address, {
          method: "POST",
          headers: { "Content-Type": "application/json", Accept: "application/json" },
          body: JSON.stringify(body),
          credentials: "same-origin",
          cache: "no-store",
          redirect: "error",
          referrerPolicy: "no-referrer", // mode stays "cors": with another, Origin would be null
          signal: mine.signal,
        });
        if (response.status === 429) {
          const wait = Number(response.headers.get("Retry-After"));
          quietUntil = performance.now() + 1000 * Math.min(Math.max(wait || 0, 5), 300);
        } else if (response.ok) {
          const read = await response.json();
          const known = Number.isInteger(read.score) && typeof read.words === "string";
          if (known && asText(read.problems) && asText(read.advice)) answer = read;
        }
      } catch {
        // No network, no JSON, or a newer key was pressed: there is nothing to say.
      }
      if (asking !== mine) return; // stale: a newer question is on its way
      asking = null;
      show(answer);
    }

    function typed() {
      stop();
      if (!input.value) show(null);
      else if (performance.now() < quietUntil) show(null);
      else timer = setTimeout(ask, PAUSE);
    }

    function forget() {
      stop();
      show(null);
    }

    input.addEventListener("input", (event) => event.isComposing || typed());
    input.addEventListener("compositionend", typed);
    input.form?.addEventListener("submit", stop);
    input.form?.addEventListener("reset", forget);
    addEventListener("pagehide", forget);
  }

  for (const input of document.querySelectorAll("input[data-strength]")) watch(input);
})();
