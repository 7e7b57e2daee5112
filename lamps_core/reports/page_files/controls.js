// Buttons of a page: the theme, and copying what stands in a box. Know nothing of what the page shows.

const THEMES = ["system", "light", "dark"];

/** Let the reader overrule the system's light or dark; kept for the next page where the browser allows it. */
function startTheme() {
  const button = document.getElementById("theme");
  const dress = (theme) => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  let theme = remembered("lamps-theme");
  if (!THEMES.includes(theme)) theme = "system";
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    remember("lamps-theme", theme);
    dress(theme);
  });
  dress(theme);
  button.hidden = false;
}

// A page opened from a disk, or in a private window, may be refused a storage.
function remembered(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // The choice holds until the page is closed.
  }
}

/** Buttons with `data-copy`, the id of an element, copy its text. */
function startCopying() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    const label = button.textContent;
    button.addEventListener("click", async () => {
      button.textContent = (await copied(document.getElementById(button.dataset.copy))) ? "Copied" : "Press Ctrl+C";
      say(button.textContent);
      setTimeout(() => { button.textContent = label; }, 1600);
    });
    button.hidden = false;
  }
}

/** Put an element's text on the clipboard; where the browser refuses, select it for the reader to copy. */
async function copied(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}

/** Have a line read aloud to who cannot see what changed. */
function say(text) {
  document.getElementById("spoken").textContent = text;
}
