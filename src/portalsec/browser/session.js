// Warns before the server ends the session, over all tabs, and clears the screen when it has ended. The server decides:
// this file only asks, which is no activity, and shows the answer. What somebody does in the page is no activity
// either, except pressing "stay": a page cannot know who is sitting there.
//
// <dialog data-session data-who="..." data-ended="/signed-out" data-title="{left} left" data-back="Your text is back."
//   aria-labelledby="..." aria-describedby="..."> holds the words, so that they translate: each element with data-idle
// or data-limit gets that text, with {left} and {limit} (a time of day) filled in in the language of the page.
// [data-session-say] is the live region, [data-session-stay] and [data-session-leave] are the buttons; data-who is
// `portalsec.account_pages.who`, data-left and data-stay are the addresses to ask (/session/left, /session/stay).
//
// Two events on the document let others take part (kept.js does): "portalsec:session" with the server's answer each
// time it says that the session lives, and "portalsec:end" right before the screen is cleared. Its detail.until takes a
// promise that the way to the signed-out page waits for, at most a second.
"use strict";

(() => {
  const dialog = document.querySelector("dialog[data-session]");
  if (!dialog) return;
  const { who, ended = "/signed-out", left: askAt = "/session/left", stay: stayAt = "/session/stay" } = dialog.dataset;
  const part = (name) => dialog.querySelector(`[data-session-${name}]`);
  const [say, stayButton, leaveButton] = ["say", "stay", "leave"].map(part);
  const signOut = () => document.querySelector('form[action$="/sign-out"]');
  const tabs = "BroadcastChannel" in window ? new BroadcastChannel("portalsec-session") : null;
  const language = document.documentElement.lang || undefined;
  const title = document.title;
  const root = document.documentElement;
  const milestones = [120, 60, 30, 10];

  let known = null; // the server's last answer, and this page's two clocks when it came
  let timer = 0;
  let queue = Promise.resolve(); // one question at a time, and none is lost: least of all "stay"
  let waiting = false;
  let over = false;
  let seen = 0; // how often somebody closed the warning of the absolute limit
  let said = Infinity;

  // -- how much is left ---------------------------------------------------------------------------------------------

  // One clock stands still while the computer sleeps, the other may be set back: whichever ran further is believed.
  function elapsed() {
    return Math.max(0, performance.now() - known.ticks, Date.now() - known.wall) / 1000;
  }

  function standing() {
    const gone = elapsed();
    const idle = known.idle - gone;
    const limit = known.absolute - gone;
    const left = Math.min(idle, limit);
    // The limit is told early, since nothing lengthens it; once read it may be put away until the end is near.
    const early = [known.warn_absolute, Math.min(60, known.warn_absolute), 0][seen];
    const kind = idle < limit && idle <= known.warn ? "idle" : limit <= early ? "limit" : "";
    return { kind, left: kind === "limit" ? limit : left, limit, over: left <= 0 };
  }

  function words(seconds) {
    const minutes = seconds > 90;
    const unit = { style: "unit", unit: minutes ? "minute" : "second", unitDisplay: "long" };
    return new Intl.NumberFormat(language, unit).format(minutes ? Math.round(seconds / 60) : seconds);
  }

  function clock(seconds) {
    const at = new Date(Date.now() + seconds * 1000);
    return at.toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit" });
  }

  // -- what is shown ------------------------------------------------------------------------------------------------

  function cover(yes) {
    if (yes) root.style.setProperty("display", "none", "important");
    else root.style.removeProperty("display");
  }

  function write(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function draw({ kind, left, limit }) {
    const seconds = Math.max(1, Math.ceil(left));
    const filled = (text) => text.replace("{left}", words(seconds)).replace("{limit}", clock(limit));
    for (const element of dialog.querySelectorAll("[data-idle], [data-limit]")) {
      if (element !== say) write(element, filled(element.dataset[kind] ?? ""));
    }
    document.title = `${filled(dialog.dataset.title || "{left}")} · ${title}`;
    if (!dialog.open) {
      said = seconds; // opening reads the words out
      dialog.showModal();
      stayButton.focus();
      return;
    }
    const next = milestones.find((each) => each < said && each >= seconds);
    if (next === undefined) return;
    said = Math.min(...milestones.filter((each) => each >= seconds));
    if (!document.hidden) write(say, filled(say.dataset[kind] ?? ""));
  }

  function put() {
    if (!dialog.open) return;
    dialog.close();
    document.title = title;
    say.textContent = "";
  }

  // Every few seconds, however few: a timer that a hidden tab or a sleep made late finds the truth in the clocks.
  function look(fresh = false) {
    clearTimeout(timer);
    if (over) return;
    const now = known && standing();
    if (!now || now.over) {
      if (known) cover(true); // by all that this page knows it is over; only the server can say
      if (!fresh) ask();
    } else if (!now.kind) {
      put();
    } else if (fresh || dialog.open) {
      draw(now);
    } else {
      ask(); // another tab may have been active: ask before warning
    }
    timer = setTimeout(look, dialog.open ? 1000 : 5000);
  }

  // -- asking -------------------------------------------------------------------------------------------------------

  function learn(answer, wall = Date.now()) {
    if (over) return;
    if (answer.who !== who) return gone(); // somebody else has signed in in this browser
    known = { ...answer, wall, ticks: performance.now() - Math.max(0, Date.now() - wall) };
    if (known.absolute > known.warn_absolute) seen = 0;
    if (!standing().over) cover(false);
    document.dispatchEvent(new CustomEvent("portalsec:session", { detail: answer }));
    look(true);
  }

  async function send(path, method) {
    let response = null;
    try {
      for (const pause of [0, 400]) {
        // Twice: the first may have gone out with the id that another tab's request was just replacing.
        if (pause) await new Promise((done) => setTimeout(done, pause));
        response = await fetch(path, {
          method,
          cache: "no-store",
          redirect: "error",
          headers: { Accept: "application/json" },
          signal: AbortSignal.timeout(8000),
        });
        if (response.status !== 401) break;
      }
      if (response.status === 401) return gone();
      if (response.status === 403) {
        const { step_up: stepUp } = await response.json();
        if (stepUp) return gone(stepUp); // it lives, and must show a factor before it shows anything
      }
      if (!response.ok) throw new Error(String(response.status));
      const answer = await response.json();
      tabs?.postMessage({ answer, wall: Date.now() });
      learn(answer);
    } catch {
      // Out of reach. Past the end no record may be on the screen; until then the page counts on by itself.
      if (known && standing().over) gone();
      else look(true);
    }
  }

  function ask() {
    if (waiting || over) return; // a question that waits for its turn will do
    waiting = true;
    queue = queue.then(() => {
      waiting = false;
      return over ? null : send(askAt, "GET");
    });
  }

  function stay() {
    if (known && standing().kind === "limit") seen = Math.min(2, seen + 1); // it was read, and stays where it is
    queue = queue.then(() => (over ? null : send(stayAt, "POST")));
  }

  async function gone(to = ended) {
    if (over) return;
    over = true;
    clearTimeout(timer);
    const until = [];
    document.dispatchEvent(new CustomEvent("portalsec:end", { detail: { until: (each) => until.push(each) } }));
    dialog.close();
    document.title = (to === ended && dialog.dataset.endedTitle) || new URL(to, location.href).pathname;
    document.body.replaceChildren(); // nothing stays on the screen, whatever the network does
    cover(false);
    tabs?.postMessage({ ask: true });
    await Promise.race([Promise.allSettled(until), new Promise((done) => setTimeout(done, 1000))]);
    const back = known?.shared ? "" : `?next=${encodeURIComponent(location.pathname + location.search)}`;
    location.replace(to + back);
  }

  // -- what moves it ------------------------------------------------------------------------------------------------

  stayButton.addEventListener("click", stay);
  leaveButton.addEventListener("click", () => signOut()?.requestSubmit());
  // Escape means "I am here", which is what the button says; a browser may close the dialog without asking.
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    stay();
  });
  dialog.addEventListener("close", () => {
    if (!over && known && standing().kind) stay();
  });
  // After a sleep a button may be pressed before any timer ran: what was typed must not go into a closed door.
  addEventListener(
    "submit",
    (event) => {
      if (event.target === signOut()) tabs?.postMessage({ leaving: true });
      else if (known && standing().over) {
        event.preventDefault();
        look();
      }
    },
    true,
  );
  for (const name of ["focus", "online", "pageshow"]) addEventListener(name, ask);
  document.addEventListener("resume", ask);
  document.addEventListener("visibilitychange", () => document.hidden || ask());
  tabs?.addEventListener("message", ({ data }) => {
    if (data.answer?.who === who) learn(data.answer, data.wall);
    else if (data.leaving) for (const later of [1000, 4000]) setTimeout(ask, later);
    else ask();
  });
  look();
})();
