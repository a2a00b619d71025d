"use strict";
(() => {
  const element = (name, text, kind) => {
    const made = document.createElement(name);
    if (text !== undefined && text !== null) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };
  const byId = (id) => document.getElementById(id);

  addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details")) one.open = true;
  });

  const stored = byId("sample");
  if (!stored) return;
  const sample = JSON.parse(stored.textContent);
  const sign = (value) => (value > 0 ? "+" : value < 0 ? "−" : "") + Math.abs(value).toFixed(4);

  const filters = {
    changed: { keep: (one) => one.moved > 0, order: (one, other) => other.target - one.target || other.moved - one.moved },
    drives: { keep: (one) => one.drives, order: () => 0 },
    gains: { keep: (one) => one.difference > 0, order: (one, other) => other.difference - one.difference },
    losses: { keep: (one) => one.difference < 0, order: (one, other) => one.difference - other.difference },
    all: { keep: () => true, order: () => 0 },
  };
  const find = byId("find"), filter = byId("filter"), list = byId("requests"), found = byId("found"), panel = byId("panel");
  let shown = [], at = 0;

  const line = (item, rank, move, grade) => {
    const row = element("li", null, grade ? "hit" : "");
    row.append(element("span", rank, "soft"));
    const [id, title, attributes] = sample.items[item];
    const text = element("span");
    text.append(element("bdi", title || id));
    if (title) text.append(" ", element("small", id, "soft"));
    if (grade) text.append(" ", element("small", `· grade ${grade}`));
    const told = sample.attributes.map((name, number) => (attributes[number] ? `${name}: ${attributes[number]}` : "")).filter(Boolean);
    if (told.length) text.append(element("br"), element("small", told.join(" · "), "soft"));
    row.append(text, move);
    return row;
  };

  const moved = (was, rank, baseline) => {
    if (baseline) return element("span");
    if (was === null) return element("span", "new", "move up");
    if (was === rank) return element("span", "=", "move");
    return was > rank ? element("span", `▲ ${was - rank}`, "move up") : element("span", `▼ ${rank - was}`, "move down");
  };

  const column = (one, number) => {
    const box = element("div");
    box.append(element("h4", sample.variants[number]));
    const places = element("ol");
    one.lists[number].forEach(([item, grade, was], place) => {
      places.append(line(item, place + 1, moved(was, place + 1, number === 0), grade));
    });
    if (!one.lists[number].length) places.append(element("li", "empty list", "soft"));
    box.append(places);
    const details = element("details");
    const [counts, taken] = one.removed ? one.removed[number] : [null, []];
    if (counts === null) {
      box.append(element("p", "What steps removed was not recorded for this request.", "small soft"));
    } else if (counts.length) {
      const told = counts.map(([step, count]) => `${sample.steps[step]} ${count}`).join(", ");
      details.append(element("summary", `Removed by steps: ${told}`));
      const gone = element("ul", null, "gone");
      for (const [item, rank, step] of taken) {
        const row = element("li");
        const [id, title] = sample.items[item];
        row.append(element("b", sample.steps[step]), ` took rank ${rank}: `, element("bdi", title || id), title ? " " : "", element("small", title ? id : "", "soft"));
        gone.append(row);
      }
      const all = counts.reduce((sum, [, count]) => sum + count, 0);
      if (all > taken.length) gone.append(element("li", `and ${all - taken.length} more`, "soft"));
      details.append(gone);
      details.open = opened.has(number);
      details.addEventListener("toggle", () => (details.open ? opened.add(number) : opened.delete(number)));
      box.append(details);
    } else {
      box.append(element("p", "No step removed anything from its upper end.", "small soft"));
    }
    return box;
  };
  const opened = new Set();

  const open = (number) => {
    at = number;
    const one = shown[at];
    [...list.children].forEach((row, place) => {
      const button = row.firstChild;
      if (place !== at) button.removeAttribute("aria-current");
      else {
        button.setAttribute("aria-current", "true");
        const box = list.parentNode;
        const above = row.offsetTop - list.offsetTop;
        if (above < box.scrollTop) box.scrollTop = above;
        else if (above + row.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = above + row.offsetHeight - box.clientHeight;
      }
    });
    byId("before").disabled = at <= 0;
    byId("after").disabled = at >= shown.length - 1;
    panel.replaceChildren();
    if (!one) return;
    const title = element("h3", "Request ");
    title.append(element("bdi", one.id), " · user ", element("bdi", one.user));
    panel.append(title);
    const facts = [one.context, one.target ? "" : "replayed, but no target", `${sample.about} moved ${one.moved}`];
    if (one.difference !== null) facts.push(`its difference in the primary metric is ${sign(one.difference)}`);
    panel.append(element("p", facts.filter(Boolean).join(" · "), "small soft"));
    const lists = element("div", null, "lists");
    one.lists.forEach((_, number) => lists.append(column(one, number)));
    panel.append(lists);
  };

  const choose = () => {
    const words = find.value.trim().toLowerCase();
    const { keep, order } = filters[filter.value];
    shown = sample.requests.filter(
      (one) => (words ? one.id.toLowerCase().includes(words) || one.user.toLowerCase().includes(words) : keep(one)),
    );
    shown.sort(order);
    list.replaceChildren();
    shown.forEach((one, number) => {
      const row = element("li");
      const button = element("button", null);
      button.type = "button";
      button.append(element("bdi", one.id), " ", element("small", `user ${one.user} · moved ${one.moved}` + (one.difference ? ` · ${sign(one.difference)}` : ""), "soft"));
      button.addEventListener("click", () => open(number));
      row.append(button);
      list.append(row);
    });
    found.textContent =
      shown.length || !words
        ? `${shown.length} request${shown.length === 1 ? "" : "s"}`
        : `not among the ${sample.requests.length} of this page; rankcast serve shows the lists of any request`;
    open(0);
  };

  find.addEventListener("input", choose);
  filter.addEventListener("change", choose);
  byId("before").addEventListener("click", () => open(at - 1));
  byId("after").addEventListener("click", () => open(at + 1));
  if (!sample.requests.some(filters.changed.keep)) filter.value = "all";
  document.querySelector(".finder").hidden = false;
  choose();
})();
