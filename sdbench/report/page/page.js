"use strict";
(() => {
  const form = document.querySelector("form.filters");
  const list = document.querySelector("ol.cases");
  if (!form || !list) return;
  const fields = form.elements;
  const rows = [...list.children].map((item, place) => ({
    item, place, verdict: item.dataset.v, network: item.dataset.n, kind: item.dataset.k,
    seconds: Number(item.dataset.s), id: item.querySelector(".case-name").textContent, text: "",
  }));
  let sorted = "";

  function matches(row, words) {
    for (const name of ["verdict", "network", "kind"])
      if (fields[name].value && fields[name].value !== row[name]) return false;
    if (words.length && !row.text) row.text = `${row.item.textContent} ${row.network}`.toLowerCase();
    return words.every((word) => row.text.includes(word));
  }

  function order(by) {
    const compare = {
      id: (a, b) => a.id.localeCompare(b.id),
      network: (a, b) => a.network.localeCompare(b.network) || a.place - b.place,
      seconds: (a, b) => b.seconds - a.seconds || a.place - b.place,
    }[by] || ((a, b) => a.place - b.place);
    list.append(...[...rows].sort(compare).map((row) => row.item));
  }

  function show() {
    if (fields.sort.value !== sorted) order((sorted = fields.sort.value));
    const words = fields.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let seen = 0;
    for (const row of rows) {
      const shown = matches(row, words);
      row.item.hidden = !shown;
      seen += shown;
    }
    form.querySelector("output").textContent = `${seen} of ${rows.length} cases`;
  }

  function open() {
    let name;
    try { name = decodeURIComponent(location.hash.slice(1)); } catch { return; }
    const item = name.startsWith("case-") && document.getElementById(name);
    if (!item) return;
    item.hidden = false;
    item.querySelector("details").open = true;
    item.scrollIntoView();
  }

  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", show);
  window.addEventListener("hashchange", open);
  show();
  open();
})();
