"use strict";
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => { try { return localStorage.getItem("report-theme"); } catch { return null; } };
  const show = (theme) => {
    root.dataset.theme = theme;
    button.textContent = theme === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", `${button.textContent}: show in ${theme === "dark" ? "light" : "dark"} colours`);
  };
  button.addEventListener("click", () => {
    const theme = root.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("report-theme", theme); } catch { /* storage can be disabled for local files */ }
    show(theme);
  });
  dark.addEventListener("change", () => stored() || show(dark.matches ? "dark" : "light"));
  show(stored() || (dark.matches ? "dark" : "light"));
})();
