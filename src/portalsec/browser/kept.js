// Keeps what somebody typed and had not sent when their session ended (session.js says when), and puts it back when they
// return to the same page: never on a shared computer, never passwords, codes and card numbers, nor anything inside
// [data-keep=no]. It lies in this tab's sessionStorage, sealed (AES-GCM) under a key that the server gives to live
// sessions of one account only: whoever finds the signed-out screen can read nothing of it.
//
// The note above the form says data-back of the dialog of session.js; it is a live region.
"use strict";

(() => {
  const dialog = document.querySelector("dialog[data-session]");
  if (!dialog || !window.crypto?.subtle) return;
  const slot = `portalsec-kept:${location.pathname}`;
  const bound = { name: "AES-GCM", additionalData: new TextEncoder().encode(`${dialog.dataset.who} ${slot}`) };
  const most = 200_000; // bytes; browsers give a tab about five million
  let shared = false;
  let key = null; // a promise of it

  function* fields() {
    const count = {};
    for (const field of document.querySelectorAll("textarea, input")) {
      const name = `${field.form?.getAttribute("action") ?? ""} ${field.name || field.id}`;
      count[name] = (count[name] ?? 0) + 1;
      const text = field.localName === "textarea" || /^(text|search|email|tel|url|number|date|time)$/.test(field.type);
      const secret = /password|one-time-code|cc-/.test(field.autocomplete) || "reveal" in field.dataset;
      if (text && !secret && !field.closest("[data-keep=no]")) yield [`${name} ${count[name]}`, field];
    }
  }

  async function seal(texts) {
    const to = await key;
    const iv = crypto.getRandomValues(new Uint8Array(12));
    const plain = new TextEncoder().encode(JSON.stringify(texts));
    if (!to || plain.length > most) return;
    const sealed = new Uint8Array(await crypto.subtle.encrypt({ ...bound, iv }, to, plain));
    sessionStorage.setItem(slot, JSON.stringify([[...iv], [...sealed]]));
  }

  async function open(from) {
    const kept = sessionStorage.getItem(slot);
    if (!kept) return;
    sessionStorage.removeItem(slot); // another account's opens under no key of this one
    const [iv, sealed] = JSON.parse(kept).map((each) => new Uint8Array(each));
    const plain = await crypto.subtle.decrypt({ ...bound, iv }, from, sealed);
    const texts = new Map(JSON.parse(new TextDecoder().decode(plain)));
    let first = null;
    for (const [name, field] of fields()) {
      if (!texts.has(name) || field.value !== field.defaultValue) continue;
      field.value = texts.get(name);
      field.dispatchEvent(new Event("input", { bubbles: true }));
      first ??= field;
    }
    if (!first) return;
    const note = document.createElement("p");
    note.setAttribute("role", "status");
    note.className = "session-back";
    (first.form ?? first).before(note);
    note.textContent = dialog.dataset.back || "";
  }

  async function begin(text) {
    try {
      const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
      const made = await crypto.subtle.importKey("raw", bytes, "AES-GCM", false, ["encrypt", "decrypt"]);
      open(made).catch(() => {}); // what nobody can read is gone
      return made;
    } catch {
      return null; // no key, nothing is kept
    }
  }

  document.addEventListener("portalsec:session", ({ detail }) => {
    shared = Boolean(detail.shared);
    if (detail.key && !shared) key ??= begin(detail.key);
  });
  document.addEventListener("portalsec:end", ({ detail }) => {
    const texts = [...fields()].filter(([, f]) => f.value !== f.defaultValue).map(([name, f]) => [name, f.value]);
    if (key && !shared && texts.length) detail.until(seal(texts));
  });
})();
