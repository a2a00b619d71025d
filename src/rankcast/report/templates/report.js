"use strict";
(() => {
  const choice = document.getElementById("request");
  if (!choice) return;
  const panels = [...document.querySelectorAll("[data-request]")];
  const show = () => panels.forEach((panel) => { panel.hidden = panel.dataset.request !== choice.value; });
  choice.addEventListener("change", show);
  show();
})();
