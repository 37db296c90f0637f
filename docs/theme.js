// The light that was chosen on the rest of the site holds here too; without a choice, the system's does.
const chosen = localStorage.getItem("mantine-color-scheme-value");
if (chosen === "dark" || chosen === "light") {
  document.body.setAttribute("data-md-color-scheme", chosen === "dark" ? "slate" : "default");
}
