// What pages do beyond HTML: keys, copying, and filters that take effect as they are changed. All works without it.

const entries = () => [...document.querySelectorAll("[data-entry]")];
let chosen = -1;

function choose(number) {
  const all = entries();
  if (!all.length) return;
  chosen = Math.max(0, Math.min(number, all.length - 1));
  all.forEach((entry, place) => entry.classList.toggle("chosen", place === chosen));
  const link = all[chosen].querySelector("a, button, [tabindex]") ?? all[chosen];
  link.focus({ preventScroll: true });
  all[chosen].scrollIntoView({ block: "nearest" });
}

const go = (selector) => document.querySelector(selector)?.click();
const keys = {
  j: () => choose(chosen + 1),
  k: () => choose(chosen - 1),
  n: () => go(".pager [rel=next]"),
  p: () => go(".pager [rel=prev]"),
  u: () => [...document.querySelectorAll(".top nav a")].at(-1)?.click(),
  "/": () => {
    const field = document.querySelector("[data-search], form.filters input");
    field?.focus();
    field?.select?.();
  },
  "?": () => document.getElementById("keys").showModal(),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea, dialog");
  if (event.key === "Escape" && typing && !typing.matches("dialog")) {
    event.target.blur();
  } else if (!typing && !event.ctrlKey && !event.metaKey && !event.altKey && keys[event.key]) {
    event.preventDefault();
    keys[event.key]();
  }
});

document.addEventListener("click", async (event) => {
  if (event.target.closest("[data-help]")) document.getElementById("keys").showModal();
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    await navigator.clipboard.writeText(copy.dataset.copy);
    copy.textContent = "Copied";
  }
});

// A form with data-live: what stands in [data-result] is fetched anew when a field is changed, and the address follows.
let waiting;
async function refresh(form) {
  const shown = document.querySelector("[data-result]");
  const address = new URL(form.action || location.href);
  address.search = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== "")).toString();
  shown.setAttribute("aria-busy", "true");
  const answer = await fetch(address);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.querySelector("[data-result]");
  if (fresh) shown.replaceWith(fresh);
  history.replaceState(null, "", address);
  chosen = -1;
}
document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-live]");
  if (!form) return;
  const said = form.querySelector(`output[for="${event.target.id}"]`);
  if (said) said.textContent = event.target.value;
  clearTimeout(waiting);
  waiting = setTimeout(() => refresh(form), 150);
});

// What is at work is asked again every five seconds, while somebody looks.
if (document.querySelector("[data-watch]")) {
  setInterval(async () => {
    if (document.hidden) return;
    const answer = await fetch(location.href);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-result]");
    if (fresh) document.querySelector("[data-result]").replaceWith(fresh);
  }, 5000);
}
