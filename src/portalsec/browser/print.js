// A button that prints the page: <button type="button" hidden data-print>. Without scripts it stays hidden, and the
// browser's own menu prints.
"use strict";

for (const button of document.querySelectorAll("button[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}
