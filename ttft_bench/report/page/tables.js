"use strict";
// Tables: sort by a column (numbers by data-value, missing ones last), filter, and download what is shown.
(() => {
  const raw = (cell) => ("value" in cell.dataset ? cell.dataset.value : words(cell));

  // The text of a cell without the small print below it.
  function words(cell) {
    const copy = cell.cloneNode(true);
    copy.querySelectorAll(".small").forEach((part) => part.remove());
    return copy.textContent.trim();
  }

  function sortBy(table, headers, column) {
    const descending = headers[column].getAttribute("aria-sort") === "ascending";
    headers.forEach((header) => header.removeAttribute("aria-sort"));
    headers[column].setAttribute("aria-sort", descending ? "descending" : "ascending");
    const value = (row) => {
      const cell = row.cells[column];
      if (!("value" in cell.dataset)) return words(cell);
      return cell.dataset.value === "" ? null : Number(cell.dataset.value);
    };
    const compare = ([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      const order = typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
      return descending ? -order : order;
    };
    const rows = [...table.tBodies[0].rows].map((row) => [value(row), row]);
    table.tBodies[0].append(...rows.sort(compare).map(([, row]) => row));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const headers = [...table.tHead.rows[0].cells];
    headers.forEach((header, column) => {
      if (header.hidden || !header.textContent) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => sortBy(table, headers, column));
    });
  }

  const table = document.getElementById("settings");
  const keys = [...table.tHead.rows[0].cells].map((header) => header.dataset.key);
  const at = (row, key) => raw(row.cells[keys.indexOf(key)]);
  const [search, budget, frontier] = ["filter", "filter-budget", "filter-frontier"].map((id) => document.getElementById(id));
  const all = [...table.tBodies[0].rows];
  const found = new Set(all.map((row) => at(row, "budget_n")));
  const budgets = [...found].filter((value) => value !== "").sort((a, b) => a - b); // the untouched model has none
  budget.append(...budgets.map((value) => new Option(value, value)));

  function filter() {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of all) {
      const text = row.textContent.toLowerCase();
      row.hidden = !wanted.every((word) => text.includes(word)) || (budget.value && at(row, "budget_n") !== budget.value)
        || (frontier.checked && at(row, "on_frontier") !== "yes");
    }
    const shown = all.filter((row) => !row.hidden).length;
    document.getElementById("shown").textContent = `${shown} of ${all.length} settings shown`;
  }
  for (const control of [search, budget, frontier]) control.addEventListener("input", filter);
  filter();

  // CSV is for programs: every column, every digit. Markdown and LaTeX are for readers: the columns in sight, as they are shown.
  const lines = () => [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => [...row.cells]);
  const heads = [...table.tHead.rows[0].cells];
  const inSight = (cells) => cells.filter((_, place) => !heads[place].hidden);
  const isNumber = heads.map((header) => !header.classList.contains("text"));
  const aligned = inSight(isNumber);
  const labels = inSight(heads).map((header) => words(header));
  function shown(cell) {
    const small = cell.querySelector(".small")?.textContent.trim();
    return small ? `${words(cell)} (${small})` : words(cell);
  }
  const shownRows = () => lines().map((cells) => inSight(cells).map(shown));

  // A spreadsheet must not take a name for a formula.
  const inert = (text) => (/^[=+\-@\t\r]/.test(text) ? `'${text}` : text);
  const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const csv = () =>
    [keys, ...lines().map((cells) => cells.map((cell, place) => (isNumber[place] ? raw(cell) : inert(raw(cell)))))]
      .map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n";

  const plain = (text) =>
    text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replace(/[\\|*_`[\]]/g, "\\$&");
  const markdown = () => {
    const rule = aligned.map((number) => (number ? "---:" : "---"));
    return [labels.map(plain), rule, ...shownRows().map((row) => row.map(plain))].map((row) => `| ${row.join(" | ")} |`).join("\n") + "\n";
  };

  const TEX = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "–": "--", "µ": "\\textmu{}" };
  const tex = (text) => text.replace(/[\\{}$&#%_~^–µ]/g, (mark) => TEX[mark] ?? `\\${mark}`);
  const latex = () => {
    const line = (row) => `${row.join(" & ")} \\\\`;
    const body = shownRows().map((row) => line(row.map(tex)));
    const columns = aligned.map((number) => (number ? "r" : "l")).join("");
    return ["% needs \\usepackage{booktabs}", `\\begin{tabular}{${columns}}`, "\\toprule", line(labels.map(tex)), "\\midrule", ...body,
      "\\bottomrule", "\\end{tabular}", ""].join("\n");
  };

  const parquet = () => Uint8Array.from(atob(document.getElementById("parquet").textContent), (c) => c.charCodeAt(0));
  const KINDS = {
    csv: ["settings.csv", "text/csv", csv],
    markdown: ["settings.md", "text/markdown", markdown],
    latex: ["settings.tex", "application/x-tex", latex],
    parquet: ["results.parquet", "application/vnd.apache.parquet", parquet],
  };
  for (const button of document.querySelectorAll("[data-download]")) {
    button.addEventListener("click", () => {
      const [name, type, content] = KINDS[button.dataset.download];
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([content()], { type }));
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000); // a busy browser begins later
    });
  }
})();
