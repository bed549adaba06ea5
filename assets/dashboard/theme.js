// Theme choice: "auto" follows the system. Loaded render-blocking, so that the page never flashes.

const NAME = "theme";

/** @returns {"auto" | "light" | "dark"} */
export function theme() {
  const stored = localStorage.getItem(NAME);
  return stored === "light" || stored === "dark" ? stored : "auto";
}

/** @param {string} choice */
export function setTheme(choice) {
  localStorage.setItem(NAME, choice);
  show(choice);
}

/** @param {string} choice */
function show(choice) {
  if (choice === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
}

show(theme());
