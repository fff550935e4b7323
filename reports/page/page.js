// Sorts and filters tables; everything is there without it.
(() => {
  "use strict";
  const MISSING = new Set(["", "–"]);
  const LONG = 12;
  const words = new Intl.Collator(undefined, { numeric: true });
  const text = (row, column) => row.cells[column].textContent.trim();
  const number = (shown) => parseFloat(shown.replace(/[,×<\s]/g, "").replace("−", "-"));

  function sort(table, column, head) {
    const numeric = head.classList.contains("number");
    const before = head.getAttribute("aria-sort");
    const first = numeric ? "descending" : "ascending";
    const other = numeric ? "ascending" : "descending";
    const order = before === first ? other : first;
    const sign = order === "ascending" ? 1 : -1;
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => ({ row, shown: text(row, column) }));
    rows.sort((a, b) => {
      const [noA, noB] = [MISSING.has(a.shown), MISSING.has(b.shown)];
      if (noA || noB) return noA - noB;
      return sign * (numeric ? number(a.shown) - number(b.shown) : words.compare(a.shown, b.shown));
    });
    for (const entry of rows) body.append(entry.row);
    for (const one of table.tHead.rows[0].cells) one.setAttribute("aria-sort", one === head ? order : "none");
  }

  function makeSortable(table) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, column, head));
      head.append(button);
      head.setAttribute("aria-sort", "none");
    });
  }

  function labelled(name, control) {
    const label = document.createElement("label");
    label.append(name, control);
    return label;
  }

  function makeFilters(table) {
    const rows = [...table.tBodies[0].rows];
    if (rows.length <= LONG) return;
    const tools = document.createElement("div");
    tools.className = "tools";
    const search = document.createElement("input");
    search.type = "search";
    const chosen = [];
    const count = document.createElement("output");
    const lower = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
    const apply = () => {
      const wanted = search.value.trim().toLowerCase();
      let shown = 0;
      for (const row of rows) {
        const fits = chosen.every(([column, select]) => !select.value || text(row, column) === select.value);
        row.hidden = !(fits && lower.get(row).includes(wanted));
        shown += !row.hidden;
      }
      count.textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows`;
    };
    tools.append(labelled("Search", search));
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if (!head.classList.contains("facet")) return;
      const select = document.createElement("select");
      const values = [...new Set(rows.map((row) => text(row, column)))];
      if (values.length < 2) return;
      select.append(new Option("all", ""), ...values.map((value) => new Option(value, value)));
      select.addEventListener("change", apply);
      chosen.push([column, select]);
      tools.append(labelled(head.textContent.trim(), select));
    });
    search.addEventListener("input", apply);
    tools.append(count);
    table.closest(".table").prepend(tools);
    apply();
  }

  for (const table of document.querySelectorAll("table")) {
    makeFilters(table);
    makeSortable(table);
  }
  // What is folded on the screen is on paper.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const one of folded) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of folded) one.open = false;
  });
})();
