// Keeps what ended off the screen: a page that the browser kept whole for its back button (bfcache) is covered when it
// is left, and shown again only when the server has said that it is still this visitor's. Neither no-store nor
// Clear-Site-Data does this: Chromium shows a no-store page again after the server ended its session, and clears
// nothing of the page that was signed out from.
//
// A script element with src="/portalsec/guard.js" and data-who="..." stands in the head of every page, without defer, so
// that it is there before what it covers. data-who is `portalsec.account_pages.who` of the session that the page was made
// for. A page without one (a sign-in, a code, a mailed link) is asked for anew. data-left is where to ask
// (/session/left), which is no activity. Inline, its text has a hash for the policy: `portalsec.account_pages.guard_hash`.
"use strict";

(() => {
  const root = document.documentElement;
  const { who, left = "/session/left" } = document.currentScript.dataset;
  let at = [0, 0];

  function cover() {
    at = [scrollX, scrollY];
    root.style.setProperty("display", "none", "important"); // no rule of a page's own sheet may show it
  }

  function show() {
    root.style.removeProperty("display");
    scrollTo({ left: at[0], top: at[1], behavior: "instant" });
  }

  function anew() {
    root.replaceChildren();
    // Not reload(): that would send a form once more. Without the fragment, or the page would only scroll.
    location.replace(location.pathname + location.search);
  }

  async function ask() {
    try {
      const response = await fetch(left, {
        cache: "no-store",
        redirect: "error",
        headers: { Accept: "application/json" },
        signal: AbortSignal.timeout(8000),
      });
      const answer = response.ok ? await response.json() : {};
      if (answer.who === who) return show();
    } catch {
      // No answer is no yes.
    }
    anew();
  }

  addEventListener("pagehide", (event) => event.persisted && cover());
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    root.style.setProperty("display", "none", "important");
    if (who) ask();
    else anew();
  });
})();
