// Light, dark or as the system says: the reader's choice, kept in this browser.
"use strict";
{
  const KEY = "likewise-theme";
  const root = document.documentElement;

  const show = (theme) => {
    if (theme === "light" || theme === "dark") {
      root.dataset.theme = theme;
    } else {
      delete root.dataset.theme;
    }
  };
  const kept = () => {
    try {
      return localStorage.getItem(KEY) ?? "";
    } catch {
      return ""; // storage is switched off: the choice lasts for this page
    }
  };
  const keep = (theme) => {
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // as above
    }
  };

  show(kept());
  addEventListener("DOMContentLoaded", () => {
    const choice = document.getElementById("theme");
    if (!choice) {
      return;
    }
    choice.value = root.dataset.theme ?? "";
    choice.addEventListener("change", () => {
      keep(choice.value);
      show(choice.value);
      dispatchEvent(new Event("theme"));
    });
  });
}
