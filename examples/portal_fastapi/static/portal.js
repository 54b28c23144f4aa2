// Small helps that the pages work without: focus on what needs reading first, and a button that shows a password.
"use strict";

document.querySelector("[data-focus]")?.focus();

for (const input of document.querySelectorAll("input[data-reveal]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "reveal";
  const show = (visible) => {
    input.type = visible ? "text" : "password";
    button.textContent = visible ? "Hide password" : "Show password";
    button.setAttribute("aria-pressed", String(visible));
  };
  button.addEventListener("click", () => show(input.type === "password"));
  // Typed in the clear it would be offered again by the browser's form history.
  input.form.addEventListener("submit", () => show(false));
  button.setAttribute("aria-controls", input.id);
  show(false);
  input.after(button);
}
