"use strict";
// Shared by all pages: reads the data, sets the theme, and builds elements from plain text.
const data = JSON.parse(document.getElementById("data").textContent);

const page = {
  // Creates an element with properties, classes and children. Text is never parsed as markup.
  make(tag, options = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(options)) {
      if (name === "on") for (const [event, act] of Object.entries(value)) {
        element.addEventListener(event, act);
      } else if (name === "class") element.className = value;
      else if (value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  },

  number(value) {
    if (value === null || value === undefined || Number.isNaN(value)) return "–";
    if (Number.isInteger(value) && Math.abs(value) < 1e9) return value.toLocaleString("en");
    return String(Number(value.toPrecision(5)));
  },

  colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  },

  // Uses the system's theme until the user chooses a theme. Calls `changed` after each change.
  theme(changed) {
    const system = matchMedia("(prefers-color-scheme: dark)");
    const button = document.getElementById("theme");
    let own = null;
    const apply = () => {
      const dark = own === null ? system.matches : own === "dark";
      document.documentElement.dataset.theme = dark ? "dark" : "light";
      button.textContent = dark ? "Light" : "Dark";
      button.setAttribute("aria-label", dark ? "Switch to the light theme"
        : "Switch to the dark theme");
      changed();
    };
    system.addEventListener("change", apply);
    button.addEventListener("click", () => {
      own = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
      apply();
    });
    apply();
  },
};
