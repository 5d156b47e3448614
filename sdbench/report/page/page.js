"use strict";
(() => {
  const form = document.querySelector("form.filters");
  const list = document.querySelector("ol.cases");
  if (!form || !list) return;
  const fields = form.elements;
  const rows = [...list.children].map((item, place) => ({ item, place, text: "" }));
  let sorted = "";

  function matches(row, words) {
    for (const name of ["verdict", "network", "kind"])
      if (fields[name].value && fields[name].value !== row.item.dataset[name]) return false;
    if (words.length && !row.text) row.text = `${row.item.textContent} ${row.item.dataset.network}`.toLowerCase();
    return words.every((word) => row.text.includes(word));
  }

  function order(by) {
    const name = (row) => row.item.querySelector(".case-name").textContent;
    const network = (row) => row.item.dataset.network;
    const seconds = (row) => Number(row.item.dataset.seconds);
    const compare = {
      id: (a, b) => (name(a) < name(b) ? -1 : 1),
      network: (a, b) => network(a).localeCompare(network(b)) || a.place - b.place,
      seconds: (a, b) => seconds(b) - seconds(a) || a.place - b.place,
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
    said(seen);
  }

  function said(seen) {
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
  said(rows.length);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", show);
  window.addEventListener("hashchange", open);
  if (["search", "verdict", "network", "kind", "sort"].some((name) => fields[name].value)) show(); // kept over a reload
  open();
})();
