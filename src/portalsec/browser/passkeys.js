// The browser's side of passkeys: makes one, or signs in with one. The server makes every challenge and checks every
// answer; this file carries them, waits no longer than it should, and says what happened.
//
// <button type="button" hidden data-passkey="get" data-begin="/sign-in/passkey/begin" data-finish="/sign-in/passkey"
//   data-send="login next shared" data-waiting="..." ...>   is shown where the browser knows passkeys. Pressed, it posts
// the named fields of its form to data-begin, asks the authenticator ("get", or "create"), posts the answer with the
// same fields to data-finish, and goes where that says. With data-autofill the fields marked autocomplete="... webauthn"
// offer passkeys while somebody types.
//
// What it says comes from the page, so that it translates: data-waiting, -cancelled, -silent (nothing answered in
// time), -known (create: this device has one), -unfit, -insecure (the address is not the portal's), -offline, -refused,
// and -cancel, the name of the button that gives up. Words in the server's answer come first. They go into the element
// whose id data-says holds, or one after the button; it is a live region.
//
// <... data-passkey-signal='{"rpId": "...", "userId": "...", "allAcceptedCredentialIds": [...]}'> (`Passkeys.signal`) on a
// page tells the browser which passkeys are left, so that it stops offering those that were removed.
"use strict";

(() => {
  const known = window.PublicKeyCredential;
  const fits = known && isSecureContext && top === self; // in another's frame nobody can see who asks
  let running = null; // one question at a time is all that a browser allows

  // -- bytes and texts ----------------------------------------------------------------------------------------------

  const bytes = (text) =>
    Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  const text = (buffer) =>
    btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(""))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replaceAll("=", "");

  // Written out, for browsers without parseRequestOptionsFromJSON, and for extensions whose toJSON throws.
  function options(json) {
    const named = (list) => list?.map((each) => ({ ...each, id: bytes(each.id) }));
    const made = { ...json, challenge: bytes(json.challenge) };
    if (json.user) made.user = { ...json.user, id: bytes(json.user.id) };
    if (json.allowCredentials) made.allowCredentials = named(json.allowCredentials);
    if (json.excludeCredentials) made.excludeCredentials = named(json.excludeCredentials);
    return made;
  }

  function asJson(credential) {
    const { id, rawId, type, authenticatorAttachment, response } = credential;
    const { credProps } = credential.getClientExtensionResults();
    const found = {};
    for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
      // A registration has an authenticatorData too, inside the attestation: the server reads that one.
      if (name === "authenticatorData" && found.attestationObject) continue;
      if (response[name]) found[name] = text(response[name]);
    }
    if (found.attestationObject) found.transports = response.getTransports?.() ?? [];
    const clientExtensionResults = credProps ? { credProps } : {};
    return { id, rawId: text(rawId), type, authenticatorAttachment, response: found, clientExtensionResults };
  }

  // -- one ceremony -------------------------------------------------------------------------------------------------

  class Said extends Error {} // with words for the visitor

  async function post(address, fields, signal) {
    const response = await fetch(address, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify(fields),
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      signal,
    });
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    if (answer.go) go(answer.go); // something else comes first
    throw new Said(typeof answer.words === "string" ? answer.words : "");
  }

  function go(path) {
    const target = new URL(path, location.href);
    if (target.origin !== location.origin) throw new Said("");
    location.assign(target);
  }

  function watch(button) {
    const { passkey: kind, begin, finish, send = "", says: saysId = "" } = button.dataset;
    const words = button.dataset;
    let says = document.getElementById(saysId);
    if (!says) button.after((says = document.createElement("p")));
    says.setAttribute("role", "status");
    says.setAttribute("aria-live", "polite");
    const cancel = document.createElement("button");
    cancel.type = "button";
    cancel.className = "quiet passkey-cancel";
    cancel.textContent = words.cancel || "✕";
    cancel.hidden = true;
    button.after(cancel);
    button.hidden = false;

    const names = send.split(/\s+/).filter(Boolean);

    function fields() {
      const found = { page: location.pathname };
      for (const name of names) {
        const field = button.form?.elements.namedItem(name);
        if (field && field.type !== "password" && (field.type !== "checkbox" || field.checked)) found[name] = field.value;
      }
      return found;
    }

    function busy(yes) {
      button.setAttribute("aria-busy", String(yes));
      button.setAttribute("aria-disabled", String(yes));
      cancel.hidden = !yes;
    }

    function why(error, late) {
      if (error instanceof Said) return error.message || words.refused;
      if (late) return words.silent;
      const named = {
        InvalidStateError: words.known,
        SecurityError: words.insecure,
        NotSupportedError: words.unfit,
        ConstraintError: words.unfit,
        TypeError: words.offline,
      };
      return named[error.name] ?? words.cancelled;
    }

    let autofills = false; // the page asks for it, and the browser can

    async function run(mediation) {
      const quiet = mediation === "conditional";
      running?.abort();
      const mine = (running = new AbortController());
      let late = false;
      let timer = 0;
      let chosen = !quiet;
      try {
        if (!quiet) {
          busy(true);
          says.textContent = words.waiting || "";
        }
        const asked = await post(begin, quiet ? { ...fields(), login: "", autofill: "yes" } : fields(), mine.signal);
        const publicKey = options(asked.options);
        // A browser without an authenticator may never answer: the wait is ours to end, as long as the challenge lives.
        timer = setTimeout(() => {
          late = true;
          mine.abort();
        }, publicKey.timeout || 120_000);
        const request = { publicKey, signal: mine.signal };
        if (quiet) request.mediation = mediation;
        const given = new Promise((_, no) => mine.signal.addEventListener("abort", () => no(mine.signal.reason)));
        const credential = await Promise.race([navigator.credentials[kind](request), given]);
        chosen = true;
        clearTimeout(timer);
        if (quiet) says.textContent = words.waiting || "";
        const response = JSON.stringify(asJson(credential));
        go((await post(finish, { ...fields(), response }, mine.signal)).go);
        return;
      } catch (error) {
        clearTimeout(timer);
        if (running !== mine) return; // a newer question took its place
        running = null;
        if (chosen) {
          says.textContent = why(error, late) || "";
          if (!quiet && !cancel.hidden && document.activeElement === cancel) button.focus();
        }
        if (quiet && !late && !chosen) return; // the browser does not want to: it is not asked again
      } finally {
        if (!quiet) busy(false);
      }
      offer();
    }

    function offer() {
      if (autofills && !document.hidden && !running) run("conditional");
    }

    button.addEventListener("click", () => cancel.hidden && run());
    cancel.addEventListener("click", () => running?.abort());
    addEventListener("pagehide", () => running?.abort());
    // A password is on its way: an answer to this file's question must not take the place of its pending sign-in.
    // Where the form is for the passkey alone, Enter in one of its fields presses the button.
    const alone = !button.form?.querySelector("button:not([type=button]), input[type=submit]");
    button.form?.addEventListener("submit", (event) => {
      running?.abort();
      if (!alone) return;
      event.preventDefault();
      button.click();
    });
    if (!("autofill" in words)) return;
    known.isConditionalMediationAvailable?.().then((can) => {
      if (!can) return;
      autofills = true;
      offer();
      document.addEventListener("visibilitychange", offer);
      // What the form says goes along at the beginning: "this is a shared computer" ticked later begins anew.
      button.form?.addEventListener("change", ({ target }) => {
        if (running && cancel.hidden && target.type === "checkbox" && names.includes(target.name)) run("conditional");
      });
    });
  }

  async function signal(told) {
    try {
      await known.signalAllAcceptedCredentials?.(JSON.parse(told));
    } catch {
      // A courtesy: the server refuses what was removed in any case.
    }
  }

  if (!fits) return;
  for (const button of document.querySelectorAll("button[data-passkey]")) watch(button);
  for (const told of document.querySelectorAll("[data-passkey-signal]")) signal(told.dataset.passkeySignal);
})();
