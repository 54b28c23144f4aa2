// Warns before the server ends the session, and clears the page when it has. The server decides: this file only
// asks ("/session/left", which is not activity) and shows the answer.
"use strict";

(() => {
  const dialog = document.getElementById("idle");
  const leftText = document.getElementById("idle-left");
  const say = document.getElementById("idle-say");
  const stayButton = document.getElementById("idle-stay");
  const leaveButton = document.getElementById("idle-leave");
  const title = document.title;
  const tabs = "BroadcastChannel" in window ? new BroadcastChannel("portal-session") : null;
  const milestones = [60, 30, 10];
  let endsAt = 0; // by this page's own clock, from the server's "left"
  let warn = 0;
  let timer = 0;
  let queue = Promise.resolve(); // one question at a time, and none is lost: least of all "Stay signed in"
  let asked = false;

  const words = (seconds) => {
    if (seconds > 90) return `${Math.round(seconds / 60)} minutes`;
    return seconds === 1 ? "1 second" : `${seconds} seconds`;
  };

  function wait(seconds, next) {
    clearTimeout(timer);
    timer = setTimeout(next, Math.max(0, seconds * 1000));
  }

  function gone() {
    clearTimeout(timer);
    if (dialog.open) dialog.close();
    document.title = "Signed out";
    document.body.replaceChildren(); // nothing of the record stays on the screen, whatever the network does
    tabs?.postMessage("gone");
    location.replace("/signed-out");
  }

  function learn(answer) {
    endsAt = performance.now() + answer.left * 1000;
    warn = answer.warn;
    stayButton.hidden = !answer.can_stay;
    if (answer.left > answer.warn) {
      if (dialog.open) dialog.close();
      document.title = title;
      wait(answer.left - answer.warn, ask); // another tab may have been active: ask before warning
    } else {
      if (!dialog.open) {
        dialog.showModal();
        (answer.can_stay ? stayButton : leaveButton).focus();
      }
      tick();
    }
  }

  function tick() {
    const left = Math.ceil((endsAt - performance.now()) / 1000);
    if (left <= 0) {
      ask(); // only the server can say that it is over
      return;
    }
    leftText.textContent = words(left);
    document.title = `${words(left)} left · ${title}`;
    if (milestones.includes(left)) say.textContent = `You will be signed out in ${words(left)}.`;
    wait(1, tick);
  }

  async function send(path, method) {
    try {
      const response = await fetch(path, { method, cache: "no-store", headers: { Accept: "application/json" } });
      if (response.status === 401) {
        gone();
      } else if (response.ok) {
        learn(await response.json());
      } else {
        throw new Error(String(response.status));
      }
    } catch {
      // The server is out of reach. Past the end the page must not show a record: it clears itself.
      if (endsAt && performance.now() >= endsAt) gone();
      else wait(10, ask);
    }
  }

  function ask() {
    if (asked) return; // a question that waits for its turn will do
    asked = true;
    queue = queue.then(() => {
      asked = false;
      return send("/session/left", "GET");
    });
  }

  function stay() {
    queue = queue.then(() => send("/session/stay", "POST")).then(() => tabs?.postMessage("stayed"));
  }

  stayButton.addEventListener("click", stay);
  leaveButton.addEventListener("click", () => {
    document.querySelector("form.sign-out").requestSubmit();
  });
  // Escape means "I am here", which is what the button says.
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    if (!stayButton.hidden) stay();
  });
  // A computer that slept has run no timer; a tab that was hidden has run late ones.
  addEventListener("focus", ask);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) ask();
  });
  tabs?.addEventListener("message", (event) => (event.data === "gone" ? gone() : ask()));
  ask();
})();
