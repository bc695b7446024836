// What pages do with tables and folded parts beyond HTML. All can be read without it; nothing is asked of anybody.
{
  const spoken = (cell) => (cell.dataset.v ?? cell.textContent).trim();
  const number = (text) => {
    const plain = text.replaceAll(",", "").replace("\u2212", "-");
    const start = /^[-+]?\d+(\.\d+)?(e[-+]?\d+)?/i.exec(plain);
    return start ? Number(start[0]) : null;
  };

  // Numbers before words, empty cells last whatever the direction; rows that are equal stay in their order.
  const compare = (left, right) => {
    const [first, second] = [number(left), number(right)];
    if (first !== null && second !== null) return first - second;
    if (first !== null || second !== null) return first !== null ? -1 : 1;
    return left.localeCompare(right);
  };

  function sort(table, column, direction) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    if (!body.original) body.original = rows;
    if (direction === "none") {
      body.append(...body.original);
      return;
    }
    const sign = direction === "ascending" ? 1 : -1;
    const keyed = body.original.map((row) => [spoken(row.cells[column]), row]);
    const empty = (text) => text === "" || text === "-" || text === "\u2013";
    const filled = keyed.filter(([text]) => !empty(text)).sort((one, other) => sign * compare(one[0], other[0]));
    body.append(...[...filled, ...keyed.filter(([text]) => empty(text))].map(([, row]) => row));
  }

  for (const table of document.querySelectorAll("table[data-sortable]")) {
    if (!table.tHead || !table.tBodies[0] || table.tBodies[0].rows.length < 2) continue;
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if (!head.textContent.trim() || head.querySelector(".hidden")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      const order = head.classList.contains("n") ? ["descending", "ascending", "none"] : ["ascending", "descending", "none"];
      button.addEventListener("click", () => {
        const next = order[(order.indexOf(head.getAttribute("aria-sort") ?? "none") + 1) % 3];
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (next !== "none") head.setAttribute("aria-sort", next);
        sort(table, column, next);
      });
    });
  }

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("main details:not([open])")];
    opened.forEach((details) => { details.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((details) => { details.open = false; }));
}
